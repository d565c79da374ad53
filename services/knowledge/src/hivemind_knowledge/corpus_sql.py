"""The SQL of searching: what is asked, what has changed, and the ranking itself where no index in memory does it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from hivemind_common.db import Conn
from hivemind_common.ids import BotId
from hivemind_knowledge import ranking
from hivemind_knowledge.languages import NONE_WE_KNOW
from hivemind_knowledge.postings import Lexed
from hivemind_knowledge.ranking import Match, Word

# The words of the question in every language of the corpus, and the version that the corpus has now, in one round trip:
# so an index that is kept in memory can never answer from before a snippet that somebody has just added. Where no
# language is known, English's question words are light.
READ_QUESTION: Final = f"""
SELECT corpus.version, corpus.snippet_count, language, asked.word, asked.lexemes, asked.is_light
  FROM knowledge.corpus,
       unnest(CASE WHEN corpus.languages = '{{{NONE_WE_KNOW}}}' THEN '{{{NONE_WE_KNOW},en}}' ELSE corpus.languages END)
           WITH ORDINALITY AS known (language, number)
       LEFT JOIN LATERAL knowledge.asked($2, language) AS asked ON true
 WHERE corpus.bot_id = $1
 ORDER BY known.number, asked.place
"""

_LEXED: Final = """
SELECT snippet.id, snippet.corpus_version, held.lexemes, held.title, held.body
  FROM knowledge.snippet,
       LATERAL (SELECT coalesce(array_agg(word.lexeme), '{}') AS lexemes,
                       coalesce(array_agg(cardinality(array_positions(word.weights, 'A'))), '{}') AS title,
                       coalesce(array_agg(cardinality(array_positions(word.weights, 'D'))), '{}') AS body
                  FROM unnest(snippet.lexemes) AS word) AS held
 WHERE snippet.bot_id = $1 AND snippet.corpus_version > $2
"""

# What was added, edited and deleted since a version, with the version that it leads to: one statement, so one moment. A
# row without lexemes was deleted. Where tombstones are gone that would be needed, `forgotten` says so.
READ_CHANGES: Final = f"""
SELECT corpus.version, corpus.forgotten, changed.id, changed.lexemes, changed.title, changed.body
  FROM knowledge.corpus
       LEFT JOIN LATERAL (
           SELECT id, lexemes, title, body FROM ({_LEXED}) AS lexed
           UNION ALL
           SELECT id, NULL, NULL, NULL FROM knowledge.tombstone WHERE bot_id = $1 AND corpus_version > $2
       ) AS changed ON true
 WHERE corpus.bot_id = $1
"""

READ_ALL: Final = f"{_LEXED} ORDER BY snippet.id"
READ_VERSION: Final = "SELECT version FROM knowledge.corpus WHERE bot_id = $1"

# The same ranking in SQL: the reference, and what answers while an index is built or is too large to be kept.
# Candidates come through the index that is scoped to the bot, by the words that count; the bot is compared in a form that
# no other index serves, only to rule out a collision of its hashes.
RANK: Final = f"""
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest($2::text[], $3::integer[], $4::float8[], $5::boolean[]) AS each (lexeme, word, weight, is_light)
), corpus AS MATERIALIZED (
    SELECT snippet_count, greatest(title_words / snippet_count::float8, 1) AS title_mean,
           greatest(body_words / snippet_count::float8, 1) AS body_mean
      FROM knowledge.corpus WHERE bot_id = $1 AND snippet_count > 0
), rarity AS MATERIALIZED (
    SELECT asked.*, held.snippets, ln(1 + (corpus.snippet_count + {ranking.PRIOR} - held.snippets + 0.5) / (held.snippets + 0.5)) AS rarity
      FROM asked, corpus,
           LATERAL (SELECT count(*)::float8 AS snippets FROM knowledge.snippet
                     WHERE bot_id IS NOT DISTINCT FROM $1
                       AND knowledge.scoped(bot_id, tsvector_to_array(lexemes)) @> knowledge.scoped($1, ARRAY[asked.lexeme])
                   ) AS held
), candidate AS MATERIALIZED (
    SELECT id, lexemes, length.title, length.body
      FROM knowledge.snippet, knowledge.lengths_of(lexemes) AS length
     WHERE bot_id IS NOT DISTINCT FROM $1
       AND cardinality($6::text[]) > 0
       AND knowledge.scoped(bot_id, tsvector_to_array(lexemes)) && knowledge.scoped($1, $6)
), gain AS (
    SELECT candidate.id, candidate.title, rarity.word, rarity.is_light,
           max(CASE WHEN 'A' = ANY (held.weights) THEN 1 ELSE 0 END) AS titled,
           max(rarity.weight * rarity.rarity * {ranking.K1 + 1} * often.times / ({ranking.K1} + often.times)) AS gain
      FROM candidate CROSS JOIN corpus CROSS JOIN unnest(candidate.lexemes) AS held JOIN rarity USING (lexeme),
           LATERAL (SELECT {ranking.TITLE} * cardinality(array_positions(held.weights, 'A'))
                           / ({1 - ranking.B} + {ranking.B} * candidate.title / corpus.title_mean)
                         + cardinality(array_positions(held.weights, 'D'))
                           / ({1 - ranking.B} + {ranking.B} * candidate.body / corpus.body_mean) AS times) AS often
     GROUP BY candidate.id, candidate.title, rarity.word, rarity.is_light
), most AS MATERIALIZED (
    SELECT coalesce(sum(best.rarity), 0) * {ranking.K1 + 1} AS most
      FROM (SELECT coalesce(max(rarity) FILTER (WHERE snippets > 0), max(rarity)) AS rarity
              FROM rarity WHERE NOT is_light GROUP BY word) AS best
)
SELECT id, round((sum(gain) * (1 + {ranking.WHOLE_TITLE} * sum(titled) / greatest(title, 1)::float8))::numeric,
                 {ranking.DIGITS})::float8 AS score,
       sum(gain) FILTER (WHERE NOT is_light) AS solid,
       count(*) FILTER (WHERE NOT is_light) AS held, most.most, corpus.snippet_count
  FROM gain, most, corpus
 GROUP BY id, title, most.most, corpus.snippet_count
