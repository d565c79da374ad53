"""The table of routes, and the one way that a request takes through the door."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from types import UnionType
from typing import (
    Any,
    Final,
    Generic,
    Required,
    TypedDict,
    TypeVar,
    Union,
    Unpack,
    get_args,
    get_origin,
    get_type_hints,
)
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel

from hivemind_common.bus import Bus, Call
from hivemind_common.contracts.bots import RESOLVE_BOT, BotNamed, BotNotFoundError
from hivemind_common.contracts.kinds import Message
from hivemind_common.environment import Environment
from hivemind_common.errors import HivemindError
from hivemind_common.principal import ANONYMOUS, Principal, Role
from hivemind_common.telemetry import REQUEST_ID
from hivemind_gateway import bodies, queries, tags
from hivemind_gateway.headers import CROSS_ORIGIN, DROPS_COOKIE, PATTERN, PREFLIGHT
from hivemind_gateway.identity import Caller, Identities, session_cookie
from hivemind_gateway.pages.rendering import Pages
from hivemind_gateway.peers import client_of, is_outer_https, is_same_origin
from hivemind_gateway.problems import CsrfError, InsufficientScopeError, MethodNotAllowedError, joined

EDGE_TIMEOUT: Final = timedelta(seconds=10)
SLUG_FORM: Final = re.compile(r"(?P<slug>[a-z0-9-]{3,32})(@(?P<version>[1-9][0-9]{0,8}))?")
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Access(Enum):
    """Who may use a route: anybody, whoever is signed in, or whoever holds a scope.

    What belongs to one's own account asks for a session, or for a key that may do everything: a key that was made to chat
    does not end its owner's sessions. How a bot is made is shown to admins only, whose keys need no more than to read.
    """

    OPEN = "open"
    SIGNED_IN = "signed in"
    OWN_ACCOUNT = "own account"
    CHAT = "chat"
    BOTS_READ = "bots:read"
    BOTS_INSPECT = "bots:read, as an admin"
    BOTS_WRITE = "bots:write"
    BOTS_APPLY = "bots:write and knowledge:write"
    KNOWLEDGE_READ = "knowledge:read"
    KNOWLEDGE_WRITE = "knowledge:write"

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes that are needed, all of them."""
        if self in {Access.OPEN, Access.SIGNED_IN, Access.OWN_ACCOUNT}:
            return ()
        several = {Access.BOTS_INSPECT: ("bots:read",), Access.BOTS_APPLY: ("bots:write", "knowledge:write")}
        return several.get(self, (self.value,))


@dataclass(frozen=True)
class Door:
    """What all requests share."""

    environment: Environment
    bus: Bus
    identities: Identities
    document: bytes
    """The OpenAPI document."""
    pages: Pages
    room: bodies.Room


@dataclass(frozen=True)
class Request:
    """A request on its way to a handler: who asks is known, and what was sent is judged."""

    http: web.Request
    door: Door
    route: Route
    call: Call
    caller: Caller | None

    @property
    def principal(self) -> Principal:
        """Who asks."""
        return self.caller.identity.principal if self.caller is not None else ANONYMOUS

    @property
    def slug(self) -> str:
        """The bot that the path names; raises `BotNotFoundError` for what can be no bot's slug."""
        return self._addressed["slug"]

    @property
    def version(self) -> int | None:
        """The version of its prompt that the path names, as in `helpdesk@3`, where it may; None is the live one."""
        found = self._addressed["version"]
        return int(found) if found else None

    @property
    def _addressed(self) -> re.Match[str]:
        found = SLUG_FORM.fullmatch(self.http.match_info["slug"])
        if found is None or (found["version"] and not self.route.is_versioned):
            raise BotNotFoundError
        return found

    def path_id(self, name: str, missing: type[HivemindError]) -> UUID:
        """Return an id of the path; one of a wrong form names nothing, so it is not found."""
        text = self.http.match_info[name]
        try:
            found = UUID(text)
        except ValueError:
            raise missing from None
        if str(found) != text:
            raise missing
        return found


T = TypeVar("T", bound=Message | None)


@dataclass(frozen=True)
class Reply(Generic[T]):
    """What a handler answers: a message, or its JSON as another service wrote it."""

    body: T | bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def render(self) -> web.Response:
        """Write it."""
        if self.body is None:
            return web.Response(status=self.status, headers=self.headers)
        body = self.body if isinstance(self.body, bytes) else self.body.model_dump_json().encode()
        return web.Response(body=body, status=self.status, content_type="application/json", headers=self.headers)


def created(body: T | bytes, *, at: str) -> Reply[T]:
    """Answer that something was made, and where it is."""
    return Reply(body, 201, {"Location": at})


Handler = Callable[..., Awaitable[Reply[Any] | web.StreamResponse]]
Finder = Callable[..., Awaitable[object]]
H = TypeVar("H", bound=Handler)


