"""The fleet, with services that behave, or misbehave, as they are told; as a script this file runs one of them."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
from aiohttp import web

from hivemind_common.embedded.account import embedded_account
from hivemind_common.embedded.nats import EmbeddedNats
from hivemind_common.embedded.postgres import EmbeddedPostgres
from hivemind_common.environment import ConfigurationError, Environment, HostPort, read_environment
from hivemind_common.ops import listening, ops_site
from hivemind_common.runtime import Running, Service, daemons
from hivemind_common.telemetry import Metrics, get_logger
from hivemind_server import fleet as fleet_module
from hivemind_server.data import DataFolder
from hivemind_server.fleet import Fleet, FleetError
from hivemind_server.service_command import run_service


async def no_causes() -> Sequence[str]:
    return ()


@asynccontextmanager
async def open_obedient(environment: Environment) -> AsyncIterator[Running]:
    """Tells its settings; fails, or takes its time, when it is told to."""
    failing = asyncio.Event()
    taken = 0

    async def loop() -> None:
        await failing.wait()
        raise RuntimeError("told to fail")

    async def tell(_request: web.Request) -> web.Response:
        get_logger().info("dummy.told")
        nats_url = environment.needed_nats_url.get_secret_value()
        return web.json_response({"pid": os.getpid(), "nats_url": nats_url, "taken": taken})

    async def fail(_request: web.Request) -> web.Response:
        failing.set()
        return web.Response()

    async def slow(request: web.Request) -> web.Response:
        """Answer only once the door is shut, which proves that the end had begun."""
        nonlocal taken
        taken += 1
        while True:
            try:
                _, writer = await asyncio.open_connection(request.url.host, request.url.port)
            except ConnectionRefusedError:
                return web.Response(text="finished")
            writer.close()
            await asyncio.sleep(0.01)

    application = web.Application()
    application.router.add_get("/", tell)
    application.router.add_get("/fail", fail)
    application.router.add_get("/slow", slow)
    async with (
        daemons(loop()),
        ops_site(environment.ops_bind, Metrics("gateway"), no_causes) as ops_port,
        listening(application, environment.bind, variable="HIVEMIND_BIND") as port,
    ):
        yield Running(ops_port, port)


@asynccontextmanager
async def open_quiet(environment: Environment) -> AsyncIterator[Running]:
    """Serves its ops port and nothing else."""
    async with ops_site(environment.ops_bind, Metrics("quiet"), no_causes) as ops_port:
        yield Running(ops_port)


@asynccontextmanager
async def open_refusing(environment: Environment) -> AsyncIterator[Running]:
    """Cannot be configured."""
    if environment.bind.port >= 0:
        raise ConfigurationError("HIVEMIND_DUMMY: must be something else")
    yield Running(0)


@asynccontextmanager
async def open_broken(environment: Environment) -> AsyncIterator[Running]:
    """Has a bug."""
    if environment.bind.port >= 0:
        raise LookupError("a bug")
    yield Running(0)


OBEDIENT = Service("gateway", open_obedient)
QUIET = Service("auth", open_quiet, schema="auth")
REFUSING = Service("refusing", open_refusing)
BROKEN = Service("broken", open_broken)


def command(service: Service) -> Sequence[str]:
    return (sys.executable, "-P", str(Path(__file__)), service.name)


MODES = [False, pytest.param(True, marks=pytest.mark.processes)]
both_modes = pytest.mark.parametrize("processes", MODES, ids=["tasks", "processes"])


@asynccontextmanager
async def fleet_of(
    folder: Path, *services: Service, processes: bool, port: int = 0, **more: Any
) -> AsyncIterator[Fleet]:
    environment = Environment(bind=HostPort("127.0.0.1", port))
    with DataFolder(folder / "data", embedded_account()) as data:
        fleet = Fleet(services, data, environment, processes=processes, durable=False, command=command, **more)
        async with fleet:
            yield fleet


async def get(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.text()


async def until(state: Callable[[], bool], limit: float = 10) -> None:
    async with asyncio.timeout(limit):
        while not state():
            await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@both_modes
async def test_everything_answers_while_it_is_entered_and_nothing_runs_afterwards(
    open_folder: Path, processes: bool
) -> None:
    lines: list[tuple[str, bytes]] = []
    async with fleet_of(
        open_folder, OBEDIENT, QUIET, processes=processes, sink=lambda *line: lines.append(line)
    ) as fleet:
        told = json.loads(await get(fleet.url))
        assert told["pid"] == fleet.members["gateway"].pid
        assert (told["pid"] == os.getpid()) is not processes
        assert told["nats_url"] == fleet.nats.url_for("gateway").get_secret_value()
        for member in fleet.members.values():
            assert await get(f"http://127.0.0.1:{member.running.ops_port}/readyz") == "ok\n"
        pids = [fleet.postgres.pid, fleet.nats.pid]
        if processes:
            pids += [member.pid for member in fleet.members.values()]
            await until(lambda: any(b"dummy.told" in line for _, line in lines))
        connection = await asyncpg.connect(fleet.owner_dsn.get_secret_value())
        await connection.close()
    assert not any(alive(pid) for pid in pids)


@both_modes
async def test_what_was_taken_is_finished_before_the_end(open_folder: Path, processes: bool) -> None:
    async with fleet_of(open_folder, OBEDIENT, processes=processes) as fleet:
        answer = asyncio.create_task(get(f"{fleet.url}/slow"))
        while json.loads(await get(fleet.url))["taken"] == 0:
            await asyncio.sleep(0.01)
    assert await answer == "finished"


@both_modes
async def test_a_service_whose_loop_fails_is_told_by_its_name(open_folder: Path, processes: bool) -> None:
    async with fleet_of(open_folder, OBEDIENT, QUIET, processes=processes) as fleet:
        await get(f"{fleet.url}/fail")
        with pytest.raises(FleetError, match="gateway failed") as failed:
            async with asyncio.timeout(10):
                await fleet.wait()
    assert failed.value.name == "gateway"


@both_modes
async def test_a_killed_server_is_started_again_where_it_was(open_folder: Path, processes: bool) -> None:
    changes: list[None] = []
    async with fleet_of(open_folder, OBEDIENT, processes=processes, changed=lambda: changes.append(None)) as fleet:
        url = fleet.nats.url
        servers: tuple[EmbeddedPostgres | EmbeddedNats, ...] = (fleet.postgres, fleet.nats)
        for number, server in enumerate(servers, start=1):
            old = server.pid
            os.kill(old, signal.SIGKILL)
            await until(lambda number=number: len(changes) == number)  # type: ignore[misc]  # mypy infers no lambda with a default
            assert server.pid != old
            assert server.is_alive()
        assert fleet.nats.url == url
        connection = await asyncpg.connect(fleet.owner_dsn.get_secret_value())
        await connection.close()


@pytest.mark.processes
async def test_a_killed_service_is_started_again_on_its_port(open_folder: Path) -> None:
    changes: list[None] = []
    async with fleet_of(open_folder, OBEDIENT, processes=True, changed=lambda: changes.append(None)) as fleet:
        url, ops_port = fleet.url, fleet.members["gateway"].running.ops_port
        for number, signal_ in enumerate((signal.SIGKILL, signal.SIGTERM), start=1):
            old = fleet.members["gateway"].pid
            os.kill(old, signal_)
            await until(lambda number=number: len(changes) == number)  # type: ignore[misc]  # mypy infers no lambda with a default
            assert json.loads(await get(url))["pid"] == fleet.members["gateway"].pid != old
            assert fleet.members["gateway"].running.ops_port == ops_port


@pytest.mark.processes
async def test_what_dies_again_and_again_is_given_up(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "_PAUSES", (0.0,))
    changes: list[None] = []
    async with fleet_of(open_folder, OBEDIENT, processes=False, changed=lambda: changes.append(None)) as fleet:
        for number in range(5):
            os.kill(fleet.nats.pid, signal.SIGKILL)
            if number < 4:
                await until(lambda number=number: len(changes) == number + 1)  # type: ignore[misc]  # mypy infers no lambda with a default
        with pytest.raises(FleetError, match="nats died 5 times within a minute"):
            async with asyncio.timeout(10):
                await fleet.wait()


@both_modes
@pytest.mark.parametrize(
    ("service", "kind", "text"),
    [(REFUSING, ConfigurationError, "HIVEMIND_DUMMY"), (BROKEN, FleetError, "broken did not start")],
    ids=["refusing", "broken"],
)
async def test_what_cannot_start_is_told_and_leaves_nothing(
    open_folder: Path, processes: bool, service: Service, kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        async with fleet_of(open_folder, QUIET, service, processes=processes):
            pass
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    left = [pid for pid in pids if str(open_folder).encode() in command_line(pid)]
    assert left == []


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def three_in_a_row(stack: contextlib.ExitStack) -> tuple[int, socket.socket]:
    """Return a free port that two free ones follow, and a socket that holds the first of these."""
    while True:
        with contextlib.ExitStack() as probes:
            first, taken, third = (probes.enter_context(socket.socket()) for _ in range(3))
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                taken.bind(("127.0.0.1", port + 1))
                third.bind(("127.0.0.1", port + 2))
            except (OSError, OverflowError):
                continue
            first.close()
            third.close()
            stack.push(probes.pop_all())
            return port, taken


async def test_ops_ports_follow_the_main_port_and_give_way(open_folder: Path) -> None:
    with contextlib.ExitStack() as stack:
        port, taken = three_in_a_row(stack)
        taken.listen()
        async with fleet_of(open_folder, OBEDIENT, QUIET, processes=False, port=port) as fleet:
            assert fleet.url == f"http://127.0.0.1:{port}"
            assert fleet.members["gateway"].running.ops_port != port + 1
            assert fleet.members["auth"].running.ops_port == port + 2


async def test_the_setup_token_is_there_until_there_is_an_admin(open_folder: Path) -> None:
    async with fleet_of(open_folder, QUIET, processes=False) as fleet:
        token = fleet.setup_token
        file = open_folder / "data" / "setup-token"
        assert token is not None
        assert file.read_text().strip() == token.get_secret_value()
    async with fleet_of(open_folder, QUIET, processes=False) as fleet:
        assert fleet.setup_token == token
        connection = await asyncpg.connect(fleet.owner_dsn.get_secret_value())
        await connection.execute("CREATE OR REPLACE FUNCTION auth.has_admin() RETURNS boolean LANGUAGE sql RETURN true")
        await connection.close()
    async with fleet_of(open_folder, QUIET, processes=False) as fleet:
        assert fleet.setup_token is None
        assert not file.exists()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--ready-fd", type=int)
    given = parser.parse_args()
    chosen = next(each for each in (OBEDIENT, QUIET, REFUSING, BROKEN) if each.name == given.name)
    sys.exit(run_service(chosen, read_environment(os.environ)[0], given.ready_fd))
