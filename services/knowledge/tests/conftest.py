"""A bot to teach, and the parts of the service, without the bus."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from hivemind_common.db import Database, open_database
from hivemind_common.ids import BotId
from hivemind_common.testing.bots import make_bot
from hivemind_common.testing.servers import Servers


@pytest_asyncio.fixture
async def knowing(servers: Servers, database: str) -> AsyncIterator[Database]:
    """Connect as the service does."""
    async with open_database(servers.dsn("hivemind_knowledge", database), "knowledge", size=8) as opened:
        yield opened


@pytest_asyncio.fixture
async def bot_id(owner: Any) -> BotId:
    """Make a bot by SQL; its id."""
    return await make_bot(owner)
