"""A table of work, and what is done for its rows: to try workers on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from hivemind_common.db import Database
from hivemind_common.db.work import Held, Work, Worker, WorkMetrics, WorkTable
from hivemind_common.runtime import daemons
from hivemind_common.telemetry import Metrics
from hivemind_common.testing.waiting import until

TABLE = WorkTable("work_test")
KIND = "reply"
MINUTE = timedelta(minutes=1)
AT_ONCE = timedelta()
SOON = timedelta(milliseconds=20)
EFFECTS = "CREATE TABLE work_test.effect (key text NOT NULL)"  # no constraint: what happens twice is seen


async def act(held: Held) -> None:
    """Do what a handler does: its effect belongs to the transaction that completes the row."""
    async with held.completing() as conn:
        await conn.execute("INSERT INTO work_test.effect VALUES ($1)", held.work.key)


def worker(pool: Database, handler: Any = act, *, metrics: WorkMetrics | None = None, **options: Any) -> Worker:
    """Make a worker that is in no doubt and in a hurry; `options` are those of `Worker`."""
    given: dict[str, Any] = {
        "delays": (SOON, SOON),
        "lease": MINUTE,
        "deadline": MINUTE / 2,
        "poll": SOON,
        "random": random.Random(7).random,  # noqa: S311 - the same jitter in each run
    }
    return Worker(pool, TABLE, KIND, handler, metrics=metrics or WorkMetrics(Metrics("test")), **given | options)


async def add(pool: Database, *keys: str) -> None:
    """Want something done for each key."""
    async with pool.transaction() as conn:
        for key in keys:
            if not await TABLE.add(conn, KIND, key, {"text": key}):
                raise AssertionError(f"{key} stands already")


async def claim(pool: Database, lease: timedelta = MINUTE) -> Work | None:
    """Claim a row, if there is one."""
    async with pool.connection() as conn:
        taken = await TABLE.claim(conn, KIND, 1, lease)
    return taken[0] if taken else None


async def claimed(pool: Database, lease: timedelta = MINUTE) -> Work:
    """Claim the row that there is."""
    taken = await claim(pool, lease)
    if taken is None:
        raise AssertionError("there is no row to claim")
    return taken


async def effects(owner: Any) -> Sequence[str]:
    """Return the keys for which something was done, each as often as it was."""
    return [row["key"] for row in await owner.fetch("SELECT key FROM work_test.effect ORDER BY key")]


async def all_done(owner: Any) -> None:
    """Wait for the end of all work."""

    async def is_done() -> bool:
        return not await owner.fetchval("SELECT count(*) FROM work_test.work WHERE state <> 'done'")

    await until(is_done, limit=20, what="the end of all work")


async def finish(pool: Database, owner: Any) -> None:
    """Have another worker do what is left, as when all leases have ended."""
    await owner.execute("UPDATE work_test.work SET due_at = now() WHERE state = 'open'")
    async with daemons(worker(pool).run()):
        await all_done(owner)
