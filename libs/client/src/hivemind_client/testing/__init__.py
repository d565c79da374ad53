"""A double of the gateway for tests of what speaks to it: in memory, on a loopback port that the kernel gives.

It knows the routes that this client uses and answers them as the API does; `script` puts any other answer before its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from hivemind_client.testing import forms
from hivemind_client.testing.answers import ALWAYS, Answering, Refusal, answered, events_of, refused, streamed

__all__ = [
    "KEY",
    "NOW",
    "SESSION",
    "GatewayDouble",
    "Refusal",
    "Seen",
    "answered",
    "events_of",
    "gateway_double",
    "refused",
    "streamed",
]

KEY = "hm_doubledouble_0123456789abcdefghijABCDEFGHIJ01aaaaaa"
SESSION = "session-of-the-double"
"""The token of the first session; the next one ends in `-2`."""

NOW = "2026-11-22T18:04:05.123Z"
NO_KNOWLEDGE = {"code": "no_knowledge", "detail": "it was taught nothing: add a snippet"}
LATER = "2026-11-29T18:04:05.123Z"
MOST_TRIES = 10
COMPONENTS = ("gateway", "auth", "bots", "knowledge", "db", "nats", "llm")


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
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By token, the newest first in the list that is told."""
    bots: dict[str, dict[str, Any]] = field(default_factory=dict)
    snippets: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    gaps: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    conversations: set[str] = field(default_factory=set)
    components: dict[str, dict[str, str]] = field(
        default_factory=lambda: {name: {"status": "ok", "detail": ""} for name in COMPONENTS}
    )
    health: str = "ok"
    wrong_tries: dict[str, int] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    scripted: dict[tuple[str, str], list[web.StreamResponse | Answering]] = field(default_factory=dict)
    _ids: int = 0
    _sessions: int = 0

    def script(self, method: str, path: str, *answers: web.StreamResponse | Answering) -> None:
        """Answer the next requests of this method and path with these, one each, and then as always."""
        self.scripted.setdefault((method, path), []).extend(answers)

    def add_bot(self, slug: str, **members: Any) -> dict[str, Any]:
        """A bot that is there without having been asked for."""
        bot: dict[str, Any] = {
            "id": self.new_id(),
            "slug": slug,
            "name": slug.title(),
            "description": "",
            "tier": "internal",
            "status": "active",
            "system_prompt": "Be kind.",
            "provider": None,
            "model": None,
            **forms.SETTINGS,
            "version": 1,
            "pinned_version": None,
            "effective": {"provider": "quote", "model": "quote"},
            "readiness": [NO_KNOWLEDGE],
            "snippet_count": 0,
            "created_at": NOW,
            "updated_at": NOW,
            **members,
        }
        self.bots[slug], self.snippets[slug], self.gaps[slug] = bot, [], []
        return bot

    def add_snippet(self, slug: str, title: str, body: str, **members: Any) -> dict[str, Any]:
        """A snippet that is there without having been added."""
        snippet: dict[str, Any] = {
            "id": self.new_id(),
            "title": title,
            "body": body,
            "tags": [],
            "source": None,
            "language": "en",
            "created_at": NOW,
            "updated_at": NOW,
            **members,
        }
        self.snippets[slug].insert(0, snippet)
        self.bots[slug]["knowledge_search_enabled"] = True
        self.count_snippets(slug)
        return snippet

    def add_gap(self, slug: str, question: str, asked: int = 1) -> dict[str, Any]:
        """A question without an answer that is there without having been asked."""
        gap = {"id": self.new_id(), "question": question, "asked": asked, "last_asked_at": NOW}
        self.gaps[slug].insert(0, gap)
        return gap

    def count_snippets(self, slug: str) -> None:
        """Let a bot's profile say how much it knows."""
        count = len(self.snippets[slug])
        self.bots[slug] |= {"snippet_count": count, "readiness": [] if count else [NO_KNOWLEDGE]}

    def open_session(self, **members: Any) -> str:
        """A sign-in that nobody asked for; its token."""
        self._sessions += 1
        token = SESSION if self._sessions == 1 else f"{SESSION}-{self._sessions}"
        self.sessions[token] = {
            "id": self.new_id(),
            "created_at": NOW,
            "last_seen_at": NOW,
            "expires_at": LATER,
            "address": "127.0.0.1",
            "user_agent": "",
            **members,
        }
        return token

    def new_id(self) -> str:
        """An id that nothing has yet."""
        self._ids += 1
        return f"0192c7f0-0000-7000-8000-{self._ids:012d}"


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
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            body = raw
        double.seen.append(Seen(request.method, request.path, dict(request.query), dict(request.headers), body))
        if scripted := double.scripted.get((request.method, request.path)):
            answer = scripted.pop(0)
            return answer if isinstance(answer, web.StreamResponse) else await answer(request)
        try:
            response = await handler(request)
        except web.HTTPMethodNotAllowed as fault:
            allow = {"Allow": ", ".join(sorted({*fault.allowed_methods, "OPTIONS"}))}
            raise Refusal(405, "method_not_allowed", "this path does not know that method", headers=allow) from None
        except web.HTTPNotFound:
            raise Refusal(404, "not_found", "there is nothing at this path") from None
        if not response.prepared:
            response.headers.update(ALWAYS)
        return response

    routes = _Routes(double)
    app = web.Application(middlewares=[remember], client_max_size=1_048_576)
    base = "/api/v1/bots"
    app.add_routes(
        [
            web.post("/auth/register", routes.register),
            web.post("/auth/login", routes.login),
            web.post("/auth/logout", routes.logout),
            web.get("/auth/me", routes.me),
            web.patch("/auth/me", routes.change_password),
            web.get("/api/v1/sessions", routes.list_sessions),
            web.delete("/api/v1/sessions/{id}", routes.revoke_session),
            web.get("/api/v1/health", routes.health),
            web.post(base, routes.create_bot),
            web.get(base, routes.list_bots),
            web.get(base + "/{slug}", routes.show_bot),
            web.post(base + "/{slug}/knowledge", routes.add_snippet),
            web.get(base + "/{slug}/knowledge", routes.list_snippets),
            web.get(base + "/{slug}/knowledge/search", routes.search),
            web.get(base + "/{slug}/knowledge/gaps", routes.list_gaps),
            web.get(base + "/{slug}/knowledge/{id}", routes.show_snippet),
            web.patch(base + "/{slug}/knowledge/{id}", routes.edit_snippet),
            web.delete(base + "/{slug}/knowledge/{id}", routes.delete_snippet),
            web.delete(base + "/{slug}/knowledge", routes.delete_tagged),
            web.post(base + "/{slug}/knowledge/gaps/{id}/snippet", routes.fill_gap),
            web.delete(base + "/{slug}/knowledge/gaps/{id}", routes.dismiss_gap),
            web.post(base + "/{slug}/chat", routes.chat),
        ]
    )
    return app


