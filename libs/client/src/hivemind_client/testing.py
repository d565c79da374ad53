"""A double of the gateway for tests of what speaks to it: in memory, on a loopback port that the kernel gives.

It knows the routes that this client uses and answers them as the API does; `script` puts any other answer before its own.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

KEY = "hm_doubledouble_0123456789abcdefghijABCDEFGHIJ01aaaaaa"
SESSION = "session-of-the-double"
NOW = "2026-11-22T18:04:05.123Z"

Answer = web.StreamResponse | Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Seen:
    """One request, as it came in."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


@dataclass
class GatewayDouble:
    """What the double holds; tests may look and change."""

    url: str = ""
    admin: dict[str, str] | None = None
    setup_token: str | None = None
    bots: dict[str, dict[str, Any]] = field(default_factory=dict)
    snippets: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    components: dict[str, dict[str, str]] = field(default_factory=lambda: {"gateway": {"status": "ok", "detail": ""}})
    health: str = "ok"
    seen: list[Seen] = field(default_factory=list)
    scripted: dict[tuple[str, str], list[Answer]] = field(default_factory=dict)
    _ids: int = 0

    def script(self, method: str, path: str, *answers: Answer) -> None:
        """Answer the next requests of this method and path with these, one each, and then as always."""
        self.scripted.setdefault((method, path), []).extend(answers)

    def add_bot(self, slug: str, **members: Any) -> dict[str, Any]:
        """A bot that is there without having been asked for."""
        bot: dict[str, Any] = {
            "id": self._id(),
            "slug": slug,
            "name": slug.title(),
            "description": "",
            "tier": "internal",
        }
        bot |= {"status": "active", "system_prompt": "Be kind.", "provider": None, "model": None, "version": 1}
        bot |= {"effective": {"provider": "quote", "model": "quote"}, "snippet_count": 0, "created_at": NOW}
        bot |= {"readiness": [{"code": "no_knowledge", "detail": "it knows nothing yet"}], "updated_at": NOW, **members}
        self.bots[slug], self.snippets[slug] = bot, []
        return bot

    def add_snippet(self, slug: str, title: str, body: str, **members: Any) -> dict[str, Any]:
        """A snippet that is there without having been added."""
        snippet: dict[str, Any] = {
            "id": self._id(),
            "title": title,
            "body": body,
            "tags": [],
            "source": None,
            "language": None,
        }
        snippet |= {"created_at": NOW, "updated_at": NOW, **members}
        self.snippets[slug].insert(0, snippet)
        self.bots[slug]["snippet_count"] += 1
        return snippet

    def _id(self) -> str:
        self._ids += 1
        return f"0192c7f0-0000-7000-8000-{self._ids:012d}"


