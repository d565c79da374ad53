"""Requests that nobody waits for any more leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from typing import Any, Final

import asyncpg
from yarl import URL

from hivemind_common.testing.waiting import until
from tests.conftest import Instance
from tests.contract.footprint import footprint, tasks_are_back

FULL: Final = bool(os.environ.get("HIVEMIND_FULL"))
CANCELLED: Final = 10_000 if FULL else 500
WARM_UP: Final = 300
CLIENTS: Final = 2
"""So few that work which nobody waits for does not pile up: what it takes at its peak is kept by the allocator."""

CACHED_BLOCKS: Final = 2_000
"""Objects that caches with a bound may take; a task that is kept takes more than ten, so the long form finds one in fifty."""

BYTES_EACH: Final = 400
"""What memory may grow by for each cancelled request; a task or a buffer that is kept takes more."""

SLACK: Final = 6 * 1024 * 1024
"""What the allocator and caches with a bound may take in one go, whatever the number."""


async def cancelled(instance: Instance, number: int, chance: random.Random) -> None:
    """Ask, and leave at any moment: before the question, while it is worked on, amid the answer.

    By a socket of its own: a client library would add what it keeps itself.
    """
    accept = "text/event-stream" if number % 2 else "application/json"
    body = b'{"message": "How long do refunds take?"}'
    head = (
        "POST /api/v1/bots/support/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Accept: {accept}\r\nX-API-Key: {instance.key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    url = URL(instance.url)
    _, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(head.encode() + body)
    await asyncio.sleep(chance.random() * 0.03)
    writer.transport.abort()


async def leave_many(instance: Instance, count: int, chance: random.Random) -> None:
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await cancelled(instance, number, chance)

    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(work())


async def prepare(instance: Instance) -> None:
    await instance.mint("support", rate_limit_per_minute=None, user_rate_limit_per_minute=None)
    await instance.teach("support", "Refunds", "Refunds take ten days after the return reached us.")


async def test_cancelled_requests_leave_tasks_pools_and_memory_as_before(
    instance: Instance,
    database: str,
    owner: asyncpg.Connection[asyncpg.Record],
    record_property: Callable[[str, object], None],
) -> None:
    chance = random.Random(4)
    await prepare(instance)
    await leave_many(instance, WARM_UP, chance)
    await until(lambda: is_quiet(owner, database), limit=60, what="the warm-up is over")
    before = await footprint()

    await leave_many(instance, CANCELLED, chance)

    await until(lambda: is_quiet(owner, database), limit=60, what="no statement runs and no transaction is open")
    await until(lambda: tasks_are_back(before.tasks), limit=20, what=f"at most {before.tasks} tasks")
    after = await footprint()
    record_property("requests cancelled", CANCELLED)
    record_property("tasks more than before", after.tasks - before.tasks)
    record_property("memory more than before", f"{(after.resident_bytes - before.resident_bytes) / 2**20:.1f} MiB")
    assert after.blocks - before.blocks < CACHED_BLOCKS + CANCELLED // 2
    assert after.resident_bytes - before.resident_bytes < SLACK + CANCELLED * BYTES_EACH
    # All connections can still be lent: more at once than any pool has.
    answers = await asyncio.gather(*(instance.call("GET", "/api/v1/bots/support") for _ in range(64)))
    assert {status for status, _, _ in answers} == {200}
    _, body, _ = await instance.call("POST", "/api/v1/bots/support/chat", json={"message": "How long do refunds take?"})
    assert body["grounded"]


async def is_quiet(owner: Any, database: str) -> bool:
    busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid() AND state <> 'idle'"
    return bool(await owner.fetchval(busy, database) == 0)
