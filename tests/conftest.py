"""The whole of Hivemind in one process, as `hivemind up` runs it, on a database of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from hivemind_common.environment import Environment
from hivemind_common.runtime import Running
from hivemind_common.testing.servers import Servers
from hivemind_server.services import SERVICES
from tests import described, spelled

PASSWORD = "correct horse battery"


@dataclass
class Instance:
    """A running instance, and a client that speaks to it."""

    url: str
    http: aiohttp.ClientSession
    running: dict[str, Running]
    key: str = ""

    async def call(
        self, method: str, path: str | URL, *, key: str | None = None, expect: int | None = None, **options: Any
    ) -> tuple[int, Any, aiohttp.ClientResponse]:
        """Ask; the answer as status, JSON (or text) and the response with its headers."""
        headers = dict(options.pop("headers", {}))
        use = self.key if key is None else key
        if use:
            headers.setdefault("X-API-Key", use)
        async with self.http.request(
            method, URL(f"{self.url}{path}", encoded=True), headers=headers, **options
        ) as response:
            body = await response.json(content_type=None) if "json" in response.content_type else await response.text()
            described.check(method, str(path), response.status, response.content_type, body)
            spelled.check(body)
            if expect is not None:
                assert response.status == expect, (response.status, body)
            return response.status, body, response

    async def register(self) -> str:
        """Make the first admin, and go on with its key."""
        form = {"username": "ada", "email": "Ada@example.org", "password": PASSWORD}
        _, body, _ = await self.call("POST", "/auth/register", json=form, key="", expect=201)
        self.key = body["api_key"]
        return self.key

    async def mint(self, slug: str, **members: Any) -> dict[str, Any]:
        """Mint a bot."""
        draft = {"slug": slug, "name": slug, "system_prompt": "You help."} | members
        _, body, _ = await self.call("POST", "/api/v1/bots", json=draft, expect=201)
        return dict(body)

    async def teach(self, slug: str, title: str, text: str, **members: Any) -> dict[str, Any]:
        """Teach a bot a snippet."""
        draft = {"title": title, "body": text} | members
        _, body, _ = await self.call("POST", f"/api/v1/bots/{slug}/knowledge", json=draft, expect=201)
        return dict(body)


@asynccontextmanager
async def running_on(servers: Servers, database: str, **variables: str) -> AsyncIterator[Instance]:
    """Run an instance on these servers, with variables of its own."""
    async with AsyncExitStack() as stack:
        running = {}
        # The door comes first in the list: opened last, it is closed before those that it asks.
        for service in reversed(SERVICES):
            environment: Environment = servers.environment(service, database, **variables)
            running[service.name] = await stack.enter_async_context(service.open(environment))
        http = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        yield Instance(f"http://127.0.0.1:{running['gateway'].http_port}", http, running)


Start = Callable[..., AbstractAsyncContextManager[Instance]]


@pytest.fixture
def start(servers: Servers, database: str) -> Start:
    """Return what starts an instance with variables of its own."""
    return partial(running_on, servers, database)


@pytest_asyncio.fixture
async def instance(start: Start, owner: Any) -> AsyncIterator[Instance]:
    """Run an instance with an admin, whose key the client shows; the database begins empty."""
    await owner.execute("TRUNCATE bots.bot, auth.account CASCADE")
    async with start() as opened:
        await opened.register()
        yield opened