HAVING sum(gain) FILTER (WHERE NOT is_light) > 0
 ORDER BY score DESC, id
 LIMIT $7
"""

# Which lexemes nothing holds, without counting those that something does.
READ_UNKNOWN: Final = """
SELECT lexeme FROM unnest($2::text[]) AS lexeme
 WHERE NOT EXISTS (SELECT FROM knowledge.snippet
                    WHERE bot_id IS NOT DISTINCT FROM $1
                      AND knowledge.scoped(bot_id, tsvector_to_array(lexemes)) @> knowledge.scoped($1, ARRAY[lexeme]))
"""


@dataclass(frozen=True)
class Asked:
    """A question's word in one language."""

    language: str
    word: str
    lexemes: tuple[str, ...]
    is_light: bool


@dataclass(frozen=True)
class Question:
    """What is asked of a corpus, and the version that it has at that moment; 0 where there is none."""

    version: int
    snippet_count: int
    asked: tuple[Asked, ...]
    languages: tuple[str, ...]


@dataclass(frozen=True)
class Changes:
    """What leads a corpus to a version."""

    version: int
    forgotten: int
    changed: list[Lexed]
    removed: list[UUID]


async def read_question(conn: Conn, bot_id: BotId, text: str) -> Question:
    """Turn what was asked into lexemes, with the version of the corpus they are asked of."""
    rows = await conn.fetch(READ_QUESTION, bot_id, text)
    if not rows:
        return Question(0, 0, (), ())
    asked = tuple(
        Asked(row["language"], row["word"], tuple(row["lexemes"]), row["is_light"])
        for row in rows
        if row["word"] is not None
    )
    languages = tuple(dict.fromkeys(row["language"] for row in rows))
    return Question(rows[0]["version"], rows[0]["snippet_count"], asked, languages)


async def read_changes(conn: Conn, bot_id: BotId, since: int) -> Changes | None:
    """Read what has changed since a version; None where the corpus is gone."""
    rows = await conn.fetch(READ_CHANGES, bot_id, since)
    if not rows:
        return None
    changed = [_lexed(row, rows[0]["version"]) for row in rows if row["lexemes"] is not None]
    removed = [row["id"] for row in rows if row["id"] is not None and row["lexemes"] is None]
    return Changes(rows[0]["version"], rows[0]["forgotten"], changed, removed)


async def read_all(conn: Conn, bot_id: BotId, batch: int) -> AsyncIterator[list[Lexed]]:
    """Read all snippets in batches, by age. Wants a transaction that shows one moment."""
    lot: list[Lexed] = []
    async for row in conn.cursor(READ_ALL, bot_id, -1, prefetch=batch):
        lot.append(_lexed(row, row["corpus_version"]))
        if len(lot) == batch:
            yield lot
            lot = []
    yield lot


async def read_version(conn: Conn, bot_id: BotId) -> int:
    """Read the version of a corpus; 0 where there is none."""
    return int(await conn.fetchval(READ_VERSION, bot_id) or 0)


async def rank(conn: Conn, bot_id: BotId, words: Sequence[Word], limit: int) -> list[tuple[UUID, Match]]:
    """Rank as `Corpus.rank` does, in SQL."""
    heavy = [word for word in words if not word.is_light]
    if not heavy:
        return []
    flat = [(variant, place, word) for place, word in enumerate(words) for variant in word.variants]
    rows = await conn.fetch(
        RANK,
        bot_id,
        [variant.lexeme for variant, _, _ in flat],
        [place for _, place, _ in flat],
        [variant.weight * word.weight for variant, _, word in flat],
        [word.is_light for _, _, word in flat],
        [variant.lexeme for variant, _, word in flat if not word.is_light],
        limit,
    )
    return [
        (
            row["id"],
            Match(
                row["score"], ranking.coverage(row["solid"], row["most"], row["held"], len(heavy), row["snippet_count"])
            ),
        )
        for row in rows
    ]


async def read_unknown(conn: Conn, bot_id: BotId, lexemes: list[str]) -> set[str]:
    """Return those lexemes that no snippet of a bot holds."""
    return {row["lexeme"] for row in await conn.fetch(READ_UNKNOWN, bot_id, lexemes)}


def _lexed(row: Any, version: int) -> Lexed:
    return Lexed(row["id"], version, tuple(row["lexemes"]), tuple(row["title"]), tuple(row["body"]))
