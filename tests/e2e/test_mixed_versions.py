"""An instance in the middle of an update: services of the previous state beside today's, on today's servers.

Today's NATS lets each user do what today's code declares, and the database is one that the previous state has made and
today's code has brought to its pre-schema. Without the history that holds the previous sources there is nothing to run.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

import aiohttp
import asyncpg
import pytest
import pytest_asyncio

from hivemind_common.embedded.postgres import OWNER
from hivemind_common.schema.runner import LOGIN_ROLES, Phase, migrate
from hivemind_common.testing.servers import Servers
from hivemind_server.services import SERVICES
from tests.conftest import PASSWORD, Instance
from tests.previous import PYTHON, NoHistoryError, Previous, member_of, previous_sources, read_state
from tests.walk import DESK, QUESTION, REFUND, VARIABLES, walk

pytestmark = [pytest.mark.processes, pytest.mark.asyncio]

DRAIN: Final = timedelta(seconds=10)
DATABASE: Final = "mixed_versions"
NAMES: Final = tuple(service.name for service in SERVICES)


@pytest.fixture(scope="module")
def previous() -> Iterator[Previous]:
    try:
        with previous_sources(read_state()["commit"]) as sources:
            yield sources
    except NoHistoryError as fault:
        pytest.skip(f"the previous state cannot be run here: {fault}")


@pytest_asyncio.fixture
async def between(servers: Servers, previous: Previous) -> AsyncIterator[str]:
    """Make a database as the previous state has it, and bring it to today's pre-schema, as an update does."""
    owner = await asyncpg.connect(servers.dsn(OWNER, "postgres").get_secret_value())
    try:
        await owner.execute(f"CREATE DATABASE {DATABASE}")
        previous.migrate(servers.dsn(OWNER, DATABASE))
        await migrate(servers.dsn(OWNER, DATABASE), dict.fromkeys(LOGIN_ROLES, servers.password), phase=Phase.PRE)
        yield DATABASE
    finally:
        await owner.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        await owner.close()


@asynccontextmanager
async def mixed(
    servers: Servers, database: str, previous: Previous, old: Collection[str], secrets: Path, log: list[str]
) -> AsyncIterator[Instance]:
    """Run an instance in which the services named in `old` are of the previous state, and all others of today."""

    members = {}
    for service in SERVICES:
        environment = servers.environment(service, database, **VARIABLES)
        python = previous.python if service.name in old else PYTHON
        members[service.name] = member_of(service, environment, secrets, log, python=python)
    async with AsyncExitStack() as stack:
        for member in members.values():
            stack.push_async_callback(member.stop, DRAIN)
        await asyncio.gather(*(member.start() for member in members.values()))
        running = {name: member.running for name, member in members.items()}
        http = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        yield Instance(f"http://127.0.0.1:{running['gateway'].http_port}", http, running)


def complaints(log: list[str]) -> list[str]:
    """Return what was logged as more than information, such as a right that NATS or Postgres refused."""
    told = [json.loads(line) for line in log]
    # That the provider is away is part of the walk.
    return [str(line) for line in told if line["level"] != "info" and line["event"] not in {"llm.ping", "chat.turn"}]


@pytest.mark.parametrize("old", [*((name,) for name in NAMES), NAMES], ids="-".join)
async def test_the_walk_passes_with_services_of_the_previous_state(
    old: tuple[str, ...], servers: Servers, between: str, previous: Previous, tmp_path: Path
) -> None:
    log: list[str] = []
    async with mixed(servers, between, previous, old, tmp_path, log) as instance:
        await walk(instance, previous.schemas)

    assert {json.loads(line)["service"] for line in log} == set(NAMES)
    assert complaints(log) == []


async def forget_tries(servers: Servers, database: str) -> None:
    """Open the door again that the walk has shut with wrong passwords."""
    connection = await asyncpg.connect(servers.dsn(OWNER, database).get_secret_value())
    try:
        await connection.execute("TRUNCATE auth.sign_in_tries")
    finally:
        await connection.close()


async def test_each_state_goes_on_with_what_the_other_has_kept(
    servers: Servers, between: str, previous: Previous, tmp_path: Path
) -> None:
    log: list[str] = []
    async with mixed(servers, between, previous, (), tmp_path, log) as instance:
        await walk(instance, previous.schemas)
        key = instance.key
    await forget_tries(servers, between)
    for number, old in enumerate((NAMES, ())):
        async with mixed(servers, between, previous, old, tmp_path, log) as instance:
            instance.key = key
            login = {"email": "ada@example.org", "password": PASSWORD}
            await instance.call("POST", "/auth/login", json=login, key="", expect=200)
            _, answer, _ = await instance.call("POST", f"{DESK}/chat", json=QUESTION, expect=200)
            assert answer["reply"] == f"{REFUND} [1]"
            await instance.teach("desk", f"Returns {number}", "Returns are free of charge.")
            _, bot, _ = await instance.call("GET", DESK, expect=200)
            assert bot["snippet_count"] == 5 + number

    assert complaints(log) == []


async def test_the_services_of_the_previous_state_run_from_their_own_sources(previous: Previous) -> None:
    code = (
        "import hivemind_common, hivemind_server; print(hivemind_common.__file__, hivemind_server.__file__, sep='\\n')"
    )
    process = await asyncio.create_subprocess_exec(*previous.python, "-c", code, stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()

    assert [Path(line).is_relative_to(previous.folder) for line in told.decode().splitlines()] == [True, True]


async def test_a_clone_without_the_history_is_told_what_it_lacks() -> None:
    with pytest.raises(NoHistoryError, match="git has no 000000000000"):
        with previous_sources("0" * 40):
            pass
