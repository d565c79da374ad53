from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from hivemind_common.bus import Bus, open_bus
from hivemind_common.db import Database, open_database
from hivemind_common.embedded.postgres import OWNER
from hivemind_common.telemetry import Metrics
from hivemind_common.testing.plugin import ANYONE
from hivemind_common.testing.servers import Servers
from hivemind_common.testing.working import EFFECTS, TABLE


@pytest_asyncio.fixture
async def server(servers: Servers) -> AsyncIterator[Bus]:
    async with open_bus(servers.nats.url_for(ANYONE), "bots", Metrics("bots")) as opened:
        yield opened


@pytest_asyncio.fixture
async def pool(servers: Servers, database: str, owner: Any) -> AsyncIterator[Database]:
    await owner.execute(f"DROP SCHEMA IF EXISTS work_test CASCADE; CREATE SCHEMA work_test; {EFFECTS}; {TABLE.ddl}")
    async with open_database(servers.dsn(OWNER, database), "test", size=8) as opened:
        yield opened
