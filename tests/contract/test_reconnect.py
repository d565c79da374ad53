"""NATS goes away, for long and with all that it had, and comes back: nothing is lost, nothing needs a restart."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from hivemind_common.bus.permissions import all_permissions
from hivemind_common.embedded.account import embedded_account
from hivemind_common.embedded.nats import EmbeddedNats, NatsUser
from hivemind_common.testing.plugin import PASSWORD
from hivemind_common.testing.servers import Servers
from hivemind_common.testing.waiting import until
from hivemind_server.services import SERVICES
from tests.conftest import Instance, running_on
from tests.contract.footprint import footprint, tasks_are_back

FULL: Final = bool(os.environ.get("HIVEMIND_FULL"))
AWAY_SECONDS: Final = 180 if FULL else 6
BACK_WITHIN: Final = 10
RECONNECTS: Final = 1_000 if FULL else 15
BYTES_EACH: Final = 4 * 1024
SLACK: Final = 6 * 1024 * 1024
"""What the allocator and caches with a bound may take in one go, whatever the number."""


@pytest_asyncio.fixture
async def nats() -> AsyncIterator[EmbeddedNats]:
    """Run a server of this test's own, since it is going to be killed."""
    users = {name: NatsUser(PASSWORD, allowed) for name, allowed in all_permissions(SERVICES).items()}
    with tempfile.TemporaryDirectory(prefix="hivemind-nats-") as name:
        Path(name).chmod(0o711)
        server = EmbeddedNats(Path(name) / "nats", users=users, account=embedded_account())
        await server.start()
        yield server
        await server.stop()


@pytest_asyncio.fixture
async def taught(servers: Servers, database: str, owner: Any, nats: EmbeddedNats) -> AsyncIterator[Instance]:
    await owner.execute("TRUNCATE bots.bot, auth.account CASCADE")
    async with running_on(replace(servers, nats=nats), database) as instance:
        await instance.register()
        await instance.mint("support", rate_limit_per_minute=None, user_rate_limit_per_minute=None)
        await instance.teach("support", "Refunds", "Refunds take ten days after the return reached us.")
        yield instance


async def chat(instance: Instance) -> tuple[int, Any]:
    question = {"message": "How long do refunds take?"}
    status, answer, _ = await instance.call("POST", "/api/v1/bots/support/chat", json=question)
    return status, answer


async def is_well(instance: Instance) -> bool:
    status, report, _ = await instance.call("GET", "/api/v1/health", key="")
    return status == 200 and report["components"]["nats"]["status"] == "ok" and (await chat(instance))[0] == 200


@pytest.mark.parametrize("is_wiped", [False, True], ids=["killed", "wiped"])
async def test_services_wait_refuse_by_name_and_come_back(
    taught: Instance, nats: EmbeddedNats, is_wiped: bool, record_property: Callable[[str, object], None]
) -> None:
    os.kill(nats.pid, signal.SIGKILL)
    await nats.wait()
    if is_wiped:
        await asyncio.to_thread(shutil.rmtree, nats.folder)
    loop = asyncio.get_running_loop()
    end = loop.time() + AWAY_SECONDS

    async def is_over() -> bool:
        status, answer = await chat(taught)
        assert (status, answer["code"], answer["service"]) == (503, "unavailable", "nats"), answer
        assert "Retry-After" in (await taught.call("GET", "/api/v1/bots/support"))[2].headers
        status, report, response = await taught.call("GET", "/api/v1/health", key="")
        assert (status, report["components"]["nats"]["status"]) == (503, "down")
        assert response.headers["Retry-After"] == "1"
        return loop.time() > end

    await until(is_over, limit=2 * AWAY_SECONDS, what="the time that NATS is away")
    await nats.start()
    since = loop.time()
    await until(lambda: is_well(taught), limit=BACK_WITHIN, what="chats after NATS came back")
    record_property("away", f"{AWAY_SECONDS} s")
    record_property("until everything answered again", f"{loop.time() - since:.1f} s")


