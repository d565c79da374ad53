"""The index in memory answers as plain SQL does, whatever was written since and by whomever."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from hivemind_common.contracts.knowledge import SnippetDraft
from hivemind_common.db import Conn, Database
from hivemind_common.ids import BotId, SnippetId, new_id
from hivemind_common.telemetry import Metrics
from hivemind_common.testing.bots import make_bot
from hivemind_knowledge import corpus_sql, storage
from hivemind_knowledge.corpus import Corpus
from hivemind_knowledge.postings import Lexed
from hivemind_knowledge.ranking import Match, Variant, Word
from hivemind_knowledge.shelf import Shelf, open_shelf
from hivemind_knowledge.storage import Spoken

MOMENT = datetime(2026, 11, 25, tzinfo=UTC)
NOUNS = [f"{first}{second}" for first in ("zor", "bal", "mek", "tiv", "pul") for second in ("tak", "nim", "rog", "sel")]
SHORT = ["how", "the", "of", "is", "to"]


def words(*texts: str) -> list[Word]:
    return [Word(text, (Variant(text),), is_light=text in SHORT) for text in texts]


def text_of(chance: random.Random, most: int) -> str:
    # Some words are everywhere and some are rare, as in any language.
    return " ".join(
        chance.choice(SHORT) if chance.random() < 0.3 else NOUNS[min(int(chance.expovariate(0.25)), len(NOUNS) - 1)]
        for _ in range(chance.randint(1, most))
    )


class Writer:
    """Adds, edits and deletes at random, as the service does."""

    def __init__(self, database: Database, bot_id: BotId, seed: int) -> None:
        self.chance = random.Random(seed)
        self._database = database
        self._bot_id = bot_id
        self.known: list[SnippetId] = []

    async def write(self) -> None:
        act = self.chance.random()
        async with self._database.transaction() as conn:
            if act < 0.6 or not self.known:
                self.known.append(await self.add(conn))
            elif act < 0.8:
                await self._edit(conn, self.chance.choice(self.known))
            elif act < 0.95:
                gone = self.known.pop(self.chance.randrange(len(self.known)))
                await storage.lock_snippet(conn, self._bot_id, gone)
                await storage.remove_snippet(conn, self._bot_id, gone, MOMENT)
            else:
                gone_ids = set(await storage.remove_tagged(conn, self._bot_id, "odd", MOMENT))
                self.known = [each for each in self.known if each not in gone_ids]

    async def add(self, conn: Conn) -> SnippetId:
        snippet_id = SnippetId(new_id())
        await storage.add_snippet(conn, self._bot_id, snippet_id, self._draft(), Spoken("en", True), MOMENT, "me")
        return snippet_id

    async def _edit(self, conn: Conn, snippet_id: SnippetId) -> None:
        await storage.lock_snippet(conn, self._bot_id, snippet_id)
        await storage.edit_snippet(conn, self._bot_id, snippet_id, self._draft(), Spoken("en", True), MOMENT, "me")

    def _draft(self) -> SnippetDraft:
        tags = ("odd",) if self.chance.random() < 0.1 else ()
        return SnippetDraft(title=text_of(self.chance, 4), body=text_of(self.chance, 40), tags=tags)


async def both(conn: Conn, shelf: Shelf, bot_id: BotId, asked: list[Word], limit: int) -> tuple[Any, Any]:
    """Rank in memory and in SQL, nobody writing in between."""
    question = await corpus_sql.read_question(conn, bot_id, "x")
    async with shelf.holding(conn, bot_id, question.version, question.snippet_count) as corpus:
        in_memory = corpus.rank(asked, limit) if corpus is not None else []
    return in_memory, await corpus_sql.rank(conn, bot_id, asked, limit)


def same(found: list[tuple[UUID, Match]], expected: list[tuple[UUID, Match]]) -> None:
    assert [each for each, _ in found] == [each for each, _ in expected]
    for (_, ours), (_, theirs) in zip(found, expected, strict=True):
        assert ours.score == pytest.approx(theirs.score, rel=1e-7)
        assert ours.coverage == pytest.approx(theirs.coverage, rel=1e-7)


@pytest.mark.parametrize("seed", range(6))
async def test_memory_ranks_as_sql_does_whatever_was_written(knowing: Database, bot_id: BotId, seed: int) -> None:
    writer = Writer(knowing, bot_id, seed)
    chance = random.Random(seed + 1000)
    async with open_shelf(knowing, Metrics("knowledge")) as shelf:
        for _ in range(60):
            for _ in range(chance.randint(0, 5)):
                await writer.write()
            if chance.random() < 0.05:
                shelf.drop(bot_id)
            asked = words(*dict.fromkeys(text_of(chance, 7).split()))
            async with knowing.connection() as conn:
                same(*await both(conn, shelf, bot_id, asked, chance.choice((1, 3, 10, 50))))


async def test_similar_words_count_the_same_in_both(knowing: Database, bot_id: BotId) -> None:
    writer = Writer(knowing, bot_id, 7)
    async with knowing.transaction() as conn:
        for _ in range(80):
            await writer.add(conn)
    asked = [
        Word("x", (Variant(NOUNS[0], 0.8), Variant(NOUNS[1], 0.6), Variant("nowhere"))),
        Word("y", (Variant(NOUNS[1]),)),
        Word("the", (Variant("the"),), is_light=True),
        Word("nothing", (Variant("nothing"),)),
    ]
    async with open_shelf(knowing, Metrics("knowledge")) as shelf, knowing.connection() as conn:
        in_memory, in_sql = await both(conn, shelf, bot_id, asked, 10)
    assert len(in_memory) == 10
    same(in_memory, in_sql)


async def test_each_replica_finds_what_was_just_written_under_concurrent_writers(
    knowing: Database, bot_id: BotId
) -> None:
    """Two shelves are two replicas; whatever a writer has committed is found by the next search at either."""
    async with (
        open_shelf(knowing, Metrics("knowledge")) as first,
        open_shelf(knowing, Metrics("knowledge")) as second,
    ):

        async def add_and_find(number: int) -> None:
            word = f"unique{number}q"
            draft = SnippetDraft(title="t", body=f"{word} body")
            snippet_id = SnippetId(new_id())
            async with knowing.transaction() as conn:
                await storage.add_snippet(conn, bot_id, snippet_id, draft, Spoken("und", True), MOMENT, "me")
            for shelf in (first, second):
                assert await found(shelf, word) == [snippet_id]
            if number % 3 == 0:
                async with knowing.transaction() as conn:
                    await storage.lock_snippet(conn, bot_id, snippet_id)
                    await storage.remove_snippet(conn, bot_id, snippet_id, MOMENT)
                for shelf in (first, second):
                    assert await found(shelf, word) == []

        async def found(shelf: Shelf, word: str) -> list[UUID]:
            async with knowing.connection() as conn:
                question = await corpus_sql.read_question(conn, bot_id, word)
                async with shelf.holding(conn, bot_id, question.version, question.snippet_count) as corpus:
                    return [each for each, _ in corpus.rank(words(word), 5)] if corpus is not None else []

        async with asyncio.TaskGroup() as group:
            for lane in range(4):
                group.create_task(_in_turn(add_and_find, range(lane, 80, 4)))


async def _in_turn(act: Any, numbers: range) -> None:
    for number in numbers:
        await act(number)


async def test_an_index_that_missed_deletions_is_built_anew(knowing: Database, bot_id: BotId, owner: Any) -> None:
    writer = Writer(knowing, bot_id, 3)
    async with open_shelf(knowing, Metrics("knowledge")) as shelf, knowing.connection() as conn:
        async with knowing.transaction() as other:
            kept, gone = await writer.add(other), await writer.add(other)
        await both(conn, shelf, bot_id, words(*NOUNS), 50)
        async with knowing.transaction() as other:
            await storage.remove_snippet(other, bot_id, gone, MOMENT)
        await owner.execute("UPDATE knowledge.corpus SET forgotten = version WHERE bot_id = $1", bot_id)
        await owner.execute("DELETE FROM knowledge.tombstone WHERE bot_id = $1", bot_id)

        in_memory, in_sql = await both(conn, shelf, bot_id, words(*NOUNS), 50)

    assert {each for each, _ in in_memory} <= {kept}
    same(in_memory, in_sql)


async def test_a_large_bot_is_built_beside_and_sql_answers_meanwhile(knowing: Database, bot_id: BotId) -> None:
    writer = Writer(knowing, bot_id, 5)
    async with knowing.transaction() as conn:
        for _ in range(30):
            await writer.add(conn)
    async with open_shelf(knowing, Metrics("knowledge"), built_at_once=10) as shelf, knowing.connection() as conn:
        question = await corpus_sql.read_question(conn, bot_id, "x")
        async with shelf.holding(conn, bot_id, question.version, question.snippet_count) as corpus:
            assert corpus is None
        assert await shelf.wait_for_build(bot_id, 30)
        async with shelf.holding(conn, bot_id, question.version, question.snippet_count) as corpus:
            assert corpus is not None
            assert len(corpus) == 30
        assert not await shelf.wait_for_build(bot_id, 0)


async def test_the_least_used_index_makes_room(knowing: Database, owner: Any) -> None:
    bots = [await make_bot(owner) for _ in range(3)]
    sizes = []
    for number, bot_id in enumerate(bots):
        writer = Writer(knowing, bot_id, number)
        async with knowing.transaction() as conn:
            for _ in range(20):
                await writer.add(conn)

    async def use(shelf: Shelf, bot_id: BotId) -> Corpus | None:
        async with knowing.connection() as conn, shelf.holding(conn, bot_id, 1, 20) as corpus:
            return corpus

    async with open_shelf(knowing, Metrics("knowledge")) as shelf:
        for bot_id in bots:
            corpus = await use(shelf, bot_id)
            assert corpus is not None
            sizes.append(corpus.size)
    async with open_shelf(knowing, Metrics("knowledge"), most_bytes=sum(sizes) - 1) as shelf:
        first = await use(shelf, bots[0])
        second = await use(shelf, bots[1])
        assert await use(shelf, bots[0]) is first
        await use(shelf, bots[2])
        assert await use(shelf, bots[0]) is first
        assert await use(shelf, bots[1]) is not second
    async with open_shelf(knowing, Metrics("knowledge"), most_bytes=100) as shelf:
        assert await use(shelf, bots[0]) is None
        assert await use(shelf, bots[0]) is None


def test_the_order_of_ties_is_that_of_age() -> None:
    ids = sorted(new_id() for _ in range(9))
    snippets = [Lexed(each, 1, ("same",), (0,), (1,)) for each in ids]
    corpus = Corpus.of(1, list(reversed(snippets[:4])))
    for number, each in enumerate(snippets[4:], start=2):
        corpus.apply(number, [each], ())

    assert [each for each, _ in corpus.rank(words("same"), 5)] == ids[:5]


def test_merging_forgets_what_is_struck() -> None:
    corpus = Corpus(0)
    ids = [new_id() for _ in range(400)]
    for number, each in enumerate(ids, start=1):
        corpus.apply(number, [Lexed(each, number, (f"w{number}", "all"), (1, 0), (0, 1))], ())
    full = corpus.size
    corpus.apply(401, [], ids[:390])

    assert len(corpus) == 10
    assert corpus.frequency("all") == 10
    assert corpus.size < full / 10
    assert set(corpus.all_words()) == {"all", *(f"w{number}" for number in range(391, 401))}
