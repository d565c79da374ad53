"""Fixtures: one embedded Postgres and one NATS for the run, a fresh database for each test file.

Loaded by `-p hivemind_common.testing.plugin`. Nothing is started before a test asks for it.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Final

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import settings

from hivemind_common.bus import Bus, open_bus
from hivemind_common.bus.permissions import Permissions
from hivemind_common.embedded.account import embedded_account
from hivemind_common.embedded.nats import EmbeddedNats, NatsUser
from hivemind_common.embedded.postgres import OWNER, EmbeddedPostgres
from hivemind_common.schema.runner import LOGIN_ROLES, migrate
from hivemind_common.secrets import SecretStr
from hivemind_common.telemetry import Metrics
from hivemind_common.testing.servers import Servers

PASSWORD: Final = SecretStr("a-password-for-tests-only")
ANYONE: Final = "anyone"
"""A NATS user that may say and hear all there is, for tests with contracts of their own."""

_count = itertools.count(1)

# `./hivemind test --full` looks at fifty times as many examples of every property.
settings.register_profile("full", max_examples=5_000, deadline=None)
if os.environ.get("HIVEMIND_FULL"):
    settings.load_profile("full")


@pytest.fixture(scope="session")
def allowed() -> Mapping[str, Permissions]:
    """Return what each user of the bus may; whoever runs real services overrides it with what those declare."""
    return {}


@pytest.fixture(scope="session")
def servers(allowed: Mapping[str, Permissions], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Start the two servers, and migrate the database from which each test file's is copied."""
    folder = tmp_path_factory.mktemp("servers")
    account = embedded_account()
    if account is not None:
        _let_pass(folder)
    postgres = EmbeddedPostgres(folder / "postgres", password=PASSWORD, account=account, durable=False)
    users = {name: NatsUser(PASSWORD, permissions) for name, permissions in allowed.items()}
    nats = EmbeddedNats(folder / "nats", users=users | {ANYONE: NatsUser(PASSWORD)}, account=account)
    with asyncio.Runner() as runner:

        async def start() -> None:
            await asyncio.gather(postgres.start(), nats.start())
            await migrate(postgres.dsn(OWNER, PASSWORD), dict.fromkeys(LOGIN_ROLES, PASSWORD))

        async def stop() -> None:
            await asyncio.gather(postgres.stop(), nats.stop())

        try:
            runner.run(start())
            yield Servers(postgres, nats, PASSWORD)
        finally:
            runner.run(stop())


def _let_pass(folder: Path) -> None:
    """Let the account of the servers pass through the folders that pytest made for root alone."""
    while folder.stat().st_uid == 0 and folder.stat().st_mode & 0o777 == 0o700 and folder != Path.home():
        folder.chmod(0o711)
        folder = folder.parent


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(servers: Servers) -> AsyncIterator[str]:
    """Copy the migrated database for this file; the value is its name."""
    name = f"test_{next(_count)}"
    connection = await asyncpg.connect(servers.postgres.dsn(OWNER, PASSWORD, "postgres").get_secret_value())
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {OWNER}")
        yield name
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()


@pytest_asyncio.fixture
async def owner(servers: Servers, database: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Connect to this file's database as its owner."""
    connection = await asyncpg.connect(servers.dsn(OWNER, database).get_secret_value())
    try:
        yield connection
    finally:
        await connection.close()


@pytest_asyncio.fixture
async def bus(servers: Servers) -> AsyncIterator[Bus]:
    """Connect to the bus as one that calls itself the gateway and may ask everything."""
    async with open_bus(servers.nats.url_for(ANYONE), "gateway", Metrics("gateway")) as opened:
        yield opened