async def test_a_bus_that_comes_and_goes_loses_nothing_that_was_promised(taught: Instance, nats: EmbeddedNats) -> None:
    added: set[str] = set()
    over = asyncio.Event()

    async def keep_teaching(number: int) -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            title = f"{number}-{turn}"
            draft = {"title": title, "body": "Something."}
            status, answer, _ = await taught.call("POST", "/api/v1/bots/support/knowledge", json=draft)
            if status == 201:
                added.add(title)
            else:
                assert (status, answer["code"]) == (503, "unavailable"), answer
                assert answer["service"] in {"nats", "auth", "bots", "knowledge"}, answer
                await asyncio.sleep(0.05)

    async def come_and_go() -> None:
        for _ in range(50 if FULL else 5):
            before = len(added)
            os.kill(nats.pid, signal.SIGKILL)
            await nats.wait()
            await nats.start()
            await until(partial(_has_grown, added, before), limit=BACK_WITHIN, what="an answer again")
        over.set()

    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(keep_teaching(number))
        group.create_task(come_and_go())

    await until(lambda: is_well(taught), limit=BACK_WITHIN, what="chats after NATS came back")
    kept: list[str] = []
    path = "/api/v1/bots/support/knowledge?limit=200"
    while path:
        _, page, _ = await taught.call("GET", path, expect=200)
        kept += [item["title"] for item in page["items"]]
        path = f"/api/v1/bots/support/knowledge?limit=200&cursor={page['next']}" if page["next"] else ""
    assert added <= set(kept)
    assert len(kept) == len(set(kept))


async def _has_grown(added: set[str], before: int) -> bool:
    return len(added) > before


async def test_reconnects_leave_tasks_and_memory_as_before(
    taught: Instance, nats: EmbeddedNats, record_property: Callable[[str, object], None]
) -> None:
    # As often as there are connections to the database: each learns its statements once.
    await break_bus(taught, nats, 8)
    before = await footprint()

    await break_bus(taught, nats, RECONNECTS)

    await until(lambda: tasks_are_back(before.tasks), limit=20, what=f"at most {before.tasks} tasks")
    after = await footprint()
    record_property("reconnects", RECONNECTS)
    record_property("tasks more than before", after.tasks - before.tasks)
    record_property("memory more than before", f"{(after.resident_bytes - before.resident_bytes) / 2**20:.1f} MiB")
    assert after.blocks - before.blocks < RECONNECTS * 20
    assert after.resident_bytes - before.resident_bytes < SLACK + RECONNECTS * BYTES_EACH


async def break_bus(instance: Instance, nats: EmbeddedNats, count: int) -> None:
    for _ in range(count):
        os.kill(nats.pid, signal.SIGKILL)
        await nats.wait()
        await nats.start()
        await until(lambda: is_well(instance), limit=BACK_WITHIN, what="chats after NATS came back")


async def test_an_answer_that_comes_after_a_reconnect_is_no_fault(
    taught: Instance, nats: EmbeddedNats, owner: Any
) -> None:
    async def is_waiting() -> bool:
        return bool(await owner.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    async with owner.transaction():
        # The read waits for this lock, so that NATS surely goes away before its answer.
        await owner.execute("LOCK TABLE bots.bot IN ACCESS EXCLUSIVE MODE")
        reading = asyncio.create_task(taught.call("GET", "/api/v1/bots/support"))
        await until(is_waiting, limit=10, what="the read waits")
        os.kill(nats.pid, signal.SIGKILL)
        await nats.wait()
        assert (await reading)[0] == 503
        await nats.start()
    await until(lambda: is_well(taught), limit=BACK_WITHIN, what="chats after NATS came back")

    for _ in range(10):
        _, report, _ = await taught.call("GET", "/api/v1/health", key="", expect=200)
        assert {part["status"] for part in report["components"].values()} == {"ok"}, report
        await asyncio.sleep(0.05)
