"""The SQL of bots, prompts and conversations, each statement on the connection that it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from hivemind_common.contracts.bots import (
    Answer,
    BotNotFoundError,
    BotRef,
    BotSettings,
    BotStatus,
    ConversationNotFoundError,
    ListBots,
    SlugTakenError,
)
from hivemind_common.db import Conn, refusing
from hivemind_common.ids import AccountId, BotId, ConversationId, MessageId

_SETTINGS: Final = tuple(BotSettings.model_fields)

_COLUMNS: Final = ", ".join(
    f"bot.{name}"
    for name in (
        "id",
        "slug",
        "name",
        *_SETTINGS,
        "status",
        "version",
        "pinned_version",
        "snippet_count",
        "placeholders",
        "was_paused",
        "created_at",
        "updated_at",
        "changed_by",
    )
)

_FROM: Final = """
  FROM bots.bot
  JOIN bots.prompt_version AS prompt
    ON prompt.bot_id = bot.id AND prompt.version = coalesce(bot.pinned_version, bot.version)
"""

_SEEN_BY: Final = "({viewer}::uuid IS NULL OR bot.tier <> 'restricted' OR {viewer} = ANY (bot.allowed_users))"
"""Whoever is no admin knows of no bot that would not talk to him; null stands for one who may know of all."""

GET_BOT: Final = f"""
SELECT {_COLUMNS}, prompt.system_prompt {_FROM}
 WHERE bot.slug = $1 AND bot.status <> 'archived' AND {_SEEN_BY.format(viewer="$2")}
"""

RESOLVE_BOT: Final = f"""
SELECT id, slug FROM bots.bot WHERE slug = $1 AND status <> 'archived' AND {_SEEN_BY.format(viewer="$2")}
"""

LIST_BOTS: Final = f"""
SELECT {_COLUMNS}, prompt.system_prompt {_FROM}
 WHERE ($1::text IS NULL OR bot.slug > $1)
   AND CASE WHEN $2::text IS NULL THEN bot.status <> 'archived' ELSE bot.status = $2 END
   AND ($3::text IS NULL OR bot.tier = $3)
   AND ($4::text IS NULL OR position(lower($4) IN lower(concat_ws(' ', bot.slug, bot.name, bot.description))) > 0)
   AND {_SEEN_BY.format(viewer="$6")}
 ORDER BY bot.slug
 LIMIT $5
"""

ADD_BOT: Final = f"""
INSERT INTO bots.bot (id, slug, name, changed_by, created_at, updated_at, {", ".join(_SETTINGS)}, version)
VALUES ($1, $2, $3, $4, $5, $5, {", ".join(f"${place}" for place in range(6, 6 + len(_SETTINGS)))}, 1)
"""

# Not FOR UPDATE: what refers to a bot, such as a turn that is being kept, need not wait for an edit.
LOCK_BOT: Final = "SELECT id FROM bots.bot WHERE slug = $1 AND ($2 OR status <> 'archived') FOR NO KEY UPDATE"

FIND_BOT: Final = "SELECT id FROM bots.bot WHERE slug = $1"

SLUGS_BESIDES: Final = "SELECT slug FROM bots.bot WHERE status <> 'archived' AND slug <> ALL ($1) ORDER BY slug"
COUNT_CONVERSATIONS: Final = "SELECT count(*) FROM bots.conversation WHERE bot_id = $1"

READ_BOT: Final = f"SELECT {_COLUMNS}, prompt.system_prompt {_FROM} WHERE bot.id = $1"

EDIT_BOT: Final = f"""
UPDATE bots.bot
   SET name = $2, changed_by = $3, updated_at = greatest($4, updated_at),
       {", ".join(f"{name} = ${place}" for place, name in enumerate(_SETTINGS, start=5))}
 WHERE id = $1
"""

SET_STATUS: Final = """
UPDATE bots.bot SET status = $2, changed_by = $3, updated_at = greatest($4, updated_at) WHERE id = $1
"""

RESTORE_BOT: Final = """
UPDATE bots.bot
   SET status = CASE WHEN was_paused THEN 'paused' ELSE 'active' END, changed_by = $2, updated_at = greatest($3, updated_at)
 WHERE id = $1 AND status = 'archived'
