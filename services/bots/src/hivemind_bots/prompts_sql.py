"""The SQL of prompts' versions, each statement on the connection that it is given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from hivemind_common.contracts.bots import BotNotFoundError
from hivemind_common.contracts.prompts import Prompt
from hivemind_common.db import Conn, refusing
from hivemind_common.ids import BotId

_COLUMNS: Final = """
prompt.version, prompt.system_prompt, prompt.note, prompt.author, prompt.created_at,
prompt.version = coalesce(bot.pinned_version, bot.version) AS live, prompt.version = bot.pinned_version AS pinned
"""

_FROM: Final = "FROM bots.prompt_version AS prompt JOIN bots.bot ON bot.id = prompt.bot_id AND bot.status <> 'archived'"

FIND_PROMPT: Final = f"""
SELECT {_COLUMNS} {_FROM} WHERE prompt.bot_id = $1 AND prompt.version = coalesce($2, bot.pinned_version, bot.version)
"""

LIST_PROMPTS: Final = f"""
SELECT {_COLUMNS} {_FROM}
 WHERE prompt.bot_id = $1 AND ($2::integer IS NULL OR prompt.version < $2)
 ORDER BY prompt.version DESC
 LIMIT $3
"""

LOCK_HEAD: Final = """
SELECT version, pinned_version FROM bots.bot WHERE id = $1 AND status <> 'archived' FOR NO KEY UPDATE
"""

ADD_PROMPT: Final = """
INSERT INTO bots.prompt_version (bot_id, version, system_prompt, note, author, created_at)
VALUES ($1, $2, $3, $4, $5, $6)
"""

SET_HEAD: Final = """
UPDATE bots.bot SET version = $2, changed_by = $3, updated_at = greatest($4, updated_at) WHERE id = $1 AND version <> $2
"""

PIN: Final = """
UPDATE bots.bot SET pinned_version = $2, changed_by = $3, updated_at = greatest($4, updated_at) WHERE id = $1
"""


@dataclass(frozen=True)
class Head:
    """The newest version of a bot's prompt, and the one that is pinned."""

    newest: int
    pinned: int | None


async def find_prompt(conn: Conn, bot_id: BotId, version: int | None) -> Prompt | None:
    """Read a version, or the live one."""
    row = await conn.fetchrow(FIND_PROMPT, bot_id, version)
    return None if row is None else _prompt(row)


async def list_prompts(conn: Conn, bot_id: BotId, after: int | None, limit: int) -> list[Prompt]:
    """Read at most `limit` versions, newest first, beginning behind `after`."""
    return [_prompt(row) for row in await conn.fetch(LIST_PROMPTS, bot_id, after, limit)]


async def lock_head(conn: Conn, bot_id: BotId) -> Head:
    """Keep others from saving a prompt; raises `BotNotFoundError`. Wants a transaction."""
    row = await conn.fetchrow(LOCK_HEAD, bot_id)
    if row is None:
        raise BotNotFoundError
    return Head(row["version"], row["pinned_version"])


async def add_prompt(
    conn: Conn, bot_id: BotId, version: int, system_prompt: str, note: str, author: str, moment: datetime
) -> None:
    """Insert a version. Wants the transaction that has locked the head, or has made the bot."""
    with refusing({"prompt_version_bot": BotNotFoundError}):
        await conn.execute(ADD_PROMPT, bot_id, version, system_prompt, note, author, moment)


async def set_head(conn: Conn, bot_id: BotId, version: int, author: str, moment: datetime) -> None:
    """Say which version is the newest."""
    await conn.execute(SET_HEAD, bot_id, version, author, moment)


async def pin(conn: Conn, bot_id: BotId, version: int | None, author: str, moment: datetime) -> None:
    """Say which version stays live, or none."""
    await conn.execute(PIN, bot_id, version, author, moment)


def _prompt(row: Any) -> Prompt:
    return Prompt.model_validate({**dict(row), "pinned": bool(row["pinned"])})
