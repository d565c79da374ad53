"""How fast the search is, and how it grows: `.venv/bin/python -m bench.search_speed [--bots 1000]`.

One bot with 1,000 snippets is asked questions of ten words, first alone in its instance, then among 1,000 bots with a million
snippets; beside it the way one would take first in Postgres: a GIN index over the lexemes and a B-tree over the bots, any word,
`ts_rank`. Then one bot with 100,000 snippets: against the same, and its ten best against the exact ranking in SQL. Words are
made up and as unevenly frequent as words are (Zipf). Rounds alternate; what is told is their median.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import accumulate
from statistics import median, quantiles
from typing import Any, Final

from bench.report import Figure, figure, finish, note
from bench.retrieval import Rig, rig
from hivemind_common.ids import BotId
from hivemind_common.testing.bots import make_bot
from hivemind_knowledge import corpus_sql

VOCABULARY: Final = 30_000
SNIPPETS: Final = 1_000
LARGE: Final = 100_000
POOL: Final = 20_000
"""Texts that are made; a bot gets as many of them by chance as it has snippets."""

QUESTIONS: Final = 40
ROUNDS: Final = 5
LIMIT: Final = 10

ADD: Final = """
WITH corpus AS MATERIALIZED (SELECT knowledge.raise_version($1, $2, 'en') AS version)
INSERT INTO knowledge.snippet (bot_id, id, title, body, tags, language, corpus_version, created_at, updated_at)
SELECT $1, gen_random_uuid(), title, body, '{}', 'en', corpus.version, now(), now()
  FROM corpus, (SELECT title, body FROM pool, generate_series(1, 1 + $2 / (SELECT count(*)::integer FROM pool))
                 ORDER BY hashtextextended(pool.id::text, $3) LIMIT $2) AS chosen
"""

PLAIN: Final = """
SELECT id FROM plain WHERE bot_id = $1 AND lexemes @@ $2::tsquery ORDER BY ts_rank(lexemes, $2::tsquery) DESC, id LIMIT 10
"""


class Language:
    """Made-up words, few of them frequent."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
        self._words = [
            "".join(self._chance.choices(syllables, k=self._chance.randint(2, 4))) for _ in range(VOCABULARY)
        ]
        self._weights = list(accumulate(1 / (rank + 5) for rank in range(VOCABULARY)))

    def text(self, words: int) -> str:
        """Return a text of so many words."""
        return " ".join(self._chance.choices(self._words, cum_weights=self._weights, k=words))


async def fill(made: Rig, language: Language) -> None:
    """Make the texts."""
    await made.owner.execute("CREATE UNLOGGED TABLE pool (id integer PRIMARY KEY, title text, body text)")
    rows = [(number, language.text(5), language.text(60)) for number in range(POOL)]
    await made.owner.copy_records_to_table("pool", records=rows)
    await made.owner.execute("ANALYZE pool")


async def teach(made: Rig, bot_id: BotId, snippets: int, seed: int) -> None:
    """Teach a bot so many of them."""
    await made.owner.execute(ADD, bot_id, snippets, seed)


async def mirror(made: Rig) -> None:
    """Keep the same snippets as one would first."""
    for statement in (
        "DROP TABLE IF EXISTS plain",
        "CREATE UNLOGGED TABLE plain AS SELECT bot_id, id, lexemes FROM knowledge.snippet",
        "CREATE INDEX ON plain USING gin (lexemes)",
        "CREATE INDEX ON plain (bot_id)",
        "VACUUM ANALYZE plain",
        "VACUUM ANALYZE knowledge.snippet",
    ):
        await made.owner.execute(statement)


