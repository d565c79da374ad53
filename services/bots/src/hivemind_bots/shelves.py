"""What bots know, as far as minting, cloning and applying them goes: by the functions that knowledge lends for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from hivemind_common.contracts.bots import BotNotFoundError
from hivemind_common.db import Conn, refusing
from hivemind_common.ids import BotId, IdMaker

SNIPPETS_OF: Final = "SELECT * FROM knowledge.snippets_of($1)"
HOLD: Final = "SELECT knowledge.hold_shelf($1)"
CHANGE: Final = "SELECT knowledge.change_snippets($1, $2, $3, $4, $5)"

AT_ONCE: Final = 500
"""Snippets per statement, each of which has a time limit."""


@dataclass(frozen=True)
class Shelved:
    """A snippet as it is kept."""

    title: str
    body: str
    tags: tuple[str, ...] = ()
    source: str | None = None
    language: str = "en"
    """What its words are read as; `und` is none that we know."""
    language_given: bool = False
    """Whether somebody said so; else it was detected."""


async def snippets_of(conn: Conn, bot_id: BotId) -> dict[UUID, Shelved]:
    """Read what a bot knows, the oldest first."""
    return {
        row["id"]: Shelved(
            row["title"], row["body"], tuple(row["tags"]), row["source"], row["language"], row["language_given"]
        )
        for row in await conn.fetch(SNIPPETS_OF, bot_id)
    }


async def hold(conn: Conn, bot_id: BotId) -> None:
    """Keep others from teaching a bot until the transaction ends; raises `BotNotFoundError`.

    Whoever teaches locks what a bot knows, and then the bot to count it: who wants both takes them in the same order.
    """
    with refusing({"corpus_bot": BotNotFoundError}):
        await conn.execute(HOLD, bot_id)


async def change(
    conn: Conn, bot_id: BotId, removed: Sequence[UUID], kept: dict[UUID, Shelved], moment: datetime, by: str
) -> None:
    """Forget what is removed, and keep the rest as it is given, new or not. Raises `BotNotFoundError`; wants a transaction."""
    rows = [
        {
            "id": str(snippet_id),
            "title": each.title,
            "body": each.body,
            "tags": list(each.tags),
            "source": each.source,
            "language": each.language,
            "language_given": each.language_given,
        }
        for snippet_id, each in kept.items()
    ]
    with refusing({"corpus_bot": BotNotFoundError}):
        await conn.execute(CHANGE, bot_id, list(removed), rows[:AT_ONCE], moment, by)
        for start in range(AT_ONCE, len(rows), AT_ONCE):
            await conn.execute(CHANGE, bot_id, [], rows[start : start + AT_ONCE], moment, by)


async def teach(
    conn: Conn, bot_id: BotId, snippets: Sequence[Shelved], new_id: IdMaker, moment: datetime, by: str
) -> None:
    """Teach a new bot, whose snippets are in the order in which they are given."""
    await change(conn, bot_id, [], {new_id(): snippet for snippet in snippets}, moment, by)