class _Routes:
    def __init__(self, double: GatewayDouble) -> None:
        self.double = double

    async def register(self, request: web.Request) -> web.Response:
        body = await _body(request)
        if self.double.admin is not None:
            raise Refusal(409, "already_registered", "an admin is registered already; sign in instead")
        given = body.get("setup_token") if isinstance(body, dict) else None
        if given != self.double.setup_token:
            raise Refusal(403, "setup_token_required", "the first admin needs the setup token")
        form = forms.checked(body, forms.REGISTER, needs=("username", "email", "password"))
        self.double.admin = {name: form[name] for name in ("username", "email", "password")}
        return web.json_response(self._account() | {"api_key": KEY}, status=201, headers={"Location": "/auth/me"})

    async def login(self, request: web.Request) -> web.Response:
        form = forms.checked(await _body(request), forms.LOGIN, needs=("email", "password"))
        email, admin = form["email"].lower(), self.double.admin
        forget_tries = self._take_try(email)
        if admin is None or (email, form["password"]) != (admin["email"].lower(), admin["password"]):
            raise Refusal(401, "invalid_credentials", "wrong e-mail address or password")
        forget_tries()
        token = self.double.open_session(user_agent=request.headers.get("User-Agent", ""))
        response = web.json_response(self._account() | {"expires_at": LATER})
        response.headers["Set-Cookie"] = _cookie(token, 604_800)
        return response

    async def logout(self, request: web.Request) -> web.Response:
        self.double.sessions.pop(request.cookies.get("hm_session", ""), None)
        return web.Response(status=204, headers={"Set-Cookie": _cookie("", 0)})

    async def me(self, request: web.Request) -> web.Response:
        return web.json_response(self._account() | {"auth": self._who(request), "scopes": ["admin"]})

    async def change_password(self, request: web.Request) -> web.Response:
        by = self._who(request)
        form = forms.checked(await _body(request), forms.NEW_PASSWORD, needs=("password", "current_password"))
        admin = self.double.admin or {}
        forget_tries = self._take_try(admin.get("email", "").lower())
        if form["current_password"] != admin.get("password"):
            forms.refuse([("current_password", "wrong", "is not the current password")])
        forget_tries()
        admin["password"] = form["password"]
        own = request.cookies.get("hm_session", "") if by == "session" else ""
        self.double.sessions = {token: kept for token, kept in self.double.sessions.items() if token == own}
        return web.json_response(self._account() | {"auth": by, "scopes": ["admin"]})

    async def list_sessions(self, request: web.Request) -> web.Response:
        own = request.cookies.get("hm_session") if self._who(request) == "session" else None
        query = _query(request, forms.PAGE)
        told = [session | {"current": token == own} for token, session in self.double.sessions.items()]
        return _page(query, told[::-1])

    async def revoke_session(self, request: web.Request) -> web.Response:
        self._who(request)
        for token, session in self.double.sessions.items():
            if session["id"] == request.match_info["id"]:
                del self.double.sessions[token]
                return web.Response(status=204)
        raise Refusal(404, "not_found", "there is no such session")

    async def health(self, _: web.Request) -> web.Response:
        document = {"status": self.double.health, "version": "0.1.0", "time": NOW, "components": self.double.components}
        return web.json_response(document, status=503 if self.double.health == "down" else 200)

    async def create_bot(self, request: web.Request) -> web.Response:
        self._who(request)
        body = forms.checked(await _body(request), forms.BOT, needs=("slug",))
        slug, template = body.pop("slug"), body.pop("template", None)
        given = {name: value for name, value in body.items() if value is not None}
        if template not in (None, "customer-support"):
            forms.refuse([("template", "unknown", f"there is no template {template}")], "unknown_template")
        if template is None and (missing := [name for name in ("name", "system_prompt") if name not in given]):
            forms.refuse([(name, "missing", "is required without a template") for name in missing])
        if slug in self.double.bots:
            raise Refusal(409, "slug_taken", f"the slug {slug} is taken")
        if "name" in given:
            given["name"] = given["name"].strip()
        bot = self.double.add_bot(slug, **({"name": "Customer support"} if template else {}) | given)
        for number in range(8 if template else 0):
            self.double.add_snippet(slug, f"Starter {number + 1}", "What the template teaches.")
        if template:
            bot["readiness"] = [{"code": "placeholders_left", "detail": "fill in {{company}} in the prompt"}]
        return web.json_response(bot, status=201, headers={"Location": f"/api/v1/bots/{slug}"})

    async def list_bots(self, request: web.Request) -> web.Response:
        self._who(request)
        query = _query(request, forms.BOTS)
        bots = [
            bot
            for _, bot in sorted(self.double.bots.items())
            if query.get("tier", bot["tier"]) == bot["tier"] and query.get("status", bot["status"]) == bot["status"]
        ]
        return _page(query, bots)

    async def show_bot(self, request: web.Request) -> web.Response:
        return web.json_response(self._bot(request))

    async def add_snippet(self, request: web.Request) -> web.Response:
        return await self._added(request, self._bot(request)["slug"])

    async def _added(self, request: web.Request, slug: str) -> web.Response:
        form = forms.checked(await _body(request), forms.SNIPPET, needs=("title", "body"))
        form.pop("allow_secret", None)
        snippet = self.double.add_snippet(slug, **form | {"title": form["title"].strip()})
        at = f"/api/v1/bots/{slug}/knowledge/{snippet['id']}"
        return web.json_response(snippet, status=201, headers={"Location": at, "ETag": _tag(snippet)})

    async def list_snippets(self, request: web.Request) -> web.Response:
        slug = self._bot(request)["slug"]
        return _page(_query(request, forms.PAGE), self.double.snippets[slug])

    async def show_snippet(self, request: web.Request) -> web.Response:
        snippet = self._snippet(request)
        return web.json_response(snippet, headers={"ETag": _tag(snippet)})

    async def edit_snippet(self, request: web.Request) -> web.Response:
        snippet = self._snippet(request)
        form = forms.checked(await _body(request), forms.EDIT)
        _check_match(request, snippet)
        form.pop("allow_secret", None)
        if form.get("tags", ()) is None:
            form["tags"] = []
        if any(snippet[name] != value for name, value in form.items()):
            snippet |= form | {"updated_at": LATER}
        return web.json_response(snippet, headers={"ETag": _tag(snippet)})

    async def delete_snippet(self, request: web.Request) -> web.Response:
        slug, snippet = request.match_info["slug"], self._snippet(request)
        _check_match(request, snippet)
        self.double.snippets[slug].remove(snippet)
        self.double.count_snippets(slug)
        return web.Response(status=204)

    async def delete_tagged(self, request: web.Request) -> web.Response:
        slug = self._bot(request)["slug"]
        tag = _query(request, forms.TAG, needs=("tag",))["tag"]
        before = self.double.snippets[slug]
        self.double.snippets[slug] = [snippet for snippet in before if tag not in snippet["tags"]]
        self.double.count_snippets(slug)
        return web.json_response({"deleted": len(before) - len(self.double.snippets[slug])})

    async def list_gaps(self, request: web.Request) -> web.Response:
        slug = self._bot(request)["slug"]
        return _page(_query(request, forms.PAGE), self.double.gaps[slug])

    async def fill_gap(self, request: web.Request) -> web.Response:
        slug, gap = request.match_info["slug"], self._gap(request)
        added = await self._added(request, slug)
        self.double.gaps[slug].remove(gap)
        return added

    async def dismiss_gap(self, request: web.Request) -> web.Response:
        slug, gap = request.match_info["slug"], self._gap(request)
        self.double.gaps[slug].remove(gap)
        return web.Response(status=204)

    async def search(self, request: web.Request) -> web.Response:
        slug = self._bot(request)["slug"]
        query = _query(request, forms.SEARCH, needs=("q",))
        hits = [
            {"id": s["id"], "title": s["title"], "score": 1 / n, "excerpt": s["body"][:300], "highlights": []}
            for n, s in enumerate(self._found(slug, query["q"])[: int(query.get("limit", "10"))], 1)
        ]
        return web.json_response({"items": hits, "next": None})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        slug = self._bot(request)["slug"]
        form = forms.checked(await _body(request), forms.CHAT, needs=("message",))
        conversation = form.get("conversation_id")
        if conversation is not None and conversation not in self.double.conversations:
            raise Refusal(404, "conversation_not_found", "there is no such conversation")
        if conversation is None:
            conversation = "0192c7f0-0000-7000-8000-c00000000000"
            self.double.conversations.add(conversation)
        found = self._found(slug, form["message"])[:1]
        citations = [{"snippet_id": s["id"], "title": s["title"], "quote": s["body"], "verified": True} for s in found]
        answer = {
            "conversation_id": conversation,
            "message_id": "0192c7f0-0000-7000-8000-a00000000000",
            "reply": f"{found[0]['body']} [1]" if found else "I don't know. Nothing that I was taught covers that.",
            "citations": citations,
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
        return {
            "id": "0192c7f0-0000-7000-8000-adaadaadaada",
            "username": admin["username"],
            "email": admin["email"],
            "role": "admin",
        }

    def _who(self, request: web.Request) -> str:
        if (key := request.headers.get("X-API-Key")) is not None:
            if key != KEY:
                raise Refusal(401, "invalid_api_key", "invalid or inactive API key")
            return "api_key"
        if cookie := request.cookies.get("hm_session"):
            if cookie not in self.double.sessions:
                raise Refusal(401, "invalid_session", "session is not valid; sign in again")
            return "session"
        raise Refusal(401, "missing_api_key", "missing X-API-Key header")

    def _take_try(self, email: str) -> Callable[[], None]:
        tries = self.double.wrong_tries
        if tries.get(email, 0) >= MOST_TRIES:
            raise Refusal(
                429,
                "rate_limited",
                "too many wrong passwords; try again later",
                headers={"Retry-After": "900"},
                scope="login",
                limit=MOST_TRIES,
            )
        tries[email] = tries.get(email, 0) + 1
        return lambda: tries.update({email: 0})

    def _bot(self, request: web.Request) -> dict[str, Any]:
        self._who(request)
        slug = request.match_info["slug"]
        if slug not in self.double.bots:
            raise Refusal(404, "bot_not_found", "there is no such bot")
        return self.double.bots[slug]

    def _snippet(self, request: web.Request) -> dict[str, Any]:
        slug = self._bot(request)["slug"]
        for snippet in self.double.snippets[slug]:
            if snippet["id"] == request.match_info["id"]:
                return snippet
        raise Refusal(404, "snippet_not_found", "this bot has no such snippet")

    def _gap(self, request: web.Request) -> dict[str, Any]:
        slug = self._bot(request)["slug"]
        for gap in self.double.gaps[slug]:
            if gap["id"] == request.match_info["id"]:
                return gap
        raise Refusal(404, "gap_not_found", "this bot has no such question without an answer")

    def _found(self, slug: str, question: str) -> list[dict[str, Any]]:
        words = set(question.lower().replace("?", "").split())
        return [s for s in self.double.snippets[slug] if words & set(f"{s['title']} {s['body']}".lower().split())]


async def _body(request: web.Request) -> Any:
    raw = await request.read()
    if not raw:
        raise Refusal(400, "bad_request", "a JSON body is needed here")
    if request.content_type != "application/json":
        raise Refusal(415, "unsupported_media_type", "send the body with Content-Type: application/json")
    try:
        return json.loads(raw)
    except ValueError:
        raise Refusal(400, "malformed_json", "the body is not JSON") from None


def _tag(shown: dict[str, Any]) -> str:
    return f'"{hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:32]}"'


def _check_match(request: web.Request, shown: dict[str, Any]) -> None:
    sent = request.headers.get("If-Match")
    if sent not in {None, "*", _tag(shown)}:
        detail = "ada has changed it since: look at it again"
        raise Refusal(412, "precondition_failed", detail, current_etag=_tag(shown), changed_by="ada")


def _query(request: web.Request, form: Mapping[str, forms.Rule], *, needs: tuple[str, ...] = ()) -> dict[str, str]:
    return forms.checked(dict(request.query), form, needs=needs, prefix="query.")


def _page(query: Mapping[str, str], rows: list[dict[str, Any]]) -> web.Response:
    cursor, limit = query.get("cursor", "0"), int(query.get("limit", "50"))
    if not cursor.isdigit():
        raise Refusal(422, "invalid_cursor", "cursor: use the `next` of the page before, unchanged")
    start = int(cursor)
    more = str(start + limit) if start + limit < len(rows) else None
    return web.json_response({"items": rows[start : start + limit], "next": more})


def _cookie(token: str, seconds: int) -> str:
    return f"hm_session={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}"