@dataclass(frozen=True)
class Route:
    """One row of the table."""

    method: str
    path: str
    access: Access
    handler: Handler
    body: type[BaseModel] | None
    query: type[BaseModel] | None
    wants_bot: bool
    is_conditional: bool
    """Whether it is done only to a thing in the state that `If-Match` names."""
    is_lenient: bool
    """The handler judges the parsed body itself, because something else is refused first."""
    checks_origin: bool
    timeout: timedelta
    form: type[BaseModel] | None
    """What a body is validated as, by whomever."""
    medium: bodies.Medium
    replies: tuple[type[Message], ...]
    """What is answered as JSON, by who asks; none: nothing, or what is no JSON."""
    status: int
    refuses: tuple[type[HivemindError], ...]
    """Refusals of its own; those that any route may tell are not repeated."""
    streams: bool
    finds: Finder | None
    """Raises where the thing is not there that the rest of the path names; takes what the handler takes of a bot."""
    is_tagged: bool
    """Whether its answer is one thing, which may change: it comes with an `ETag`."""
    is_versioned: bool
    """Whether the bot of its path may be named with a version of its prompt."""
    exports: type[BaseModel] | None
    """What is written as YAML, piece by piece."""
    leads_to: tuple[str, ...]
    """Paths that may be asked for next, though the answer names nothing that stands in them."""
    example: Mapping[str, Any] | None
    """A body as somebody might send it."""

    @property
    def summary(self) -> str:
        """One sentence: what it does."""
        return (self.handler.__doc__ or "").strip().partition("\n")[0]


class Routes:
    """Collects the table, from signatures.

    What a handler takes beside the request says what is read (`body`, `query`, `bot`, `expected`), and `Reply[…]` what is answered.
    """

    def __init__(self) -> None:
        self.rows: list[Route] = []

    def get(self, path: str, **more: Unpack[Details]) -> Callable[[H], H]:
        """Answer GET, and HEAD with it."""
        return self._add("GET", path, more)

    def post(self, path: str, **more: Unpack[Details]) -> Callable[[H], H]:
        """Answer POST."""
        return self._add("POST", path, more)

    def put(self, path: str, **more: Unpack[Details]) -> Callable[[H], H]:
        """Answer PUT."""
        return self._add("PUT", path, more)

    def patch(self, path: str, **more: Unpack[Details]) -> Callable[[H], H]:
        """Answer PATCH."""
        return self._add("PATCH", path, more)

    def delete(self, path: str, **more: Unpack[Details]) -> Callable[[H], H]:
        """Answer DELETE."""
        return self._add("DELETE", path, more)

    def _add(self, method: str, path: str, more: Details) -> Callable[[H], H]:
        def add(handler: H) -> H:
            hints = get_type_hints(handler)
            taken = set(inspect.signature(handler).parameters)
            is_lenient = "form" in more
            body = hints["body"] if "body" in taken and not is_lenient else None
            replies, streams = _answers_of(hints["return"])
            self.rows.append(
                Route(
                    method,
                    path,
                    more["access"],
                    handler,
                    body=body,
                    query=hints.get("query"),
                    wants_bot="bot" in taken,
                    is_conditional="expected" in taken,
                    is_lenient=is_lenient,
                    checks_origin=more.get("checks_origin", False),
                    timeout=more.get("timeout", EDGE_TIMEOUT),
                    form=more.get("form", body),
                    medium=more.get("medium", bodies.PATCH if method == "PATCH" else bodies.JSON),
                    replies=replies,
                    status=more.get("status", 200 if replies or streams else 204),
                    refuses=more.get("refuses", ()),
                    streams=streams,
                    finds=more.get("finds"),
                    is_tagged=more.get("is_tagged", False),
                    is_versioned=more.get("is_versioned", False),
                    exports=more.get("exports"),
                    leads_to=more.get("leads_to", ()),
                    example=more.get("example"),
                )
            )
            return handler

        return add


class Details(TypedDict, total=False):
    """What a row says beside its path and its handler's signature."""

    access: Required[Access]
    form: type[BaseModel]
    """Of a handler that judges the parsed body itself, because something else is refused first: as what."""
    medium: bodies.Medium
    checks_origin: bool
    timeout: timedelta
    status: int
    refuses: tuple[type[HivemindError], ...]
    finds: Finder
    is_tagged: bool
    is_versioned: bool
    exports: type[BaseModel]
    leads_to: tuple[str, ...]
    example: Mapping[str, Any]


def _answers_of(annotation: Any) -> tuple[tuple[type[Message], ...], bool]:
    """Return what each `Reply[…]` names, and whether the handler may write its answer itself."""
    kinds = get_args(annotation) if get_origin(annotation) in {Union, UnionType} else (annotation,)
    named = (get_args(kind)[0] for kind in kinds if get_origin(kind) is Reply)
    return tuple(each for each in named if each is not type(None)), web.StreamResponse in kinds


