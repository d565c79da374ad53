"""The SQL of snippets, each statement on the connection that it is given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from hivemind_common.contracts.knowledge import CorpusGoneError, Snippet, SnippetDraft, SnippetNotFoundError
from hivemind_common.db import Conn, refusing
from hivemind_common.ids import BotId, SnippetId

_COLUMNS: Final = "id, title, body, tags, source, language, created_at, updated_at"

ADD_SNIPPET = f"""
WITH corpus AS MATERIALIZED (SELECT knowledge.raise_version($1, 1, $7) AS version)
INSERT INTO knowledge.snippet
       (bot_id, id, title, body, tags, source, language, corpus_version, created_at, updated_at)
SELECT $1, $2, $3, $4, $5, $6, $7, corpus.version, $8, $8 FROM corpus
RETURNING {_COLUMNS}
"""

GET_SNIPPET = f"SELECT {_COLUMNS} FROM knowledge.snippet WHERE bot_id = $1 AND id = $2"

# Ids are made in the order of time, so the newest come first and ties cannot be.
LIST_SNIPPETS = f"""
SELECT {_COLUMNS}
  FROM knowledge.snippet
 WHERE bot_id = $1 AND ($2::uuid IS NULL OR id < $2)
 ORDER BY id DESC
 LIMIT $3
"""

REMOVE_SNIPPET = "DELETE FROM knowledge.snippet WHERE bot_id = $1 AND id = $2 RETURNING id"

BURY_SNIPPET = """
INSERT INTO knowledge.tombstone (bot_id, id, corpus_version, removed_at)
SELECT $1, $2, knowledge.raise_version($1, -1, NULL), $3
"""

# What was asked, as lexemes of every language that this bot was taught in: without the short words that all texts
# share, so a question of nothing but these asks for nothing.
READ_QUESTION = """
SELECT corpus.snippet_count,
       tsvector_to_array(to_tsvector(knowledge.stopping_configuration_of(language), $2)) AS lexemes
  FROM knowledge.corpus, unnest(corpus.languages) AS language
 WHERE corpus.bot_id = $1
"""

# Candidates through the index that is scoped to the bot, any lexeme being enough; then Postgres's own ranking, with
# which of the lexemes each one holds, so that how rare they are here can be told without another question. The bot
# stands in the index's hashes already; it is compared in a form that no other index serves, only to rule out a collision.
FIND_CANDIDATES = """
WITH candidate AS MATERIALIZED (
    SELECT id, ts_rank('{0.15, 0.15, 0.15, 1.0}', lexemes, knowledge.any_of($2)) AS score,
           ARRAY(SELECT unnest($2::text[]) INTERSECT SELECT unnest(tsvector_to_array(lexemes))) AS matched
      FROM knowledge.snippet
     WHERE bot_id IS NOT DISTINCT FROM $1
       AND cardinality($2::text[]) > 0
       AND knowledge.scoped(bot_id, tsvector_to_array(lexemes)) && knowledge.scoped($1, $2)
), best AS (
    SELECT id, score, matched FROM candidate WHERE cardinality(matched) > 0 ORDER BY score DESC, id LIMIT $3
), frequency AS (
    SELECT word, count(*) AS snippets FROM candidate, unnest(matched) AS word GROUP BY word
)
SELECT id, score, matched,
       (SELECT array_agg(word ORDER BY word) FROM frequency) AS words,
       (SELECT array_agg(snippets ORDER BY word) FROM frequency) AS frequencies
  FROM best
 ORDER BY score DESC, id
"""

# The bodies of hits with marks around what matched.
MARK = """
SELECT id, title, body,
       ts_headline(knowledge.configuration_of(language), body, knowledge.any_of($3),
                   'HighlightAll=true, StartSel=' || $4 || ', StopSel=' || $5) AS marked
  FROM knowledge.snippet
 WHERE bot_id = $1 AND id = ANY ($2)
"""


@dataclass(frozen=True)
class Question:
    """A question as lexemes, and how large the corpus is that it is asked of."""

    snippet_count: int
    lexemes: tuple[str, ...]


@dataclass(frozen=True)
class Candidate:
    """A snippet that holds some of the question's lexemes."""

    id: SnippetId
    score: float
    matched: frozenset[str]


@dataclass(frozen=True)
class Candidates:
    """The best candidates, the best first, and in how many snippets of the bot each lexeme of the question stands."""

    items: tuple[Candidate, ...]
    frequencies: dict[str, int]


@dataclass(frozen=True)
class Marked:
    """A snippet's text, once as it is and once with marks around what matched."""

    title: str
    body: str
    marked: str


async def add_snippet(
    conn: Conn, bot_id: BotId, snippet_id: SnippetId, draft: SnippetDraft, moment: datetime
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
            draft.language,
            moment,
        )
    return Snippet.model_validate(dict(row or {}))


async def get_snippet(conn: Conn, bot_id: BotId, snippet_id: SnippetId) -> Snippet:
    """Read one; raises `SnippetNotFoundError`."""
    row = await conn.fetchrow(GET_SNIPPET, bot_id, snippet_id)
    if row is None:
        raise SnippetNotFoundError
    return Snippet.model_validate(dict(row))


async def list_snippets(conn: Conn, bot_id: BotId, after: SnippetId | None, limit: int) -> list[Snippet]:
    """Read at most `limit`, newest first, beginning behind `after`."""
    rows = await conn.fetch(LIST_SNIPPETS, bot_id, after, limit)
    return [Snippet.model_validate(dict(row)) for row in rows]


async def remove_snippet(conn: Conn, bot_id: BotId, snippet_id: SnippetId, moment: datetime) -> None:
    """Delete one, leaving a tombstone; raises `SnippetNotFoundError`. Wants a transaction."""
    if await conn.fetchrow(REMOVE_SNIPPET, bot_id, snippet_id) is None:
        raise SnippetNotFoundError
    await conn.execute(BURY_SNIPPET, bot_id, snippet_id, moment)


async def read_question(conn: Conn, bot_id: BotId, text: str) -> Question:
    """Turn what was asked into lexemes, with the size of the corpus they are asked of."""
    rows = await conn.fetch(READ_QUESTION, bot_id, text)
    lexemes = dict.fromkeys(lexeme for row in rows for lexeme in row["lexemes"])
    return Question(rows[0]["snippet_count"] if rows else 0, tuple(lexemes))


async def find_candidates(conn: Conn, bot_id: BotId, lexemes: tuple[str, ...], limit: int) -> Candidates:
    """Find the snippets of a bot that hold any of the lexemes, the best first."""
    rows = await conn.fetch(FIND_CANDIDATES, bot_id, list(lexemes), limit)
    frequencies = dict(zip(rows[0]["words"], rows[0]["frequencies"], strict=True)) if rows else {}
    items = (Candidate(SnippetId(row["id"]), float(row["score"]), frozenset(row["matched"])) for row in rows)
    return Candidates(tuple(items), frequencies)


async def mark(
    conn: Conn, bot_id: BotId, snippet_ids: list[SnippetId], lexemes: tuple[str, ...], marks: tuple[str, str]
) -> dict[UUID, Marked]:
    """Read snippets with marks before and after what matched; one that was deleted meanwhile is missing."""
    rows = await conn.fetch(MARK, bot_id, snippet_ids, list(lexemes), *marks)
    return {row["id"]: Marked(row["title"], row["body"], row["marked"]) for row in rows}