class Refusal(web.HTTPException):
    """A problem document, raised from anywhere."""

    def __init__(
        self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        self.status_code = status
        document = {
            "type": f"/docs/errors#{code}",
            "title": "Refused",
            "status": status,
            "code": code,
            "detail": detail,
        }
        document |= {"error": detail, "request_id": "0192-double", **members}
        super().__init__(text=json.dumps(document), content_type="application/problem+json", headers=headers)


def refused(
    status: int, code: str, detail: str = "refused", **more: Any
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """An answer for `script`: this refusal."""

    async def answer(_: web.Request) -> web.StreamResponse:
        raise Refusal(status, code, detail, **more)

    return answer


def answered(
    status: int, body: str | bytes, content_type: str = "application/json", **headers: str
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """An answer for `script`: these bytes; names of headers with `_` for `-`."""
    raw = body.encode() if isinstance(body, str) else body

    async def answer(_: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=raw, headers={"Content-Type": content_type, **named})

    return answer


def streamed(*chunks: bytes) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """An answer for `script`: an event stream of these pieces, which then ends."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        return response

    return answer


@asynccontextmanager
async def gateway_double() -> AsyncIterator[GatewayDouble]:
    """Entered: it answers at `url`. Left: it is gone."""
    double = GatewayDouble()
    runner = web.AppRunner(_app(double), shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        double.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield double
    finally:
        await runner.cleanup()


def _app(double: GatewayDouble) -> web.Application:
    @web.middleware
    async def remember(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        raw = await request.read()
        body = json.loads(raw) if raw else None
        double.seen.append(Seen(request.method, request.path, dict(request.query), dict(request.headers), body))
        if scripted := double.scripted.get((request.method, request.path)):
            answer = scripted.pop(0)
            return answer if isinstance(answer, web.StreamResponse) else await answer(request)
        try:
            return await handler(request)
        except web.HTTPNotFound:
            raise Refusal(404, "not_found", "there is nothing here") from None

    routes = _Routes(double)
    app = web.Application(middlewares=[remember], client_max_size=1_048_576)
    base = "/api/v1/bots"
    app.add_routes(
        [
            web.post("/auth/register", routes.register),
            web.post("/auth/login", routes.login),
            web.get("/auth/me", routes.me),
            web.get("/api/v1/health", routes.health),
            web.post(base, routes.create_bot),
            web.get(base, routes.list_bots),
            web.get(base + "/{slug}", routes.show_bot),
            web.post(base + "/{slug}/knowledge", routes.add_snippet),
            web.get(base + "/{slug}/knowledge", routes.list_snippets),
            web.get(base + "/{slug}/knowledge/search", routes.search),
            web.get(base + "/{slug}/knowledge/{id}", routes.show_snippet),
            web.delete(base + "/{slug}/knowledge/{id}", routes.delete_snippet),
            web.post(base + "/{slug}/chat", routes.chat),
        ]
    )
    return app


class _Routes:
    def __init__(self, double: GatewayDouble) -> None:
        self.double = double

    async def register(self, request: web.Request) -> web.Response:
        body = await request.json()
        if self.double.admin is not None:
            raise Refusal(409, "already_registered", "an administrator is registered already")
        if self.double.setup_token is not None and body.get("setup_token") != self.double.setup_token:
            raise Refusal(403, "setup_token_required", "the setup token is needed")
        if len(body["password"]) < 12:
            _wrong("password", "too_short", "must be 12 to 256 characters")
        self.double.admin = {name: body[name] for name in ("username", "email", "password")}
        return web.json_response(self._account() | {"api_key": KEY}, status=201)

    async def login(self, request: web.Request) -> web.Response:
        body, admin = await request.json(), self.double.admin
        if admin is None or (body["email"], body["password"]) != (admin["email"], admin["password"]):
            raise Refusal(401, "invalid_credentials", "e-mail address or password is wrong")
        response = web.json_response(self._account() | {"expires_at": "2026-11-29T18:04:05.123Z"})
        response.set_cookie("hm_session", SESSION, httponly=True, samesite="Lax", max_age=604_800)
        return response

    async def me(self, request: web.Request) -> web.Response:
        return web.json_response(self._account() | {"auth": self._who(request), "scopes": ["admin"]})

    async def health(self, _: web.Request) -> web.Response:
        document = {"status": self.double.health, "version": "0.1.0", "time": NOW, "components": self.double.components}
        return web.json_response(document, status=503 if self.double.health == "down" else 200)

    async def create_bot(self, request: web.Request) -> web.Response:
        self._who(request)
        body = dict(await request.json())
        slug, template = body.pop("slug"), body.pop("template", None)
        if slug in self.double.bots:
            raise Refusal(409, "slug_taken", f"the slug {slug} is taken")
        if template not in (None, "customer-support"):
            raise Refusal(422, "unknown_template", f"there is no template {template}")
        if template is None and not {"name", "system_prompt"} <= body.keys():
            _wrong("name", "missing", "is missing")
        bot = self.double.add_bot(slug, **({"name": "Customer support", "snippet_count": 8} if template else {}) | body)
        return web.json_response(bot, status=201)

    async def list_bots(self, request: web.Request) -> web.Response:
        self._who(request)
        bots = [
            bot for _, bot in sorted(self.double.bots.items()) if request.query.get("tier", bot["tier"]) == bot["tier"]
        ]
        return _page(request, bots)

    async def show_bot(self, request: web.Request) -> web.Response:
        return web.json_response(self._bot(request))

    async def add_snippet(self, request: web.Request) -> web.Response:
        slug, body = self._bot(request)["slug"], await request.json()
        if not body["body"]:
            _wrong("body", "too_short", "must be 1 to 20000 characters")
        return web.json_response(self.double.add_snippet(slug, **body), status=201)

    async def list_snippets(self, request: web.Request) -> web.Response:
        return _page(request, self.double.snippets[self._bot(request)["slug"]])

    async def show_snippet(self, request: web.Request) -> web.Response:
        return web.json_response(self._snippet(request))

    async def delete_snippet(self, request: web.Request) -> web.Response:
        self.double.snippets[request.match_info["slug"]].remove(self._snippet(request))
        return web.Response(status=204)

    async def search(self, request: web.Request) -> web.Response:
        found = self._found(self._bot(request)["slug"], request.query["q"])[: int(request.query.get("limit", "10"))]
        hits = [
            {"id": s["id"], "title": s["title"], "score": 1 / n, "excerpt": s["body"][:300], "highlights": []}
            for n, s in enumerate(found, 1)
        ]
        return web.json_response({"items": hits, "next": None})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        slug, body = self._bot(request)["slug"], await request.json()
        if not body["message"].strip():
            _wrong("message", "too_short", "must not be blank")
        found = self._found(slug, body["message"])[:1]
        answer = {
            "conversation_id": body.get("conversation_id") or "0192c7f0-0000-7000-8000-c00000000000",
            "message_id": "0192c7f0-0000-7000-8000-a00000000000",
            "reply": f"{found[0]['body']} [1]" if found else "I don't know. Nothing that I was taught covers that.",
            "citations": [{"snippet_id": s["id"], "title": s["title"], "quote": s["body"]} for s in found],
            "provider": "quote",
            "model": "quote",
            "version": 1,
            "grounded": bool(found),
            "finish_reason": "stop" if found else "refused",
            "fallback_used": False,
            "usage": {"input_tokens": 0, "output_tokens": 0, "cost_micro_usd": 0},
            "created_at": NOW,
        }
        if request.headers.get("Accept") == "text/event-stream":
            return await streamed(*events_of(answer))(request)
        return web.json_response(answer)

    def _account(self) -> dict[str, Any]:
        admin = self.double.admin or {"username": "ada", "email": "ada@example.org"}
        return {"id": "0192-ada", "username": admin["username"], "email": admin["email"], "role": "admin"}

    def _who(self, request: web.Request) -> str:
        if (key := request.headers.get("X-API-Key")) is not None:
            if key != KEY:
                raise Refusal(401, "invalid_api_key", "invalid or inactive API key")
            return "api_key"
        if (cookie := request.cookies.get("hm_session")) is not None:
            if cookie != SESSION:
                raise Refusal(401, "invalid_session", "session is not valid; sign in again")
            return "session"
        raise Refusal(401, "missing_api_key", "missing X-API-Key header")

    def _bot(self, request: web.Request) -> dict[str, Any]:
        self._who(request)
        slug = request.match_info["slug"]
        if slug not in self.double.bots:
            raise Refusal(404, "bot_not_found", f"there is no bot {slug}")
        return self.double.bots[slug]

    def _snippet(self, request: web.Request) -> dict[str, Any]:
        slug = self._bot(request)["slug"]
        for snippet in self.double.snippets[slug]:
            if snippet["id"] == request.match_info["id"]:
                return snippet
        raise Refusal(404, "snippet_not_found", "there is no such snippet")

    def _found(self, slug: str, question: str) -> list[dict[str, Any]]:
        words = set(question.lower().replace("?", "").split())
        return [s for s in self.double.snippets[slug] if words & set(f"{s['title']} {s['body']}".lower().split())]


def events_of(answer: Mapping[str, Any]) -> list[bytes]:
    """An answer as the events of a stream, with a heartbeat in it."""
    start = {name: answer[name] for name in ("conversation_id", "message_id", "provider", "model")}
    words = str(answer["reply"]).split(" ")
    deltas = [{"text": word if n == 0 else f" {word}"} for n, word in enumerate(words)]
    told = [("start", start), *(("delta", delta) for delta in deltas), ("done", dict(answer))]
    events = [
        f"event: {name}\nid: {answer['message_id']}.{n}\ndata: {json.dumps(data)}\n\n".encode()
        for n, (name, data) in enumerate(told)
    ]
    return [events[0], b": hb\n\n", *events[1:]]


def _page(request: web.Request, rows: list[dict[str, Any]]) -> web.Response:
    start, limit = int(request.query.get("cursor", "0")), int(request.query.get("limit", "50"))
    more = str(start + limit) if start + limit < len(rows) else None
    return web.json_response({"items": rows[start : start + limit], "next": more})


def _wrong(path: str, code: str, message: str) -> None:
    raise Refusal(
        422, "validation_failed", f"{path}: {message}", errors=[{"path": path, "code": code, "message": message}]
    )