"""

PURGE_BOT: Final = "DELETE FROM bots.bot WHERE id = $1"
PURGE_OVERDUE: Final = "DELETE FROM bots.bot WHERE id = $1 AND archived_at < $2 RETURNING id"
FIND_OVERDUE: Final = "SELECT id, slug FROM bots.bot WHERE archived_at < $1 ORDER BY archived_at LIMIT 20"

FIND_CONVERSATION: Final = (
    "SELECT EXISTS (SELECT FROM bots.conversation WHERE bot_id = $1 AND id = $2 AND speaker = $3)"
)

KEEP_CONVERSATION: Final = """
INSERT INTO bots.conversation (bot_id, id, speaker, title, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $5)
ON CONFLICT (bot_id, id) DO UPDATE SET updated_at = excluded.updated_at
"""

ADD_MESSAGE: Final = """
INSERT INTO bots.message (bot_id, conversation_id, id, role, text, answer, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""


@dataclass(frozen=True)
class StoredBot:
    """A bot as its row has it; what depends on the running instance is added by the domain."""

    id: BotId
    slug: str
    name: str
    settings: BotSettings
    system_prompt: str
    status: BotStatus
    version: int
    pinned_version: int | None
    snippet_count: int
    placeholders: tuple[str, ...]
    """Names in double braces that its snippets have."""
    was_paused: bool
    """Of an archived one: whether it comes back paused."""
    created_at: datetime
    updated_at: datetime
    changed_by: str

    @property
    def live_version(self) -> int:
        """The version of the prompt that the next turn is taken with."""
        return self.pinned_version or self.version


async def get_bot(conn: Conn, slug: str, *, viewer: AccountId | None) -> StoredBot:
    """Read one; raises `BotNotFoundError`, also for an archived one, and one that `viewer` may not know of."""
    row = await conn.fetchrow(GET_BOT, slug, viewer)
    if row is None:
        raise BotNotFoundError
    return _bot(row)


async def resolve_bot(conn: Conn, slug: str, *, viewer: AccountId | None) -> BotRef:
    """Read a bot's id; raises `BotNotFoundError` as `get_bot` does."""
    row = await conn.fetchrow(RESOLVE_BOT, slug, viewer)
    if row is None:
        raise BotNotFoundError
    return BotRef(id=row["id"], slug=row["slug"])


async def list_bots(conn: Conn, wanted: ListBots, limit: int, *, viewer: AccountId | None) -> list[StoredBot]:
    """Read at most `limit` of those that `viewer` may know of, by slug, beginning behind `wanted.after`."""
    rows = await conn.fetch(LIST_BOTS, wanted.after, wanted.status, wanted.tier, wanted.text, limit, viewer)
    return [_bot(row) for row in rows]


async def lock_bot(conn: Conn, slug: str, *, archived_too: bool = False) -> StoredBot:
    """Read one and keep others from changing it; raises `BotNotFoundError`. Wants a transaction."""
    bot_id = await conn.fetchval(LOCK_BOT, slug, archived_too)
    if bot_id is None:
        raise BotNotFoundError
    # By a statement of its own: the one that waited for the lock shows the row as it was before.
    return await read_bot(conn, _id(bot_id))


async def find_bot(conn: Conn, slug: str) -> BotId | None:
    """Read a bot's id, archived or not."""
    found = await conn.fetchval(FIND_BOT, slug)
    return None if found is None else _id(found)


async def slugs_besides(conn: Conn, slugs: Sequence[str]) -> list[str]:
    """Read the slugs of all bots that are not archived, but for some."""
    return [row["slug"] for row in await conn.fetch(SLUGS_BESIDES, list(slugs))]


async def count_conversations(conn: Conn, bot_id: BotId) -> int:
    """Count the conversations that are kept of a bot."""
    return int(await conn.fetchval(COUNT_CONVERSATIONS, bot_id))


async def read_bot(conn: Conn, bot_id: BotId) -> StoredBot:
    """Read one by its id, archived or not; raises `BotNotFoundError`."""
    row = await conn.fetchrow(READ_BOT, bot_id)
    if row is None:
        raise BotNotFoundError
    return _bot(row)


async def add_bot(
    conn: Conn, bot_id: BotId, slug: str, name: str, settings: BotSettings, author: str, moment: datetime
) -> None:
    """Insert a bot, whose prompt is still to come; raises `SlugTakenError`. Wants a transaction."""
    with refusing({"bot_slug": lambda: SlugTakenError(f"slug: {slug} is taken; choose another")}):
        await conn.execute(ADD_BOT, bot_id, slug, name, author, moment, *_values(settings))


async def edit_bot(conn: Conn, bot_id: BotId, name: str, settings: BotSettings, author: str, moment: datetime) -> None:
    """Write what a bot is now. Wants the transaction that has locked it."""
    await conn.execute(EDIT_BOT, bot_id, name, author, moment, *_values(settings))


async def set_status(conn: Conn, bot_id: BotId, status: BotStatus, author: str, moment: datetime) -> None:
    """Pause, resume or archive a bot. Wants the transaction that has locked it."""
    await conn.execute(SET_STATUS, bot_id, status, author, moment)


async def restore_bot(conn: Conn, bot_id: BotId, author: str, moment: datetime) -> None:
    """Bring an archived bot back as it was. Wants the transaction that has locked it."""
    await conn.execute(RESTORE_BOT, bot_id, author, moment)


async def purge_bot(conn: Conn, bot_id: BotId) -> None:
    """End a bot, with all that it knows and said."""
    await conn.execute(PURGE_BOT, bot_id)


async def purge_overdue(conn: Conn, bot_id: BotId, archived_before: datetime) -> bool:
    """End a bot that is still archived; whether it was."""
    return await conn.fetchval(PURGE_OVERDUE, bot_id, archived_before) is not None


async def find_overdue(conn: Conn, archived_before: datetime) -> list[BotRef]:
    """Read some of the bots that have been archived for too long."""
    return [BotRef(id=row["id"], slug=row["slug"]) for row in await conn.fetch(FIND_OVERDUE, archived_before)]


async def check_conversation(conn: Conn, bot_id: BotId, conversation_id: ConversationId, speaker: str) -> None:
    """Raise `ConversationNotFoundError` when that conversation is not the speaker's own."""
    if not await conn.fetchval(FIND_CONVERSATION, bot_id, conversation_id, speaker):
        raise ConversationNotFoundError


async def keep_turn(
    conn: Conn, bot_id: BotId, speaker: str, question_id: MessageId, question: str, answer: Answer
) -> None:
    """Keep what was asked and what was answered, both or neither. Wants a transaction."""
    conversation_id = answer.conversation_id
    moment = answer.created_at
    with refusing({"conversation_bot": BotNotFoundError}):  # it was deleted while it was answering
        await conn.execute(KEEP_CONVERSATION, bot_id, conversation_id, speaker, question.strip()[:80], moment)
    await conn.execute(ADD_MESSAGE, bot_id, conversation_id, question_id, "user", question, None, moment)
    told = answer.model_dump(mode="json", exclude={"reply", "conversation_id", "message_id", "created_at"})
    await conn.execute(ADD_MESSAGE, bot_id, conversation_id, answer.message_id, "assistant", answer.reply, told, moment)


def _bot(row: asyncpg.Record) -> StoredBot:
    return StoredBot(
        id=_id(row["id"]),
        slug=row["slug"],
        name=row["name"],
        settings=BotSettings.model_validate({name: row[name] for name in _SETTINGS}),
        system_prompt=row["system_prompt"],
        status=BotStatus(row["status"]),
        version=row["version"],
        pinned_version=row["pinned_version"],
        snippet_count=row["snippet_count"],
        placeholders=tuple(row["placeholders"]),
        was_paused=row["was_paused"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        changed_by=row["changed_by"],
    )


def _id(found: UUID) -> BotId:
    # The driver's own class cannot be written as JSON.
    return BotId(UUID(int=found.int))


def _values(settings: BotSettings) -> list[Any]:
    values: dict[str, Any] = {name: getattr(settings, name) for name in _SETTINGS}
    values["fallbacks"] = [fallback.model_dump() for fallback in settings.fallbacks]
    values["allowed_users"] = list(settings.allowed_users)
    values["allowed_origins"] = list(settings.allowed_origins)
    return list(values.values())
