from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from hivemind_common.bus import Bus, open_bus
from hivemind_common.telemetry import Metrics
from hivemind_common.testing.plugin import ANYONE
from hivemind_common.testing.servers import Servers


@pytest_asyncio.fixture
async def server(servers: Servers) -> AsyncIterator[Bus]:
    async with open_bus(servers.nats.url_for(ANYONE), "bots", Metrics("bots")) as opened:
        yield opened
