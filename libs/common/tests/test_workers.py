"""Work is done once, whoever comes late, fails or hears nothing."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from hivemind_common.contracts.bots import BotNotFoundError
from hivemind_common.db import Database
from hivemind_common.db import work as work_module
from hivemind_common.db.work import Held, LostLeaseError, Work, WorkMetrics
from hivemind_common.errors import HivemindError, Kind, UnavailableError
from hivemind_common.runtime import daemons
from hivemind_common.telemetry import Metrics
from hivemind_common.testing.waiting import until
from hivemind_common.testing.working import (
    AT_ONCE,
    KIND,
    MINUTE,
    SOON,
    TABLE,
    act,
    add,
    all_done,
    claimed,
    effects,
    finish,
    worker,
)


async def test_work_is_done_and_counted(pool: Database, owner: Any) -> None:
    metrics = Metrics("test")
    await add(pool, "a", "b")
    async with daemons(worker(pool, metrics=WorkMetrics(metrics)).run()):
        await all_done(owner)

        async def is_counted() -> bool:
            return metrics.registry.get_sample_value("hivemind_work_waiting", {"kind": KIND}) == 0

        await until(is_counted, limit=5, what="the count")
    assert await effects(owner) == ["a", "b"]
    done = {"kind": KIND, "outcome": "done"}
    assert metrics.registry.get_sample_value("hivemind_work_attempts_total", done) == 2


async def test_a_hint_wakes_at_once_and_a_lost_one_is_made_up_for_by_the_poll(pool: Database, owner: Any) -> None:
    asleep = worker(pool, poll=timedelta(hours=1))
    async with daemons(asleep.run()):
        await add(pool, "hinted")
        asleep.hint()
        await all_done(owner)
    async with daemons(worker(pool).run()):
        await add(pool, "unheard")
        await all_done(owner)
    assert await effects(owner) == ["hinted", "unheard"]


async def test_a_handler_that_writes_nothing_is_done_when_it_returns(pool: Database, owner: Any) -> None:
    async def quiet(_held: Held) -> None:
        pass

    await add(pool, "a")
    async with daemons(worker(pool, quiet).run()):
        await all_done(owner)


async def test_what_fails_is_tried_again_after_its_delay_and_dies_with_its_last_reason(
    pool: Database, owner: Any
) -> None:
    delays = (timedelta(milliseconds=30), timedelta(milliseconds=60))
    tried: list[float] = []

    async def fail(held: Held) -> None:
        tried.append(asyncio.get_running_loop().time())
        async with held.completing() as conn:
            await conn.execute("INSERT INTO work_test.effect VALUES ('half')")
            raise KeyError(f"attempt {len(tried)}")

    await add(pool, "a")
    async with daemons(worker(pool, fail, delays=delays).run()):
        await until(lambda: dead(owner), limit=5, what="its death")
    assert await owner.fetchval("SELECT reason FROM work_test.work") == "internal: KeyError"
    assert len(tried) == 3
    gaps = [after - before for before, after in itertools.pairwise(tried)]
    assert [gap >= delay.total_seconds() for gap, delay in zip(gaps, delays, strict=True)] == [True, True]
    assert await effects(owner) == []


async def dead(owner: Any) -> bool:
    return bool(await owner.fetchval("SELECT count(*) FROM work_test.work WHERE state = 'dead'"))


async def test_a_refusal_that_no_patience_cures_is_final_and_one_that_may_pass_is_not(
    pool: Database, owner: Any
) -> None:
    async def refuse(held: Held) -> None:
        if held.work.key == "gone":
            raise BotNotFoundError
        if held.work.attempt == 1:
            raise UnavailableError.of("bots")
        await act(held)

    await add(pool, "gone", "away")
    async with daemons(worker(pool, refuse).run()):

        async def is_judged() -> bool:
            return bool(await effects(owner)) and await dead(owner)

        await until(is_judged, limit=10, what="both ends")
    async with pool.connection() as conn:
        (given_up,) = await TABLE.read_dead(conn, KIND)
    assert (given_up.key, given_up.attempts) == ("gone", 1)
    assert given_up.reason.startswith("bot_not_found: ")


class NeighbourError(HivemindError):
    """What a provider might say."""

    code = "neighbour"
    kind = Kind.UNAVAILABLE


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("nul \0 inside", "neighbour: nul  inside"),
        ("half a \ud83d pair", "neighbour: half a ? pair"),
        ("x" * 100_000, "neighbour: " + "x" * 489),
    ],
    ids=["NUL", "surrogate", "long"],
)
async def test_whatever_text_a_refusal_quotes_becomes_the_reason(
    pool: Database, owner: Any, said: str, kept: str
) -> None:
    async def refuse(_held: Held) -> None:
        raise NeighbourError(said)

    await add(pool, "a")
    async with daemons(worker(pool, refuse).run()):
        await until(lambda: dead(owner), limit=5, what="its death")
    assert await owner.fetchval("SELECT reason FROM work_test.work") == kept


async def test_nobody_has_a_row_wait_for_longer_than_a_day(pool: Database, owner: Any) -> None:
    async def refuse(_held: Held) -> None:
        raise NeighbourError("later", retry_after=10**13)

    await add(pool, "a")
    async with daemons(worker(pool, refuse).run()):
        await until(lambda: has_reason(owner), limit=5, what="its reason")
    waits = await owner.fetchval("SELECT due_at - statement_timestamp() FROM work_test.work")
    assert timedelta(hours=23) < waits <= timedelta(days=1)


async def has_reason(owner: Any) -> bool:
    return bool(await owner.fetchval("SELECT count(*) FROM work_test.work WHERE reason IS NOT NULL"))


async def test_a_row_whose_end_cannot_be_written_does_not_end_the_work_on_others(pool: Database, owner: Any) -> None:
    async def refuse(held: Held) -> None:
        if held.work.key == "bad":
            raise BotNotFoundError
        await act(held)

    await owner.execute("ALTER TABLE work_test.work ADD CHECK (state <> 'dead')")
    await add(pool, "bad")
    async with daemons(worker(pool, refuse, slots=1).run()):
        await add(pool, "good")
        await until(lambda: one_done(owner), limit=5, what="the other row")
    assert await owner.fetchval("SELECT state FROM work_test.work WHERE key = 'bad'") == "open"


async def test_a_payload_that_nobody_can_read_is_buried_and_takes_nothing_along(pool: Database, owner: Any) -> None:
    await owner.execute("INSERT INTO work_test.work (kind, key, payload) VALUES ($1, 'bad', '[1e400]')", KIND)
    await add(pool, "good")
    async with daemons(worker(pool).run()):
        await until(lambda: one_done(owner), limit=5, what="the other row")
        await until(lambda: dead(owner), limit=5, what="the death of the bad one")
    async with pool.connection() as conn:
        (buried,) = await TABLE.read_dead(conn, KIND)
    assert (buried.key, buried.attempts, buried.reason) == ("bad", 1, "payload: it cannot be decoded")


async def test_a_handler_whose_own_task_was_cancelled_has_failed(pool: Database, owner: Any) -> None:
    async def cancel(_held: Held) -> None:
        inner = asyncio.create_task(asyncio.Event().wait())
        inner.cancel()
        await inner

    await add(pool, "a")
    async with daemons(worker(pool, cancel).run()):
        await until(lambda: dead(owner), limit=5, what="its death")
    row = await owner.fetchrow("SELECT attempts, claims, reason FROM work_test.work")
    assert tuple(row) == (3, 3, "internal: CancelledError")


async def test_a_row_that_kills_its_workers_is_given_up_too(pool: Database, owner: Any) -> None:
    await add(pool, "a")
    for _ in range(3):
        await claimed(pool, AT_ONCE)  # and nothing is heard of it again
    async with daemons(worker(pool).run()):
        await until(lambda: dead(owner), limit=5, what="its death")
    assert "workers died" in await owner.fetchval("SELECT reason FROM work_test.work")
    assert await effects(owner) == []


async def test_a_handler_ends_before_its_lease_does(pool: Database, owner: Any) -> None:
    async def sleep(_held: Held) -> None:
        await asyncio.Event().wait()

    await add(pool, "a")
    async with daemons(worker(pool, sleep, delays=(), deadline=SOON).run()):
        await until(lambda: dead(owner), limit=5, what="its death")
    assert await owner.fetchval("SELECT reason FROM work_test.work") == "deadline: it took too long"
    with pytest.raises(ValueError, match="before the lease"):
        worker(pool, deadline=MINUTE)


async def test_a_long_act_renews_its_lease_and_deadline(pool: Database, owner: Any) -> None:
    lease, deadline = timedelta(seconds=2), timedelta(seconds=1.8)

    async def is_worn() -> bool:
        async with pool.connection() as conn:
            return bool(await conn.fetchval("SELECT due_at - clock_timestamp() < interval '1.4 s' FROM work_test.work"))

    async def long(held: Held) -> None:
        for _ in range(4):  # together longer than a lease, and than a deadline
            await until(is_worn, limit=5, what="a part of the lease is over")
            await held.renew()
        await act(held)

    await add(pool, "a")
    async with daemons(worker(pool, long, lease=lease, deadline=deadline).run(), worker(pool, long).run()):
        await all_done(owner)
    assert await owner.fetchval("SELECT claims FROM work_test.work") == 1
    assert await effects(owner) == ["a"]


async def test_the_result_of_a_worker_that_comes_back_late_is_refused(pool: Database, owner: Any) -> None:
    may_go_on = asyncio.Event()
    begun = asyncio.Event()

    async def frozen(held: Held) -> None:
        begun.set()
        await may_go_on.wait()
        await act(held)

    metrics = Metrics("test")
    await add(pool, "a")
    async with daemons(worker(pool, frozen, metrics=WorkMetrics(metrics), slots=1).run()):
        await begun.wait()
        await finish(pool, owner)
        may_go_on.set()

        async def is_refused() -> bool:
            lost = {"kind": KIND, "outcome": "lost"}
            return metrics.registry.get_sample_value("hivemind_work_attempts_total", lost) == 1

        await until(is_refused, limit=5, what="the refusal")
    assert await effects(owner) == ["a"]


async def test_a_worker_that_is_stopped_gives_back_what_it_has_not_done(pool: Database, owner: Any) -> None:
    begun = asyncio.Event()

    async def endless(held: Held) -> None:
        async with held.completing() as conn:
            await conn.execute("INSERT INTO work_test.effect VALUES ($1)", held.work.key)
            begun.set()
            await asyncio.Event().wait()

    await add(pool, "a")
    async with daemons(worker(pool, endless).run()):
        await begun.wait()
    assert (await claimed(pool)).attempt == 1
    assert await effects(owner) == []


async def test_no_more_is_claimed_than_can_be_begun(pool: Database, owner: Any) -> None:
    at_once, most, may_go_on = 0, 0, asyncio.Event()

    async def slow(held: Held) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await may_go_on.wait()
        at_once -= 1
        await act(held)

    await add(pool, *(f"{number:02}" for number in range(10)))
    async with daemons(worker(pool, slow, slots=3).run()):

        async def is_full() -> bool:
            return at_once == 3

        await until(is_full, limit=5, what="three at once")
        assert await owner.fetchval("SELECT count(*) FROM work_test.work WHERE claims > 0") == 3
        may_go_on.set()
        await all_done(owner)
    assert most == 3


async def test_a_thousand_rows_are_done_once_each_by_four_workers(pool: Database, owner: Any) -> None:
    keys = [f"{number:04}" for number in range(1_000)]
    await add(pool, *keys)
    began = time.monotonic()
    async with daemons(*(worker(pool).run() for _ in range(4))):
        await all_done(owner)
    assert time.monotonic() - began < 20
    assert await effects(owner) == keys
    assert await owner.fetchval("SELECT max(claims) FROM work_test.work") == 1


async def test_two_workers_never_both_complete_a_row_however_short_its_lease(pool: Database, owner: Any) -> None:
    """Leases that end at once: everybody claims everything, all the time, and each row still happens once."""
    keys = [f"{number:03}" for number in range(100)]
    await add(pool, *keys)
    done = Counter[str]()

    async def snatch() -> None:
        while await owner_of_all():
            async with pool.connection() as conn:
                taken = await TABLE.claim(conn, KIND, 5, AT_ONCE)
            for work in taken:
                await asyncio.sleep(0)
                with contextlib.suppress(LostLeaseError):
                    async with pool.transaction() as conn:
                        await TABLE.complete(conn, work)
                        await conn.execute("INSERT INTO work_test.effect VALUES ($1)", work.key)
                    done[work.key] += 1

    async def owner_of_all() -> bool:
        async with pool.connection() as conn:
            return bool(await conn.fetchval("SELECT count(*) FROM work_test.work WHERE state = 'open'"))

    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(snatch())
    assert done == dict.fromkeys(keys, 1)
    assert await effects(owner) == keys
    assert await owner.fetchval("SELECT max(claims) FROM work_test.work") > 1


async def test_a_database_that_goes_away_is_waited_for(pool: Database, owner: Any) -> None:
    async with daemons(worker(pool).run()):
        await add(pool, "before")
        await all_done(owner)
        for _ in range(5):
            await owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        await owner.execute("INSERT INTO work_test.work (kind, key, payload) VALUES ($1, 'after', '{}')", KIND)
        await all_done(owner)
    assert await effects(owner) == ["after", "before"]


@pytest.mark.parametrize(
    "fault",
    [
        asyncpg.DiskFullError("no room"),
        asyncpg.ReadOnlySQLTransactionError("a standby"),
        TimeoutError(),
        UnavailableError.of("db"),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_a_database_that_cannot_just_now_is_waited_for(
    pool: Database, owner: Any, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    claim_now, refused = TABLE.claim, list[Exception]()

    async def refuse_once(*given: Any) -> Sequence[Work]:
        if not refused:
            refused.append(fault)
            raise fault
        return await claim_now(*given)

    monkeypatch.setattr(TABLE, "claim", refuse_once)
    await add(pool, "a")
    async with daemons(worker(pool).run()):
        await all_done(owner)
    assert refused == [fault]


async def test_a_worker_that_is_stopped_while_it_ends_a_row_gives_it_back(
    pool: Database, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending = asyncio.Event()

    async def hang(*_: Any) -> None:
        ending.set()
        await asyncio.Event().wait()

    async def refuse(_held: Held) -> None:
        raise UnavailableError.of("bots")

    monkeypatch.setattr(TABLE, "retry", hang)
    await add(pool, "a")
    async with daemons(worker(pool, refuse).run()):
        await asyncio.wait_for(ending.wait(), 5)
    assert (await claimed(pool)).attempt == 1


async def test_a_mistake_in_a_statement_ends_the_loop_instead_of_hiding(pool: Database, owner: Any) -> None:
    await owner.execute("DROP TABLE work_test.work")
    with pytest.raises(BaseExceptionGroup) as told:
        async with daemons(worker(pool).run()):
            await asyncio.Event().wait()
    assert "UndefinedTableError" in repr(told.value)


async def test_the_clock_of_the_host_decides_nothing(
    pool: Database, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(str(work_module.__file__)).read_text(encoding="utf-8")
    assert not [word for word in ("import time", "system_clock", ".now(", "utcnow") if word in source]
    true_time = time.time
    await add(pool, "a", "b")
    first = await claimed(pool)
    monkeypatch.setattr(time, "time", lambda: true_time() - 3600)
    async with daemons(worker(pool).run()):
        await until(lambda: one_done(owner), limit=5, what="the other row")
    async with pool.connection() as conn:
        await TABLE.complete(conn, first)
    assert await owner.fetchval("SELECT max(claims) FROM work_test.work") == 1


async def one_done(owner: Any) -> bool:
    return bool(await effects(owner))
