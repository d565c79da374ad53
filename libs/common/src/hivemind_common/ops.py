"""What monitoring asks of each service on a port of its own: `/livez`, `/readyz`, `/metrics`."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from hivemind_common.environment import ConfigurationError, HostPort
from hivemind_common.telemetry import Metrics

Causes = Callable[[], Awaitable[Sequence[str]]]
"""Asked for what keeps a service from being ready, a line each; none of them: it is."""


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
    application.router.add_get("/livez", livez)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", tell_metrics)
    async with listening(application, bind, variable="HIVEMIND_OPS_BIND") as port:
        yield port


@asynccontextmanager
async def listening(application: web.Application, bind: HostPort, *, variable: str) -> AsyncIterator[int]:
    """Listen for HTTP; the value is the port. Raises `ConfigurationError` naming the address when it cannot be had."""
    runner = web.AppRunner(
        application,
        access_log=None,
        handle_signals=False,
        shutdown_timeout=15,
        # Nobody waits for the answer any more, so what was asked to make it is given up too.
        handler_cancellation=True,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, bind.host, bind.port)
        try:
            await site.start()
        except OSError as fault:
            if fault.errno == errno.EADDRINUSE:
                reason = "is taken by another program"
            else:
                reason = f"cannot be listened on ({fault.strerror or fault})"
            raise ConfigurationError(f"{variable}: {bind} {reason} (example: {variable}=127.0.0.1:0)") from None
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
