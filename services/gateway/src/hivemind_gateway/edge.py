"""What every request passes: an id, a log line, metrics, and refusals turned into problem documents."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from typing import Final, cast

from aiohttp import hdrs, web
from prometheus_client import Counter, Histogram

from hivemind_common.environment import Environment
from hivemind_common.errors import HivemindError
from hivemind_common.ids import new_id
from hivemind_common.ops import Handler
from hivemind_common.telemetry import REQUEST_ID, Metrics, get_logger
from hivemind_gateway import problems
from hivemind_gateway.headers import CROSS_ORIGIN, PATTERN, REQUEST, add_headers
from hivemind_gateway.paths import Paths
from hivemind_gateway.peers import client_of, cross_origin_of, peer_of
from hivemind_gateway.transport import check, method_and_path

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

CLIENT_LEFT: Final = 499
"""What is counted, as nginx does, where the client left before there was an answer."""

log = get_logger()


class Edge:
    """The outermost layer of the door."""

    def __init__(self, environment: Environment, metrics: Metrics, router: web.UrlDispatcher, paths: Paths) -> None:
        self._environment = environment
        self._router = router
        self._paths = paths
        # Addresses stand in logs hashed, and the salt is never written down.
        self._salt = os.urandom(16)
        self._counted: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._requests = metrics.counter("hivemind_http_requests", "Requests answered.", "method", "route", "status")
        self._seconds = metrics.histogram("hivemind_http_request_seconds", "Seconds a request took.", "route")

    def around(self, handler: Handler) -> Handler:
        """Let every request through to `handler`, and nothing but problem documents out where it is refused."""

        async def pass_through(request: web.BaseRequest) -> web.StreamResponse:
            loop = asyncio.get_running_loop()
            started = loop.time()
            given = request.headers.get("X-Request-Id", "")
            request_id = given if _REQUEST_ID.fullmatch(given) else str(new_id())
            token = REQUEST_ID.set(request_id)
            request[REQUEST] = request_id
            origin = cross_origin_of(request, self._environment)
            if origin is not None:
                request[CROSS_ORIGIN] = origin
            status = CLIENT_LEFT
            try:
                # The application makes its requests itself: they are of this class.
                response = await self._answer(cast(web.Request, request), handler, request_id)
                if not response.prepared:
                    add_headers(request, response)
                status = response.status
                return response
            finally:
                self._record(request, status, loop.time() - started)
                REQUEST_ID.reset(token)

        return pass_through

    def refuse(self, request: web.BaseRequest, why: str, raw: bytes) -> web.StreamResponse:
        """Answer what is no request, or one by a method that the parser does not know."""
        request_id = str(new_id())
        token = REQUEST_ID.set(request_id)
        request[REQUEST] = request_id
        try:
            response = problems.response(self._judge(why, raw), request_id)
            add_headers(request, response)
            self._tell("other", "unmatched", response.status, 0.0, str(peer_of(request)))
            return response
        finally:
            REQUEST_ID.reset(token)

    def _judge(self, why: str, raw: bytes) -> HivemindError:
        line = method_and_path(raw)
        if line is None or line[0] in _METHODS:
            return problems.BrokenRequestError(why)
        return self._unknown_method(line[1])

    async def _answer(self, request: web.Request, following: Handler, request_id: str) -> web.StreamResponse:
        try:
            check(request)
            path = request.rel_url.raw_path
            if "%" in path or hdrs.EXPECT in request.headers or request.method == hdrs.METH_CONNECT:
                await self._look_ahead(request)
            return await following(request)
        except HivemindError as refusal:
            return problems.response(refusal, request_id)
        except web.HTTPNotFound:
            return problems.response(problems.NotFoundError(), request_id)
        except ConnectionResetError:
            return web.Response(status=CLIENT_LEFT)  # reaches nobody, and is counted
        except Exception as fault:
            log.error("http.bug", exc_info=fault)
            return problems.problem_response(problems.bug_document(request_id))

    async def _look_ahead(self, request: web.Request) -> None:
        """Refuse what the router would take in another sense than ours, or only after an answer has begun."""
        if request.method == hdrs.METH_CONNECT:
            raise self._unknown_method(request.raw_path)
        found = await self._router.resolve(request)
        # The router decodes what a path has percent-encoded; ours have one spelling.
        path = request.rel_url.raw_path
        pattern = found.route.resource.canonical if found.route.resource is not None else None
        if not (self._paths.is_spelled(path, pattern) if pattern is not None else self._paths.allow(path)):
            raise problems.NotFoundError
        if found.http_exception is not None:
            raise found.http_exception
        # A body is asked for where it is read; who waits for that hears of a wrong path or method first.
        if request.headers.get(hdrs.EXPECT, "100-continue").lower() != "100-continue":
            raise problems.BadRequestError("Expect can be 100-continue and nothing else")

    def _unknown_method(self, path: str) -> HivemindError:
        allow = self._paths.allow(path)
        return problems.MethodNotAllowedError(allow) if allow is not None else problems.NotFoundError()

    def _record(self, request: web.BaseRequest, status: int, seconds: float) -> None:
        method = request.method if request.method in _METHODS else "other"
        self._tell(method, request.get(PATTERN, "unmatched"), status, seconds, client_of(request, self._environment))

    def _tell(self, method: str, route: str, status: int, seconds: float, client: str) -> None:
        counted = self._counted.get((method, route, status))
        if counted is None:
            # Looking a label up costs more than counting; there are as many as routes, methods and statuses.
            counted = self._requests.labels(method, route, status), self._seconds.labels(route)
            self._counted[method, route, status] = counted
        counted[0].inc()
        counted[1].observe(seconds)
        log.info(
            "http.request",
            method=method,
            route=route,
            status=status,
            duration_ms=round(seconds * 1000, 1),
            client=hashlib.blake2b(client.encode(), key=self._salt, digest_size=8).hexdigest(),
        )