async def compare(made: Rig, bot_id: BotId, questions: Sequence[str], rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of each search, by each way, the ways in turn."""

    async def ours(text: str) -> None:
        await made.finder.find(bot_id, text, LIMIT)

    async def plain(text: str) -> None:
        await made.owner.fetch(PLAIN, bot_id, " | ".join(text.split()))

    for text in questions[:5]:
        await ours(text)
        await plain(text)
    while await made.shelf.wait_for_build(bot_id, 600):
        await ours(questions[0])
    found: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(rounds):
        found["ours"] += await _timed(ours, questions)
        found["plain"] += await _timed(plain, questions)
    return found


async def _timed(way: Callable[[str], Awaitable[None]], questions: Sequence[str]) -> list[float]:
    taken = []
    for text in questions:
        started = time.perf_counter()
        await way(text)
        taken.append((time.perf_counter() - started) * 1000)
    return taken


async def agrees(made: Rig, bot_id: BotId, questions: Sequence[str]) -> float:
    """Return the share of questions whose ten best are those of the exact ranking in SQL, in its order."""
    same = 0
    for text in questions:
        found = await made.finder.find(bot_id, text, LIMIT)
        async with made.database.connection() as conn:
            exact = await corpus_sql.rank(conn, bot_id, found.words, LIMIT)
        same += [each for each, _ in found.hits] == [each for each, _ in exact]
    return same / len(questions)


async def measure(bots: int, rounds: int) -> tuple[list[Figure], list[dict[str, Any]]]:
    """Measure; returns the table and the rounds."""
    figures: list[Figure] = []
    kept: list[dict[str, Any]] = []
    language = Language(1)
    questions = [language.text(10) for _ in range(QUESTIONS)]
    async with rig() as made:
        await fill(made, language)
        bot_id = await make_bot(made.owner)
        await teach(made, bot_id, SNIPPETS, 0)
        await mirror(made)
        small = await compare(made, bot_id, questions, rounds)
        for number in range(1, bots):
            await teach(made, await make_bot(made.owner), SNIPPETS, number)
            if number % 50 == 0:
                note(f"{(number + 1) * SNIPPETS:,} snippets")
        await mirror(made)
        large = await compare(made, bot_id, questions, rounds)
        kept += [{"snippets": SNIPPETS} | small, {"snippets": bots * SNIPPETS} | large]
        for name, found in (("1 k", small), (f"{bots} k", large)):
            for way, taken in found.items():
                figures.append(figure(f"one of {SNIPPETS:,}, {way}, p50", f"instance of {name}", median(taken), "ms"))
                figures.append(figure(f"one of {SNIPPETS:,}, {way}, p99", f"instance of {name}", _p99(taken), "ms"))
        ratio = median(large["plain"]) / median(large["ours"])
        figures.append(figure("against GIN and B-tree", f"{bots} k", ratio, "×", least=25))
        figures.append(
            figure("growth", f"1 k to {bots} k", median(large["ours"]) / median(small["ours"]), "×", most=1.3)
        )
        figures.append(figure("p99", f"{bots} k", _p99(large["ours"]), "ms", most=5))
        note(f"one bot of {LARGE:,}")
        giant = await make_bot(made.owner)
        for part in range(LARGE // POOL):
            await teach(made, giant, POOL, 10_000 + part)
        await mirror(made)
        found = await compare(made, giant, questions, rounds)
        kept.append({"bot": LARGE} | found)
        for way, taken in found.items():
            figures.append(figure(f"one of {LARGE:,}, {way}, p50", "alone", median(taken), "ms"))
            figures.append(figure(f"one of {LARGE:,}, {way}, p99", "alone", _p99(taken), "ms"))
        ratio = median(found["plain"]) / median(found["ours"])
        figures.append(figure("against any word and ts_rank", f"bot of {LARGE:,}", ratio, "×", least=10))
        share = await agrees(made, giant, questions[:10])
        figures.append(figure("same ten as the exact ranking", f"bot of {LARGE:,}", 100 * share, "%", least=100))
        async with made.database.connection() as conn, made.shelf.holding(conn, giant, 1, LARGE) as corpus:
            size = corpus.size if corpus is not None else 0
        figures.append(figure("index in memory", f"bot of {LARGE:,}", size / 2**20, "MiB"))
    return figures, kept


def _p99(taken: list[float]) -> float:
    return quantiles(taken, n=100)[98]


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--bots", type=int, default=1_000, help="of a thousand snippets each")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    figures, rounds = asyncio.run(measure(options.bots, options.rounds))
    return finish("search_speed", figures, rounds, writes=not options.no_write)


if __name__ == "__main__":
    sys.exit(main())
