"""A fleet with one bot that knows one thing, and what is asked of it while its parts are killed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from hivemind_common.embedded.account import embedded_account
from hivemind_common.environment import Environment, HostPort
from hivemind_server.data import DataFolder
from hivemind_server.fleet import Fleet
from hivemind_server.services import SERVICES
from tests.conftest import Instance

HANGING: Final = aiohttp.ClientTimeout(total=8)
"""An answer that takes longer is none. A question that was with a service when it was killed is given up after 5 s."""

HEALTH_LIMIT: Final = 2
QUESTION: Final = "How long do refunds take?"
READ_BOT: Final = ("GET", "/api/v1/bots/support")
READ_SNIPPETS: Final = ("GET", "/api/v1/bots/support/knowledge")
CHAT: Final = ("POST", "/api/v1/bots/support/chat")


@dataclass
class Rig:
    """The fleet, and a client that has the admin's key."""

    fleet: Fleet
    instance: Instance

    def pid_of(self, part: str) -> int:
        """Return the process that `part` runs in; Postgres is called `db`, as in refusals."""
        if part == "nats":
            return self.fleet.nats.pid
        return self.fleet.postgres.pid if part == "db" else self.fleet.members[part].pid

    async def ask(self, method: str, path: str) -> tuple[int, Any]:
        """Ask one of the requests above."""
        body: dict[str, Any] = {"json": {"message": QUESTION}} if method == "POST" else {}
        status, answer, _ = await self.instance.call(method, path, timeout=HANGING, **body)
        return status, answer

    async def health(self) -> Any:
        """Ask how everything is."""
        timeout = aiohttp.ClientTimeout(total=HEALTH_LIMIT)
        _, report, _ = await self.instance.call("GET", "/api/v1/health", key="", timeout=timeout)
        return report

    async def is_well(self) -> bool:
        """Whether everything answers again."""
        try:
            return (await self.health())["status"] == "ok" and (await self.ask(*CHAT))[0] == 200
        except (aiohttp.ClientConnectionError, TimeoutError):
            return False


@asynccontextmanager
async def rig_on(folder: Path, *, processes: bool) -> AsyncIterator[Rig]:
    """Start it on a folder of its own."""
    environment = Environment(bind=HostPort("127.0.0.1", 0))
    with DataFolder(folder, embedded_account()) as data:
        async with (
            Fleet(SERVICES, data, environment, processes=processes) as fleet,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()) as http,
        ):
            instance = Instance(fleet.url, http, {})
            await instance.register()
            await instance.mint("support", rate_limit_per_minute=None, user_rate_limit_per_minute=None)
            await instance.teach("support", "Refunds", "Refunds take ten days after the return reached us.")
            yield Rig(fleet, instance)
