"""A row of work is claimed, completed, given back and given up as its table promises."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from hivemind_common.db import Database
from hivemind_common.db import work as work_module
from hivemind_common.db.work import LostLeaseError
from hivemind_common.testing.working import AT_ONCE, KIND, MINUTE, TABLE, add, claim, claimed


async def test_a_key_is_added_once_whatever_became_of_it(pool: Database) -> None:
    async with pool.transaction() as conn:
        assert await TABLE.add(conn, KIND, "a", {"text": "one"})
        assert not await TABLE.add(conn, KIND, "a", {"text": "two"})
        assert await TABLE.add(conn, "other", "a", {"text": "three"})
    taken = await claimed(pool)
    assert taken.payload == {"text": "one"}
    async with pool.transaction() as conn:
        await TABLE.complete(conn, taken)
        assert not await TABLE.add(conn, KIND, "a", {"text": "four"})
        await TABLE.forget(conn, timedelta(days=1))
        assert not await TABLE.add(conn, KIND, "a", {"text": "five"})
    async with pool.transaction() as conn:
        await TABLE.forget(conn, timedelta(seconds=-1))
        assert await TABLE.add(conn, KIND, "a", {"text": "six"})


async def test_work_is_wanted_only_if_the_transaction_that_wants_it_is_committed(pool: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with pool.transaction() as conn:
            await TABLE.add(conn, KIND, "a", {})
            raise ZeroDivisionError
    assert await claim(pool) is None


async def test_a_lease_keeps_others_away_until_the_clock_of_the_database_ends_it(pool: Database, owner: Any) -> None:
    await add(pool, "a")
    first = await claimed(pool)
    assert await claim(pool) is None

    await owner.execute("UPDATE work_test.work SET due_at = now() - interval '1 second'")

    second = await claimed(pool)
    assert (second.attempt, second.claim) == (first.attempt + 1, first.claim + 1)


async def test_whoever_lost_the_lease_changes_nothing_any_more(pool: Database, owner: Any) -> None:
    await add(pool, "a")
    late = await claimed(pool, AT_ONCE)
    present = await claimed(pool)
    async with pool.connection() as conn:
        for refused in (
            TABLE.complete(conn, late),
            TABLE.renew(conn, late, MINUTE),
            TABLE.retry(conn, late, AT_ONCE, "late"),
            TABLE.bury(conn, late, "late"),
            TABLE.release(conn, late),
        ):
            with pytest.raises(LostLeaseError):
                await refused
        await TABLE.renew(conn, present, MINUTE)
        await TABLE.complete(conn, present)
        with pytest.raises(LostLeaseError):
            await TABLE.complete(conn, present)


async def test_what_was_given_back_does_not_count_and_still_fences(pool: Database) -> None:
    await add(pool, "a")
    first = await claimed(pool)
    async with pool.connection() as conn:
        await TABLE.release(conn, first)
    second = await claimed(pool)
    assert second.attempt == first.attempt
    async with pool.connection() as conn:
        with pytest.raises(LostLeaseError):
            await TABLE.complete(conn, first)


async def test_what_somebody_is_claiming_just_now_is_skipped_and_not_waited_for(pool: Database, owner: Any) -> None:
    await add(pool, "held", "free")
    async with owner.transaction():
        await owner.execute("SELECT * FROM work_test.work WHERE key = 'held' FOR UPDATE")
        async with asyncio.timeout(5):
            assert (await claimed(pool)).key == "free"
            assert await claim(pool) is None


async def test_only_what_was_done_long_ago_is_forgotten(pool: Database, owner: Any) -> None:
    await add(pool, "done", "dead", "open", "just done")
    await owner.execute(
        "UPDATE work_test.work SET due_at = now() - interval '2 days', added_at = now() - interval '2 days';"
        "UPDATE work_test.work SET state = key, reason = 'x', ended_at = now() - interval '2 days'"
        " WHERE key IN ('done', 'dead');"
        "UPDATE work_test.work SET state = 'done', ended_at = now() WHERE key = 'just done'"
    )
    async with pool.connection() as conn:
        await TABLE.forget(conn, timedelta(days=1))
    kept = await owner.fetch("SELECT key FROM work_test.work ORDER BY key")
    assert [row["key"] for row in kept] == ["dead", "just done", "open"]


async def test_a_dead_row_is_seen_with_its_reason_and_can_be_begun_anew(pool: Database) -> None:
    await add(pool, "a")
    async with pool.connection() as conn:
        await TABLE.bury(conn, await claimed(pool), "not_found: no such channel")
        (dead,) = await TABLE.read_dead(conn, KIND)
        assert (dead.key, dead.attempts, dead.reason) == ("a", 1, "not_found: no such channel")
        assert await TABLE.count(conn, KIND) == {"open": 0, "dead": 1}
        assert await TABLE.revive(conn, KIND, "a")
        assert not await TABLE.revive(conn, KIND, "a")
    assert (await claimed(pool)).attempt == 1


async def test_what_was_done_long_ago_costs_nothing_now(pool: Database, owner: Any) -> None:
    await owner.execute(
        """
        INSERT INTO work_test.work (kind, key, payload, state, ended_at)
        SELECT 'reply', number::text, '{}', 'done', now() FROM generate_series(1, 20000) AS number
        """
    )
    await owner.execute("ANALYZE work_test.work")
    for statement in (work_module._COUNT, work_module._CLAIM):
        asked = TABLE._sql(statement).replace("$1", "'reply'").replace("$2", "4").replace("$3", "interval '1 minute'")
        plan = "\n".join(row[0] for row in await owner.fetch(f"EXPLAIN {asked}"))
        assert "Seq Scan" not in plan
