"""The same read in one process, with the same care: the services as they are, the same SQL, and calls in place of a bus.

It is the second yardstick: what the separation into processes costs, and nothing else. Identities are kept for the same
second; the request line and the metrics of the edge are on, those of the bus fall away with it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar, cast
from unittest.mock import patch

import uvloop
from nats.aio.client import Client
from pydantic import SecretStr

from hivemind_auth.service import AUTH
from hivemind_bots.service import BOTS
from hivemind_common.bus import Bus, Call
from hivemind_common.contracts.kinds import Message, Rpc, Stream
from hivemind_common.environment import HostPort, read_environment
from hivemind_common.runtime import bind_service
from hivemind_common.telemetry import Metrics, StandardOutput, configure_logging
from hivemind_gateway.service import GATEWAY

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)

HANDLERS: dict[str, Callable[[Call, Any], Awaitable[Message]]] = {}
"""By subject, what answers there."""


class Direct(Bus):
    """Asks by calling."""

    @asynccontextmanager
    async def serving(self, contract: Rpc[Q, A], handler: Callable[[Call, Q], Awaitable[A]]) -> AsyncIterator[None]:
        """Let a contract be asked for as long as the block is open."""
        HANDLERS[contract.subject] = handler
        yield
        del HANDLERS[contract.subject]

    @asynccontextmanager
    async def streaming(self, _contract: Stream[Any, Any, Any], _handler: object) -> AsyncIterator[None]:
        """Leave streams out: nothing here reads one."""
        yield

    async def ask_raw(self, call: Call, contract: Rpc[Q, A], question: Q) -> bytes:
        """Call the handler, and write its answer as JSON, which the edge sends."""
        answer = await HANDLERS[contract.subject](call, question)
        return answer.model_dump_json().encode()


@asynccontextmanager
async def open_direct(_url: SecretStr, service: str, metrics: Metrics, **_: object) -> AsyncIterator[Bus]:
    """Stand in for `open_bus`."""
    yield Direct(cast("Client", None), service, metrics)


async def serve() -> None:
    """Answer until the signal comes."""
    environment, _ = read_environment(os.environ)
    output = StandardOutput(sys.stdout.buffer)
    configure_logging(environment.log_level, output.write, output.flush, is_final=True)
    bind_service("gateway")
    environment = environment.model_copy(
        update={"nats_url": SecretStr("nats://nowhere"), "ops_bind": HostPort("127.0.0.1", 0)}
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with AsyncExitStack() as stack:
        for service in (AUTH, BOTS, GATEWAY):
            stack.enter_context(patch(f"hivemind_{service.name}.service.open_bus", open_direct))
            await stack.enter_async_context(service.open(environment))
        await stop.wait()


if __name__ == "__main__":
    uvloop.run(serve())
