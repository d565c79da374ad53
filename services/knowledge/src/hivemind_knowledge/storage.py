"""The SQL of snippets, each statement on the connection that it is given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from hivemind_common.contracts.knowledge import CorpusGoneError, Snippet, SnippetDraft, SnippetNotFoundError
from hivemind_common.db import Conn, refusing
from hivemind_common.ids import BotId, SnippetId
from hivemind_knowledge.languages import NONE_WE_KNOW

TOMBSTONES_KEPT: Final = timedelta(hours=1)
"""An index that is further behind is built anew."""

_COLUMNS: Final = f"""
id, title, body, tags, source, nullif(language, '{NONE_WE_KNOW}') AS language, created_at, updated_at
"""

ADD_SNIPPET = f"""
WITH corpus AS MATERIALIZED (SELECT knowledge.raise_version($1, 1, $7) AS version)
INSERT INTO knowledge.snippet
       (bot_id, id, title, body, tags, source, language, language_given, corpus_version, created_at, updated_at, changed_by)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, corpus.version, $9, $9, $10 FROM corpus
RETURNING {_COLUMNS}
"""

GET_SNIPPET = f"SELECT {_COLUMNS} FROM knowledge.snippet WHERE bot_id = $1 AND id = $2"

# Read by a statement of its own, after the corpus is locked as whoever adds locks it: one that locks and reads would show the
# snippet as it was before it waited.
READ_LOCKED = f"SELECT {_COLUMNS}, language_given, changed_by FROM knowledge.snippet WHERE bot_id = $1 AND id = $2"

# Ids are made in the order of time, so the newest come first and ties cannot be.
LIST_SNIPPETS = f"""
SELECT {_COLUMNS}
  FROM knowledge.snippet
 WHERE bot_id = $1 AND ($2::uuid IS NULL OR id < $2)
 ORDER BY id DESC
 LIMIT $3
"""

EDIT_SNIPPET = f"""
WITH corpus AS MATERIALIZED (SELECT knowledge.raise_version($1, 0, $7) AS version)
UPDATE knowledge.snippet
   SET title = $3, body = $4, tags = $5, source = $6, language = $7, language_given = $8,
       corpus_version = corpus.version, updated_at = greatest($9, updated_at), changed_by = $10
  FROM corpus
 WHERE bot_id = $1 AND id = $2
RETURNING {_COLUMNS}
"""

REMOVE_SNIPPET = "DELETE FROM knowledge.snippet WHERE bot_id = $1 AND id = $2"
LOCK_CORPUS = "SELECT version FROM knowledge.corpus WHERE bot_id = $1 FOR UPDATE"
REMOVE_TAGGED = "DELETE FROM knowledge.snippet WHERE bot_id = $1 AND $2 = ANY (tags) RETURNING id"

BURY = """
WITH corpus AS MATERIALIZED (SELECT knowledge.raise_version($1, -cardinality($2::uuid[]), NULL) AS version)
INSERT INTO knowledge.tombstone (bot_id, id, corpus_version, removed_at)
SELECT $1, id, corpus.version, $3 FROM corpus, unnest($2::uuid[]) AS id
"""

# Old tombstones go; the corpus remembers up to which version, for an index that has not seen them.
CLEAR_TOMBSTONES = """
WITH gone AS (
    DELETE FROM knowledge.tombstone WHERE bot_id = $1 AND removed_at < $2 RETURNING corpus_version
)
UPDATE knowledge.corpus
   SET forgotten = greatest(forgotten, (SELECT max(corpus_version) FROM gone))
 WHERE bot_id = $1 AND EXISTS (SELECT FROM gone)
"""

READ_LANGUAGES = "SELECT languages FROM knowledge.corpus WHERE bot_id = $1"

# The bodies of hits with marks around what matched.
MARK = """
SELECT id, title, body,
       ts_headline(knowledge.configuration_of(language), body, knowledge.any_of($3),
                   'HighlightAll=true, StartSel=' || $4 || ', StopSel=' || $5) AS marked
  FROM knowledge.snippet
 WHERE bot_id = $1 AND id = ANY ($2)
"""


@dataclass(frozen=True)
class Spoken:
    """The language of a text, and whether somebody said so."""

    language: str
    is_given: bool


@dataclass(frozen=True)
class Held:
    """A snippet whose row nobody else changes until the transaction ends."""

    snippet: Snippet
    spoken: Spoken
    changed_by: str


@dataclass(frozen=True)
class Marked:
    """A snippet's text, once as it is and once with marks around what matched."""

    title: str
    body: str
    marked: str


