"""What every request passes: an id, a log line, metrics, and refusals turned into problem documents."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from prometheus_client import Counter, Histogram

from hivemind_common.environment import Environment
from hivemind_common.errors import HivemindError
from hivemind_common.ids import new_id
from hivemind_common.telemetry import REQUEST_ID, Metrics, get_logger
from hivemind_gateway import problems
from hivemind_gateway.peers import client_of

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

CLIENT_LEFT: Final = 499
"""What is counted, as nginx does, where the client left before there was an answer."""

REQUEST: Final = web.RequestKey("request_id", str)

log = get_logger()

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Edge:
    """The outermost layer of the door."""

    def __init__(self, environment: Environment, metrics: Metrics) -> None:
        self._environment = environment
        # Addresses stand in logs hashed, and the salt is never written down.
        self._salt = os.urandom(16)
        self._counted: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._requests = metrics.counter("hivemind_http_requests", "Requests answered.", "method", "route", "status")
        self._seconds = metrics.histogram("hivemind_http_request_seconds", "Seconds a request took.", "route")

    @web.middleware
    async def pass_through(self, request: web.Request, handler: Next) -> web.StreamResponse:
        """Let a request through."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        given = request.headers.get("X-Request-Id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else str(new_id())
        token = REQUEST_ID.set(request_id)
        request[REQUEST] = request_id
        status = CLIENT_LEFT
        try:
            response = await self._answer(request, handler, request_id)
            status = response.status
            return response
        finally:
            self._record(request, status, loop.time() - started)
            REQUEST_ID.reset(token)

    async def _answer(self, request: web.Request, following: Next, request_id: str) -> web.StreamResponse:
        try:
            return await following(request)
        except HivemindError as refusal:
            response = problems.response(refusal, request_id)
            if refusal.http_status == problems.PayloadTooLargeError.status:
                response.force_close()
            return response
        except web.HTTPMethodNotAllowed as fault:
            response = problems.response(problems.MethodNotAllowedError(), request_id)
            response.headers["Allow"] = problems.joined(fault.allowed_methods)
            return response
        except web.HTTPException as fault:
            if fault.status == 404:
                return problems.response(problems.NotFoundError(), request_id)
            if fault.status == 413:
                return problems.response(problems.PayloadTooLargeError("the body is too large"), request_id)
            return problems.response(problems.BadRequestError("the request cannot be read"), request_id)
        except ConnectionResetError:
            return web.Response(status=CLIENT_LEFT)  # reaches nobody, and is counted
        except Exception as fault:
            log.error("http.bug", exc_info=fault)
            return problems.problem_response(problems.bug_document(request_id))

    def _record(self, request: web.Request, status: int, seconds: float) -> None:
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "unmatched"
        method = request.method if request.method in _METHODS else "other"
        counted = self._counted.get((method, route, status))
        if counted is None:
            # Looking a label up costs more than counting; there are as many as routes, methods and statuses.
            counted = self._requests.labels(method, route, status), self._seconds.labels(route)
            self._counted[method, route, status] = counted
        counted[0].inc()
        counted[1].observe(seconds)
        address = client_of(request, self._environment).encode()
        log.info(
            "http.request",
            method=method,
            route=route,
            status=status,
            duration_ms=round(seconds * 1000, 1),
            client=hashlib.blake2b(address, key=self._salt, digest_size=8).hexdigest(),
        )


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Put on every answer what each must have."""
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Request-Id"] = request.get(REQUEST, "")
    response.headers["Server"] = "hivemind"
