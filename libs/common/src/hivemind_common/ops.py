"""What monitoring asks of each service on a port of its own: `/livez`, `/readyz`, `/metrics`."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from hivemind_common.connection import Connection, Connections, Refuse
from hivemind_common.environment import ConfigurationError, HostPort
from hivemind_common.telemetry import Metrics

Causes = Callable[[], Awaitable[Sequence[str]]]
"""Asked for what keeps a service from being ready, a line each; none of them: it is."""

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Around = Callable[[Handler], Handler]

SERVER: Final = "hivemind"
"""What answers call themselves: no version, of us or of a library."""


def plain(_request: web.BaseRequest, why: str, _raw: bytes) -> web.StreamResponse:
    """Refuse what is no request, in a line."""
    return web.Response(text=f"{why}\n", status=400, headers={"Server": SERVER})


async def _name_server(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = SERVER


@asynccontextmanager
async def ops_site(bind: HostPort, metrics: Metrics, causes: Causes) -> AsyncIterator[int]:
    """Serve the three paths; the value is the port."""

    async def livez(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        told = await causes()
        return web.Response(text="".join(f"{cause}\n" for cause in told) or "ok\n", status=503 if told else 200)

    async def tell_metrics(_request: web.Request) -> web.Response:
        headers = {"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
        return web.Response(body=generate_latest(metrics.registry), headers=headers)

    application = web.Application()
    application.on_response_prepare.append(_name_server)
    application.router.add_get("/livez", livez)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", tell_metrics)
    async with listening(application, bind, variable="HIVEMIND_OPS_BIND") as port:
        yield port


@asynccontextmanager
async def listening(
    application: web.Application, bind: HostPort, *, variable: str, around: Around | None = None, refuse: Refuse = plain
) -> AsyncIterator[int]:
    """Listen for HTTP; the value is the port. Raises `ConfigurationError` naming the address when it cannot be had.

    `around` takes every request before anything else looks at it; `refuse` answers what is no request.
    """
    runner = web.AppRunner(
        application,
        handle_signals=False,
        shutdown_timeout=15,
        # Nobody waits for the answer any more, so what was asked to make it is given up too.
        handler_cancellation=True,
    )
    async with AsyncExitStack() as stack:
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        server = runner.server
        assert server is not None  # noqa: S101 - for the type checker: it is there after `setup`
        if around is not None:
            server.request_handler = around(server.request_handler)
        connect = partial(Connection, server, others=Connections(), refuse=refuse)
        try:
            listener = await asyncio.get_running_loop().create_server(connect, bind.host, bind.port, backlog=1024)
        except OSError as fault:
            if fault.errno == errno.EADDRINUSE:
                reason = "is taken by another program"
            else:
                reason = f"cannot be listened on ({fault.strerror or fault})"
            raise ConfigurationError(f"{variable}: {bind} {reason} (example: {variable}=127.0.0.1:0)") from None
        stack.callback(listener.close)
        yield int(listener.sockets[0].getsockname()[1])
