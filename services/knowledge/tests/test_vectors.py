"""What the extra `embeddings` adds, and that nothing changes without it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from hivemind_common.clock import system_clock
from hivemind_common.contracts.knowledge import SnippetDraft
from hivemind_common.db import Database
from hivemind_common.ids import BotId, SnippetId, new_id
from hivemind_common.telemetry import Metrics
from hivemind_common.testing.waiting import until
from hivemind_knowledge import storage, vectors_sql
from hivemind_knowledge.finder import Finder
from hivemind_knowledge.minilm import WIDTH, MiniLM, Vectors
from hivemind_knowledge.ranking import Match
from hivemind_knowledge.shelf import open_shelf
from hivemind_knowledge.storage import Spoken
from hivemind_knowledge.vectors import Meanings, fused, open_meanings

MOMENT = datetime(2026, 11, 25, tzinfo=UTC)
ENGLISH = Spoken("en", True)


class Fake:
    """Stands in for the model where only what is around it is looked at: a text's vector is told by its first letter."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        made = np.zeros((len(texts), WIDTH), dtype=np.float32)
        for row, text in enumerate(texts):
            made[row, ord(text[0].lower()) % WIDTH] = 1
        return made


@asynccontextmanager
async def finding(database: Database, **more: Any) -> AsyncIterator[tuple[Finder, Meanings]]:
    metrics = Metrics("knowledge")
    more = {"is_wanted": True, "make": Fake, **more}
    async with open_shelf(database, metrics) as shelf, open_meanings(database, metrics, **more) as meanings:
        yield Finder(database, shelf, meanings, clock=system_clock, new_id=new_id, metrics=metrics), meanings


async def add(database: Database, bot_id: BotId, title: str, body: str) -> UUID:
    snippet_id = SnippetId(new_id())
    async with database.transaction() as conn:
        draft = SnippetDraft(title=title, body=body)
        await storage.add_snippet(conn, bot_id, snippet_id, draft, ENGLISH, MOMENT, "me")
    return snippet_id


async def pending(owner: Any) -> int:
    if await owner.fetchval("SELECT to_regclass('knowledge.embedding')") is None:
        return -1
    return int(await owner.fetchval(vectors_sql.COUNT_PENDING))


async def found(finder: Finder, bot_id: BotId, text: str) -> list[UUID]:
    return [each for each, _ in (await finder.find(bot_id, text, 5)).hits]


async def test_without_it_nothing_is_made(knowing: Database, bot_id: BotId, owner: Any) -> None:
    refund = await add(knowing, bot_id, "Refunds", "They take ten days.")
    async with finding(knowing, is_wanted=False) as (finder, meanings):
        assert await found(finder, bot_id, "refund") == [refund]
        assert not meanings.is_ready
    assert await pending(owner) == -1


@pytest.mark.parametrize("code", ["0A000", "58P01", "42501", "42704"])
async def test_where_postgres_has_no_vectors_the_search_goes_on_without(
    knowing: Database, bot_id: BotId, owner: Any, code: str
) -> None:
    refund = await add(knowing, bot_id, "Refunds", "They take ten days.")
    as_it_was = await owner.fetchval("SELECT pg_get_functiondef('knowledge.prepare_vectors'::regproc)")
    await owner.execute(
        "CREATE OR REPLACE FUNCTION knowledge.prepare_vectors() RETURNS text LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$"
    )
    try:
        async with knowing.connection() as conn:
            with pytest.raises(vectors_sql.NoVectorsError):
                await vectors_sql.prepare(conn)
        async with finding(knowing) as (finder, meanings):
            assert await found(finder, bot_id, "refund") == [refund]
            assert not meanings.is_ready
    finally:
        await owner.execute(as_it_was)


async def test_the_real_model_finds_what_is_meant(knowing: Database, bot_id: BotId, owner: Any) -> None:
    password = await add(knowing, bot_id, "Reset a password", "Click the link on the sign-in page.")
    await add(knowing, bot_id, "Opening hours", "We are open from nine to five.")
    async with finding(knowing, make=MiniLM) as (finder, meanings):
        await _until_ready(meanings)
        await _until_made(owner)

        assert (await found(finder, bot_id, "I cannot remember my credentials"))[0] == password
        assert await found(finder, bot_id, "what is it") == []
        # What is taught now is found by its words at once, and by its meaning a moment later.
        parcel = await add(knowing, bot_id, "Tracking", "Parcels have a number.")
        assert parcel in await found(finder, bot_id, "parcel number")
        await _until_made(owner)
        assert (await found(finder, bot_id, "where is my shipment"))[0] == parcel


