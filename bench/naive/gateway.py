"""The gateway: who asks, may they, and the bot."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
import uuid
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web
from prometheus_client import Counter, Histogram

from bench.naive.common import call, connect, set_up_logging, until_stopped

REQUESTS = Counter("naive_http_requests", "Requests answered.", ["method", "route", "status"])
REQUEST_SECONDS = Histogram("naive_http_request_seconds", "Seconds a request took.", ["route"])

log = structlog.get_logger()


def problem(status: int, code: str) -> web.Response:
    """Refuse."""
    return web.json_response({"status": status, "code": code}, status=status)


@web.middleware
async def observe(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Give the request an id, a log line and metrics."""
    started = time.perf_counter()
    request_id = request.headers.get("X-Request-Id") or str(uuid.uuid4())
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id)
    request["request_id"] = request_id
    response = await handler(request)
    response.headers["X-Request-Id"] = request_id
    seconds = time.perf_counter() - started
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "unmatched"
    REQUESTS.labels(request.method, route, response.status).inc()
    REQUEST_SECONDS.labels(route).observe(seconds)
    log.info("request", method=request.method, route=route, status=response.status, duration_ms=seconds * 1000)
    return response


async def main() -> None:
    """Run the service."""
    set_up_logging()
    nc = await connect("gateway")

    async def show_bot(request: web.Request) -> web.Response:
        key = request.headers.get("X-API-Key")
        if not key:
            return problem(401, "missing_api_key")
        headers = {"X-Request-Id": request["request_id"]}
        question = {"kind": "key", "digest": hashlib.sha256(key.encode()).hexdigest()}
        principal = await call(nc, "gateway", "auth.identify", question, headers)
        if "error" in principal:
            return problem(401, "invalid_api_key")
        if "bots:read" not in principal["scopes"]:
            return problem(403, "insufficient_scope")
        headers["X-Principal"] = json.dumps(principal)
        bot = await call(nc, "gateway", "bots.get", {"slug": request.match_info["slug"]}, headers)
        if "error" in bot:
            return problem(404, "bot_not_found")
        return web.json_response(bot)

    app = web.Application(middlewares=[observe])
    app.router.add_get("/api/v1/bots/{slug}", show_bot)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(os.environ["PORT"])).start()
    await until_stopped(nc)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
