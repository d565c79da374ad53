"""Requests that nobody waits for any more leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import random
from typing import Any, Final

import asyncpg

from hivemind_common.testing.waiting import until
from tests.conftest import Instance
from tests.contract.footprint import resident_bytes, tasks_are_back, tasks_now

FULL: Final = bool(os.environ.get("HIVEMIND_FULL"))
CANCELLED: Final = 10_000 if FULL else 500
BYTES_EACH: Final = 400
"""What memory may grow by for each cancelled request; a task or a buffer that is kept takes more."""

SLACK: Final = 6 * 1024 * 1024
"""What the allocator and caches with a bound may take in one go, whatever the number."""


async def cancelled(instance: Instance, number: int, chance: random.Random) -> None:
    """Ask, and leave at any moment: before the question, while it is worked on, amid the answer."""
    accept = "text/event-stream" if number % 2 else "application/json"
    asking = asyncio.create_task(
        instance.call(
            "POST",
            "/api/v1/bots/support/chat",
            json={"message": "How long do refunds take?"},
            headers={"Accept": accept},
        )
    )
    await asyncio.sleep(chance.random() * 0.03)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


async def leave_many(instance: Instance, count: int, chance: random.Random) -> None:
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await cancelled(instance, number, chance)

    async with asyncio.TaskGroup() as group:
        for _ in range(16):
            group.create_task(work())


async def prepare(instance: Instance) -> None:
    await instance.mint("support", rate_limit_per_minute=None, user_rate_limit_per_minute=None)
    await instance.teach("support", "Refunds", "Refunds take ten days after the return reached us.")


async def test_cancelled_requests_leave_tasks_pools_and_memory_as_before(
    instance: Instance, database: str, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    chance = random.Random(4)
    await prepare(instance)
    await leave_many(instance, 200, chance)
    await until(lambda: is_quiet(owner, database), limit=20, what="the warm-up is over")
    tasks, memory = await tasks_now(), resident_bytes()

    await leave_many(instance, CANCELLED, chance)

    await until(lambda: is_quiet(owner, database), limit=20, what="no statement runs and no transaction is open")
    await until(lambda: tasks_are_back(tasks), limit=20, what=f"at most {tasks} tasks")
    assert resident_bytes() - memory < SLACK + CANCELLED * BYTES_EACH
    # All connections can still be lent: more at once than any pool has.
    answers = await asyncio.gather(*(instance.call("GET", "/api/v1/bots/support") for _ in range(64)))
    assert {status for status, _, _ in answers} == {200}
    _, body, _ = await instance.call("POST", "/api/v1/bots/support/chat", json={"message": "How long do refunds take?"})
    assert body["grounded"]


async def is_quiet(owner: Any, database: str) -> bool:
    busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid() AND state <> 'idle'"
    return bool(await owner.fetchval(busy, database) == 0)
