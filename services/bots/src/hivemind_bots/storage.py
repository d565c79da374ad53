"""The SQL of bots, prompts and conversations, each statement on the connection that it is given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

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
    TemplateSnippet,
)
from hivemind_common.db import Conn, refusing
from hivemind_common.ids import AccountId, BotId, ConversationId, IdMaker, MessageId

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
        "created_at",
        "updated_at",
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
INSERT INTO bots.bot (id, slug, name, {", ".join(_SETTINGS)}, version, created_at, updated_at)
VALUES ($1, $2, $3, {", ".join(f"${place}" for place in range(4, 4 + len(_SETTINGS)))}, 1,
        ${4 + len(_SETTINGS)}, ${4 + len(_SETTINGS)})
"""

ADD_PROMPT: Final = """
INSERT INTO bots.prompt_version (bot_id, version, system_prompt, note, author, created_at)
VALUES ($1, $2, $3, $4, $5, $6)
"""

SEED_BOT: Final = "SELECT knowledge.seed_bot($1, $2, $3)"

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
    created_at: datetime
    updated_at: datetime


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


async def add_bot(
    conn: Conn,
    bot_id: BotId,
    slug: str,
    name: str,
    settings: BotSettings,
    system_prompt: str,
    author: str,
    moment: datetime,
) -> None:
    """Insert a bot with the first version of its prompt; raises `SlugTakenError`. Wants a transaction."""
    values: dict[str, Any] = {name: getattr(settings, name) for name in _SETTINGS}
    values["fallbacks"] = [fallback.model_dump() for fallback in settings.fallbacks]
    values["allowed_users"] = list(settings.allowed_users)
    values["allowed_origins"] = list(settings.allowed_origins)
    with refusing({"bot_slug": lambda: SlugTakenError(f"slug: {slug} is taken; choose another")}):
        await conn.execute(ADD_BOT, bot_id, slug, name, *values.values(), moment)
    await conn.execute(ADD_PROMPT, bot_id, 1, system_prompt, "", author, moment)


async def seed_knowledge(
    conn: Conn, bot_id: BotId, snippets: tuple[TemplateSnippet, ...], new_id: IdMaker, moment: datetime
) -> None:
    """Teach a new bot what its template knows, in the same transaction."""
    rows = [{"id": str(new_id()), "title": snippet.title, "body": snippet.body} for snippet in snippets]
    await conn.execute(SEED_BOT, bot_id, rows, moment)


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
        id=BotId(row["id"]),
        slug=row["slug"],
        name=row["name"],
        settings=BotSettings.model_validate({name: row[name] for name in _SETTINGS}),
        system_prompt=row["system_prompt"],
        status=BotStatus(row["status"]),
        version=row["version"],
        pinned_version=row["pinned_version"],
        snippet_count=row["snippet_count"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