async def test_an_edit_is_meant_anew_and_a_deletion_not_at_all(knowing: Database, bot_id: BotId, owner: Any) -> None:
    async with finding(knowing) as (finder, meanings):
        await _until_ready(meanings)
        snippet_id = SnippetId(await add(knowing, bot_id, "Alpha", "one"))
        await _until_made(owner)
        assert await found(finder, bot_id, "aaa") == [snippet_id]
        async with knowing.transaction() as conn:
            await storage.lock_snippet(conn, bot_id, snippet_id)
            draft = SnippetDraft(title="Beta", body="one")
            await storage.edit_snippet(conn, bot_id, snippet_id, draft, ENGLISH, MOMENT, "me")
        await _until_made(owner)
        async with knowing.connection() as conn:
            near = await meanings.near(conn, bot_id, "bbb", [])
            assert near is not None
            assert near[snippet_id] == pytest.approx(1)
        async with knowing.transaction() as conn:
            await storage.remove_snippet(conn, bot_id, snippet_id, MOMENT)
        assert await found(finder, bot_id, "bbb") == []


async def test_a_vector_of_an_old_text_is_not_kept(knowing: Database, bot_id: BotId) -> None:
    async with knowing.transaction() as conn:
        home = await vectors_sql.prepare(conn)
    snippet_id = SnippetId(await add(knowing, bot_id, "Alpha", "one"))
    async with knowing.transaction() as conn:
        read = [each for each in await vectors_sql.read_pending(conn, 1000) if each.id == snippet_id]
    async with knowing.transaction() as conn:
        await storage.lock_snippet(conn, bot_id, snippet_id)
        draft = SnippetDraft(title="Beta", body="one")
        await storage.edit_snippet(conn, bot_id, snippet_id, draft, ENGLISH, MOMENT, "me")
    async with knowing.transaction() as conn:
        await vectors_sql.keep(conn, home, read, Fake().embed(["Alpha"]))
    async with knowing.transaction() as conn:
        assert snippet_id in [each.id for each in await vectors_sql.read_pending(conn, 1000)]


async def test_one_replica_makes_vectors_at_a_time(knowing: Database, bot_id: BotId) -> None:
    async with knowing.transaction() as conn:
        await vectors_sql.prepare(conn)
    await add(knowing, bot_id, "Alpha", "one")
    async with knowing.transaction() as first, knowing.transaction() as second:
        assert await vectors_sql.read_pending(first, 10)
        assert await vectors_sql.read_pending(second, 10) == []


class Broken(Fake):
    """A model that fails when it is asked."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        raise RuntimeError("out of order")


async def test_a_model_that_fails_leaves_the_search_by_words(knowing: Database, bot_id: BotId) -> None:
    refund = await add(knowing, bot_id, "Refunds", "They take ten days.")
    async with finding(knowing, make=Broken) as (finder, meanings):
        await _until_ready(meanings)
        assert await found(finder, bot_id, "refund") == [refund]

    def unmade() -> Any:
        raise OSError("no such file")

    async with finding(knowing, make=unmade) as (finder, meanings):
        assert await found(finder, bot_id, "refund") == [refund]
        assert not meanings.is_ready


def test_words_and_meaning_add_up() -> None:
    one, two, three, four = sorted(new_id() for _ in range(4))
    lexical = [(one, Match(10.0, 2.0)), (two, Match(5.0, 0.3)), (four, Match(1.0, 0.1))]

    hits = fused(lexical, {one: 0.5, two: 0.9, three: 0.7}, 4)

    assert [each for each, _ in hits] == [two, one, three, four]
    assert [round(match.score, 3) for _, match in hits] == [0.82, 0.6, 0.56, 0.068]
    assert hits[0][1].coverage == pytest.approx(0.94 * 0.9 + 0.4 * 0.3)
    assert hits[1][1].coverage == pytest.approx(0.94 * 0.5 + 0.4 * 1.5)
    assert hits[3][1].coverage == 0.1
    assert fused([], {}, 5) == []


def test_the_model_tells_meanings_apart() -> None:
    vectors = MiniLM().embed(
        ["How do I reset my password?", "I forgot my login credentials", "The weather is nice", ""]
    )

    assert vectors.shape == (4, WIDTH)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    assert vectors[0] @ vectors[1] > 0.5 > vectors[0] @ vectors[2]


async def _until_ready(meanings: Meanings) -> None:
    async def ready() -> bool:
        return meanings.is_ready

    await until(ready, limit=60, what="the model and the table")


async def _until_made(owner: Any) -> None:
    async def made() -> bool:
        return await pending(owner) == 0

    await until(made, limit=60, what="all vectors")
