"""A connection that asks for too much, or takes nothing: bounded on every port, the ops ports too."""

from __future__ import annotations

import asyncio
import resource
import socket

import pytest
from aiohttp import web

from hivemind_common import connection
from hivemind_common.environment import HostPort
from hivemind_common.ops import listening, ops_site
from hivemind_common.telemetry import Metrics
from hivemind_common.testing.waiting import until

ANY_PORT = HostPort("127.0.0.1", 0)


async def nothing() -> list[str]:
    return []


async def told(port: int, raw: bytes) -> bytes:
    """Send, and read until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n\r\n",
        b"FOO /livez HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + b"x" * 300_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01",
    ],
)
async def test_an_ops_port_names_no_library_whatever_it_is_asked(raw: bytes) -> None:
    async with ops_site(ANY_PORT, Metrics("quiet"), nothing) as port:
        answer = await told(port, raw)

    assert answer.startswith(b"HTTP/1.")
    assert b"Server: hivemind\r\n" in answer
    assert b"aiohttp" not in answer
    assert b"Python" not in answer


@pytest.mark.skipif(
    not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system does not tell how long nothing is taken"
)
async def test_who_takes_nothing_of_an_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "STALLED", 500)
    held = 0

    async def tell(request: web.Request) -> web.StreamResponse:
        nonlocal held
        held += 1
        try:
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b" " * 1_000_000)
        finally:
            held -= 1

    async def is_held(count: int) -> bool:
        return held == count

    application = web.Application()
    application.router.add_get("/", tell)
    async with listening(application, ANY_PORT, variable="HIVEMIND_BIND") as port:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await until(lambda: is_held(1), limit=10, what="the answer has begun")
            await until(lambda: is_held(0), limit=30, what="it is given up")


async def test_there_are_never_more_connections_than_half_the_files_that_may_be_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (20, 20))
    application = web.Application()
    async with listening(application, ANY_PORT, variable="HIVEMIND_BIND") as port:
        pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(15)]
        async with asyncio.timeout(10):
            assert [await reader.read() for reader, _ in pairs[:5]] == [b""] * 5
        pairs[-1][1].write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(10):
            assert (await pairs[-1][0].read()).startswith(b"HTTP/1.1 404")
        for _, writer in pairs:
            writer.close()
