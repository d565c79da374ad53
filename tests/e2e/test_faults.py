"""What is killed is named while it is away, and back by itself; what was answered is kept, whatever happens."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from hivemind_common.testing.processes import alive
from hivemind_common.testing.waiting import until
from hivemind_server import fleet as fleet_module
from tests.conftest import Instance
from tests.e2e.rig import CHAT, QUESTION, READ_BOT, READ_SNIPPETS, Rig, rig_on
from tests.running import Up, up

pytestmark = [pytest.mark.processes, pytest.mark.asyncio(loop_scope="module")]

BACK_WITHIN = 10
"""Seconds until what was killed answers again, with nobody's help."""

AWAY = 2.0
"""Seconds that a part stays away in these tests: the longest pause that is made before it is started again."""


@dataclass(frozen=True)
class Fault:
    """A part that is killed, and what shows it."""

    part: str
    asks: tuple[str, str]
    """Method and path of a request that cannot do without it."""
    names: frozenset[str]
    """What refusals may name. Where a server was away, a service that is not back yet may be named once it is."""
    status: str
    """What the whole instance is meanwhile."""


OWN = frozenset({"auth", "bots", "knowledge"})
FAULTS = {
    fault.part: fault
    for fault in (
        Fault("auth", ("GET", "/auth/me"), frozenset({"auth"}), "down"),
        Fault("bots", READ_BOT, frozenset({"bots"}), "down"),
        Fault("knowledge", CHAT, frozenset({"knowledge"}), "degraded"),
        Fault("nats", READ_BOT, OWN | {"nats"}, "down"),
        Fault("db", READ_BOT, frozenset({"db"}), "down"),
    )
}


@dataclass
class Seen:
    """What was answered while a part was away."""

    named: set[str] = field(default_factory=set)
    healths: set[str] = field(default_factory=set)
    components: set[str] = field(default_factory=set)
    """Of the part itself, in health reports."""


async def look(rig: Rig, ask: tuple[str, str], fault: Fault, seen: Seen) -> bool:
    """Ask once, and judge how it is refused; true when it is answered."""
    status, answer = await rig.ask(*ask)
    if status == 200:
        return True
    assert (status, answer["code"]) == (503, "unavailable"), answer
    assert answer["service"] in fault.names, answer
    seen.named.add(answer["service"])
    return False


async def look_at_health(rig: Rig, fault: Fault, seen: Seen) -> bool:
    report = await rig.health()
    seen.healths.add(report["status"])
    seen.components.add(report["components"][fault.part]["status"])
    return bool(report["status"] == "ok")


@pytest.fixture(scope="module", autouse=True)
def long_pauses() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fleet_module, "_PAUSES", (AWAY,))
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def processes(open_folder: Path) -> AsyncIterator[Rig]:
    async with rig_on(open_folder / "processes", processes=True) as rig:
        yield rig


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tasks(open_folder: Path) -> AsyncIterator[Rig]:
    async with rig_on(open_folder / "tasks", processes=False) as rig:
        yield rig


async def kill_and_watch(rig: Rig, fault: Fault) -> None:
    """Kill the part while everything is asked for, without a pause and at once."""
    reply = (await rig.ask(*CHAT))[1]["reply"]
    killed = rig.pid_of(fault.part)
    seen = Seen()
    looks = [partial(look, rig, ask, fault, seen) for ask in {fault.asks, READ_BOT, CHAT, READ_SNIPPETS}]
    looks.append(partial(look_at_health, rig, fault, seen))

    async def keep_looking(once: Callable[[], Awaitable[bool]]) -> None:
        while not (fault.part in seen.named and fault.status in seen.healths and "down" in seen.components):
            await once()
            await asyncio.sleep(0.02)

    async def is_well() -> bool:
        return all([await each() for each in looks])

    os.kill(killed, signal.SIGKILL)

    async with asyncio.timeout(BACK_WITHIN), asyncio.TaskGroup() as group:
        for each in looks:
            group.create_task(keep_looking(each))
    await until(is_well, limit=BACK_WITHIN, what=f"{fault.part} is back")
    assert rig.pid_of(fault.part) != killed
    assert (await rig.ask(*CHAT))[1]["reply"] == reply


@pytest.mark.parametrize("part", FAULTS)
async def test_what_is_killed_is_named_and_comes_back(processes: Rig, part: str) -> None:
    await kill_and_watch(processes, FAULTS[part])


@pytest.mark.parametrize("part", ["nats", "db"])
async def test_a_server_that_is_killed_beside_tasks_is_named_and_comes_back(tasks: Rig, part: str) -> None:
    await kill_and_watch(tasks, FAULTS[part])


async def test_a_killed_gateway_refuses_connections_and_comes_back_where_it_was(processes: Rig) -> None:
    url, killed = processes.fleet.url, processes.pid_of("gateway")

    os.kill(killed, signal.SIGKILL)

    async def is_refused() -> bool:
        try:
            await processes.health()
        except aiohttp.ClientConnectionError:
            return True
        return False

    await until(is_refused, limit=BACK_WITHIN, what="a refused connection")
    await until(processes.is_well, limit=BACK_WITHIN, what="the gateway is back")
    assert (processes.fleet.url, alive(killed)) == (url, False)


# The end of everything at once.


@asynccontextmanager
async def client_of(running: Up, key: str = "") -> AsyncIterator[Instance]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield Instance(running.url, http, {}, key)


@pytest.mark.parametrize("more", [(), ("--processes",)], ids=["tasks", "processes"])
async def test_after_the_end_of_everything_each_answer_is_there_once(open_folder: Path, more: Sequence[str]) -> None:
    folder = open_folder / f"killed{''.join(more)}"
    answered: dict[str, str] = {}
    with up(folder, *more) as running:
        async with client_of(running) as client:
            key = await client.register()
            await client.mint("support", rate_limit_per_minute=None)
            await client.teach("support", "Refunds", "Refunds take ten days after the return reached us.")
            reply = await chat(client, QUESTION)
            enough = asyncio.Event()

            async def one(number: int) -> None:
                text = f"{QUESTION} I ask for order {number}."
                try:
                    answer = await chat(client, text)
                except aiohttp.ClientError:
                    return  # no answer came: it may be there once, or not at all
                answered[text] = answer["message_id"]
                if len(answered) == 50:
                    enough.set()

            chats = [asyncio.create_task(one(number)) for number in range(200)]
            async with asyncio.timeout(60):
                await enough.wait()
            running.kill_everything()
            await asyncio.gather(*chats)
    assert 50 <= len(answered) < 200

    with up(folder, *more) as running:
        asked = [text for (text,) in running.sql("SELECT text FROM bots.message WHERE role = 'user'")]
        given = [row for (row,) in running.sql("SELECT id FROM bots.message WHERE role = 'assistant'")]
        async with client_of(running, key) as client:
            assert (await chat(client, QUESTION))["reply"] == reply["reply"]
    assert len(asked) == len(set(asked)) == len(given) == len(set(given))
    assert answered.keys() <= set(asked)
    assert {reply["message_id"], *answered.values()} <= set(given)


async def chat(client: Instance, text: str) -> Any:
    _, answer, _ = await client.call("POST", "/api/v1/bots/support/chat", json={"message": text}, expect=200)
    return answer