async def add_snippet(
    conn: Conn, bot_id: BotId, snippet_id: SnippetId, draft: SnippetDraft, spoken: Spoken, moment: datetime, by: str
) -> Snippet:
    """Insert a snippet and raise the corpus version; raises `CorpusGoneError` when the bot is gone."""
    with refusing({"corpus_bot": CorpusGoneError}):
        row = await conn.fetchrow(
            ADD_SNIPPET,
            bot_id,
            snippet_id,
            draft.title,
            draft.body,
            list(draft.tags),
            draft.source,
            spoken.language,
            spoken.is_given,
            moment,
            by,
        )
    return _snippet(row)


async def get_snippet(conn: Conn, bot_id: BotId, snippet_id: SnippetId) -> Snippet:
    """Read one; raises `SnippetNotFoundError`."""
    row = await conn.fetchrow(GET_SNIPPET, bot_id, snippet_id)
    if row is None:
        raise SnippetNotFoundError
    return _snippet(row)


async def lock_snippet(conn: Conn, bot_id: BotId, snippet_id: SnippetId) -> Held:
    """Read one and keep others from changing it; raises `SnippetNotFoundError`. Wants a transaction."""
    await conn.execute(LOCK_CORPUS, bot_id)
    row = await conn.fetchrow(READ_LOCKED, bot_id, snippet_id)
    if row is None:
        raise SnippetNotFoundError
    spoken = Spoken(row["language"] or NONE_WE_KNOW, row["language_given"] and row["language"] is not None)
    return Held(_snippet(row), spoken, row["changed_by"])


async def list_snippets(conn: Conn, bot_id: BotId, after: SnippetId | None, limit: int) -> list[Snippet]:
    """Read at most `limit`, newest first, beginning behind `after`."""
    return [_snippet(row) for row in await conn.fetch(LIST_SNIPPETS, bot_id, after, limit)]


async def edit_snippet(
    conn: Conn, bot_id: BotId, snippet_id: SnippetId, draft: SnippetDraft, spoken: Spoken, moment: datetime, by: str
) -> Snippet:
    """Write what a snippet is now. Wants the transaction that has locked it."""
    row = await conn.fetchrow(
        EDIT_SNIPPET,
        bot_id,
        snippet_id,
        draft.title,
        draft.body,
        list(draft.tags),
        draft.source,
        spoken.language,
        spoken.is_given,
        moment,
        by,
    )
    return _snippet(row)


async def remove_snippet(conn: Conn, bot_id: BotId, snippet_id: SnippetId, moment: datetime) -> None:
    """Delete one, leaving a tombstone. Wants the transaction that has locked it."""
    await conn.execute(REMOVE_SNIPPET, bot_id, snippet_id)
    await _bury(conn, bot_id, [snippet_id], moment)


async def remove_tagged(conn: Conn, bot_id: BotId, tag: str, moment: datetime) -> list[UUID]:
    """Delete those that have a tag, leaving tombstones, and return their ids. Wants a transaction."""
    await conn.execute(LOCK_CORPUS, bot_id)
    removed = [row["id"] for row in await conn.fetch(REMOVE_TAGGED, bot_id, tag)]
    if removed:
        await _bury(conn, bot_id, removed, moment)
    return removed


async def _bury(conn: Conn, bot_id: BotId, snippet_ids: list[Any], moment: datetime) -> None:
    await conn.execute(BURY, bot_id, snippet_ids, moment)
    await conn.execute(CLEAR_TOMBSTONES, bot_id, moment - TOMBSTONES_KEPT)


async def read_languages(conn: Conn, bot_id: BotId) -> tuple[str, ...]:
    """Read which languages a bot was taught in, the first one first."""
    return tuple(await conn.fetchval(READ_LANGUAGES, bot_id) or ())


async def mark(
    conn: Conn, bot_id: BotId, snippet_ids: list[UUID], lexemes: list[str], marks: tuple[str, str]
) -> dict[UUID, Marked]:
    """Read snippets with marks before and after what matched; one that was deleted meanwhile is missing."""
    rows = await conn.fetch(MARK, bot_id, snippet_ids, lexemes, *marks)
    return {row["id"]: Marked(row["title"], row["body"], row["marked"]) for row in rows}


def _snippet(row: Any) -> Snippet:
    return Snippet.model_validate(dict(row or {}))
