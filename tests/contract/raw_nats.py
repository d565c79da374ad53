"""NATS spoken by hand, so that the server's verdict on each line is seen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hivemind_common.embedded.nats import HOST
from hivemind_common.testing.servers import Servers

LIMIT = 10


class RawNats:
    """One connection as a user."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._ids = 0
        self.messages: list[bytes] = []
        """Headlines of the messages that came in."""

    async def may_publish(self, subject: str, reply: str = "") -> bool:
        """Publish an empty message, and tell whether the server let it through."""
        return await self._passes(f"PUB {subject} {reply} 0\r\n\r\n")

    async def may_subscribe(self, subject: str, group: str = "") -> bool:
        """Subscribe, and tell whether the server agreed; a subscription that stands is taken back."""
        self._ids += 1
        is_allowed = await self._passes(f"SUB {subject} {group} {self._ids}\r\n")
        if is_allowed:
            await self._passes(f"UNSUB {self._ids}\r\n")
        return is_allowed

    async def listen(self, subject: str, group: str = "") -> None:
        """Subscribe and stay."""
        self._ids += 1
        assert await self._passes(f"SUB {subject} {group} {self._ids}\r\n"), subject

    async def settle(self) -> None:
        """Read all that the server has to say."""
        assert await self._passes("")

    async def _passes(self, line: str) -> bool:
        self._writer.write(f"{line}PING\r\n".encode())
        is_refused = False
        async with asyncio.timeout(LIMIT):
            while (answer := await self._reader.readline()) != b"PONG\r\n":
                assert answer, "the server closed the connection"
                if answer.startswith((b"MSG", b"HMSG")):
                    self.messages.append(answer)
                    await self._reader.readexactly(int(answer.split()[-1]) + 2)
                is_refused = is_refused or answer.lower().startswith(b"-err 'permissions violation")
        return not is_refused


@asynccontextmanager
async def raw_nats(servers: Servers, user: str) -> AsyncIterator[RawNats]:
    """Connect as a user."""
    reader, writer = await asyncio.open_connection(HOST, int(servers.nats.url.rpartition(":")[2]))
    try:
        greeting = {"user": user, "pass": servers.password.get_secret_value(), "verbose": False, "headers": True}
        greeting |= {"no_responders": True, "lang": "raw", "version": "0", "protocol": 1}
        writer.write(f"CONNECT {json.dumps(greeting)}\r\n".encode())
        assert (await reader.readline()).startswith(b"INFO")
        connection = RawNats(reader, writer)
        await connection.settle()
        yield connection
    finally:
        writer.close()
        await writer.wait_closed()