def mount(router: web.UrlDispatcher, door: Door, rows: list[Route]) -> None:
    """Put the table into a router; each path also answers OPTIONS, and refuses whatever is not in it."""
    by_path: dict[str, list[Route]] = {}
    for row in rows:
        by_path.setdefault(row.path, []).append(row)
    for path, found in by_path.items():
        resource = router.add_resource(path)
        methods = (
            {row.method for row in found} | {"OPTIONS"} | ({"HEAD"} if any(r.method == "GET" for r in found) else set())
        )
        for row in found:
            handler = _handler(door, row)
            resource.add_route(row.method, handler, expect_handler=_wait)
            if row.method == "GET":
                resource.add_route("HEAD", handler, expect_handler=_wait)
        resource.add_route("OPTIONS", _options(path, joined(methods)), expect_handler=_wait)
        # Else the router would go on to the next path that fits: `…/knowledge/search` could be somebody's id.
        resource.add_route("*", _refuse_method(path, joined(methods)), expect_handler=_wait)


async def _wait(_request: web.Request) -> None:
    """Say nothing yet to who waits for `100 Continue`: a body is asked for where it is read, and not if it is refused."""


def _refuse_method(path: str, allow: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def refuse(request: web.Request) -> web.StreamResponse:
        request[PATTERN] = path
        raise MethodNotAllowedError(allow)

    return refuse


def _options(path: str, allow: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def tell(request: web.Request) -> web.StreamResponse:
        request[PATTERN] = path
        headers = {"Allow": allow}
        if request.get(CROSS_ORIGIN) and "Access-Control-Request-Method" in request.headers:
            headers |= PREFLIGHT | {"Access-Control-Allow-Methods": allow}
        return web.Response(status=204, headers=headers)

    return tell


def _handler(door: Door, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(http: web.Request) -> web.StreamResponse:
        http[PATTERN] = route.path
        call = door.bus.call(
            ANONYMOUS,
            timeout=route.timeout,
            request_id=REQUEST_ID.get() or "",
            address=client_of(http, door.environment)[:64],
        )
        caller = None
        # The order of refusals: 401, 413 and 415, 403, 404, 400 and 422; what comes after is the handler's.
        if route.access is not Access.OPEN:
            caller = await door.identities.identify(http, call)
            if caller.drops_cookie:
                http[DROPS_COOKIE] = session_cookie("", 0, secure=is_outer_https(http, door.environment))
            call = call.under(caller.identity.principal)
        bodies.check_head(http, route.medium)
        _check_rights(door, route, http, caller)
        with door.room.share() as share:
            content = await bodies.read(http, door.room, share, route.medium) if http.can_read_body else b""
            # The time that a slow sender takes is none of the answer's.
            call = door.bus.call(
                call.principal, timeout=route.timeout, request_id=call.request_id, address=call.address
            )
            request = Request(http, door, route, call, caller)
            given = await _judged(route, request, content)
            del content
        reply = await route.handler(request, **given)
        if not isinstance(reply, Reply):
            return reply
        return tags.tagged(http, reply.render()) if route.is_tagged else reply.render()

    return handle


def _check_rights(door: Door, route: Route, http: web.Request, caller: Caller | None) -> None:
    is_browser_like = caller is not None and caller.by == "session" and http.method not in SAFE_METHODS
    if (is_browser_like or route.checks_origin) and not is_same_origin(http, door.environment):
        raise CsrfError
    scopes = route.access.scopes
    if route.access is Access.OWN_ACCOUNT and (caller is None or caller.by != "session"):
        scopes = ("admin",)
    for scope in scopes:
        if caller is None or not caller.identity.principal.may(scope):
            raise InsufficientScopeError(f"this needs the scope {scope}", facts={"scope": scope})
    if route.access is Access.BOTS_INSPECT and caller is not None and caller.identity.principal.role is Role.USER:
        raise InsufficientScopeError("this needs the role admin", facts={"scope": "admin"})


async def _judged(route: Route, request: Request, content: bytes) -> dict[str, Any]:
    """Return what the handler takes beside the request, each a validated value."""
    given: dict[str, Any] = {}
    if route.wants_bot:
        given["bot"] = await request.call.ask(RESOLVE_BOT, BotNamed(slug=request.slug))
    try:
        if route.body is not None or route.is_lenient:
            given["body"] = await _parsed(route, content)
        if route.query is not None:
            given["query"] = queries.read(route.query, request.http)
        elif route.path.startswith("/api/v1/"):
            queries.refuse_any(request.http)
        if route.is_conditional:
            given["expected"] = tags.expected(request.http)
    except HivemindError:
        # What the path names goes before a body or a query that is wrong; looked for only now, when it matters.
        if "slug" in request.http.match_info and not route.wants_bot:
            await request.call.ask(RESOLVE_BOT, BotNamed(slug=request.slug))
        if route.finds is not None:
            await route.finds(request, **({"bot": given["bot"]} if route.wants_bot else {}))
        raise
    return given


async def _parsed(route: Route, content: bytes) -> Any:
    if route.medium is bodies.YAML:
        return await asyncio.to_thread(bodies.parse_documents, content)  # off the loop: a large one takes a second
    value = bodies.parse(content)
    return value if route.body is None else bodies.validate(route.body, value)
