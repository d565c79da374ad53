"""The API as methods: what is asked and answered has a type, and a refusal is an exception."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

from pydantic import ValidationError

import hivemind_client
from hivemind_client.errors import ApiError, ClientError, InvalidInputError, NotHivemindError, UnreachableError
from hivemind_client.events import BrokenStreamError, EventReader
from hivemind_client.models import (
    Account,
    Answer,
    Bot,
    Changes,
    ChatEvent,
    Deleted,
    Delta,
    Document,
    Done,
    Gap,
    GoldenQuestion,
    Health,
    OpenSession,
    Problem,
    Prompt,
    Registration,
    SearchHit,
    Session,
    Snippet,
    Start,
    Template,
)
from hivemind_client.wire import Reply, Request, Wire, refusal

DEFAULT_TIMEOUT = timedelta(seconds=30)
REPEATS = 2
AGAIN = (429, 503)
"""After these what changes nothing, or changes the same again, is asked again, at most twice and within its time."""

AGAIN_WHATEVER = (429,)
"""After this nothing has happened. After 503 something may have: its answer was lost, and nobody knows."""

PAGE = 50

D = TypeVar("D", bound=Document)


class HivemindClient:
    """One server and one caller, as an asynchronous context manager.

    `timeout` is what one call may take, repeats and the whole of a stream included. A key goes before a session.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        session: str | None = None,
        timeout: timedelta = DEFAULT_TIMEOUT,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        headers = {"User-Agent": f"hm/{hivemind_client.VERSION}", "Accept": "application/json"}
        if api_key:
            headers["X-API-Key"] = header_safe(api_key, "the API key")
        elif session:
            headers["Cookie"] = f"hm_session={cookie_safe(session)}"
        self._wire = Wire(url, headers)
        self._timeout = timeout.total_seconds()
        self._pause = pause

    @property
    def url(self) -> str:
        """Where the server is, without a closing slash."""
        return self._wire.url

    @property
    def waiting_since(self) -> float | None:
        """Since when an answer has been waited for, on the loop's clock; None while none is."""
        return self._wire.waiting_since

    async def __aenter__(self) -> Self:
        await self._wire.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._wire.close()

    # Who you are

    async def register(self, username: str, email: str, password: str, setup_token: str | None = None) -> Registration:
        """Make the first administrator; its key is told now and never again."""
        body = {"username": username, "email": email, "password": password}
        if setup_token is not None:
            body["setup_token"] = setup_token
        return self._read(Registration, await self._change(Request("POST", "/auth/register", body=body), 201))

    async def login(self, email: str, password: str) -> Session:
        """Open a session; its `token` is what later clients take as `session`."""
        reply = await self._change(Request("POST", "/auth/login", body={"email": email, "password": password}), 200)
        token = reply.cookies.get("hm_session", "")
        if not token:
            raise NotHivemindError(
                f"{self.url} signed in without a session", hint="does a proxy strip the cookie hm_session?"
            )
        return self._read(Session, reply).with_token(token)

    async def whoami(self) -> Account:
        """Who the server takes this caller for."""
        return self._read(Account, await self._get("/auth/me"))

    async def logout(self) -> None:
        """End the session of this client; one that has ended already, or a client without one, is no error."""
        await self._change(Request("POST", "/auth/logout"), 204)

    async def change_password(self, current: str, new: str) -> Account:
        """Set the password of one's own account; every other session of it ends."""
        body = {"password": new, "current_password": current}
        return self._read(Account, await self._change(Request("PATCH", "/auth/me", body=body), 200))

    async def sessions(self) -> list[OpenSession]:
        """One's own sessions, newest first."""
        return [session async for session in self._list(OpenSession, "/api/v1/sessions", {}, None)]

    async def revoke_session(self, session_id: str) -> None:
        """End one of one's own sessions."""
        await self._change(Request("DELETE", f"/api/v1/sessions/{part(session_id)}"), 204)

    async def health(self) -> Health:
        """How the server is; `down` is an answer too, and is not asked again."""
        reply = await self._wire.send(Request("GET", "/api/v1/health"), deadline=self._deadline())
        try:
            if reply.status in (200, 503):
                return Health.read(reply.json)
        except (ValueError, ValidationError):
            if reply.status == 200:
                raise self._misfit("health") from None
        raise refusal(self.url, reply)

    # Bots

    async def create_bot(self, slug: str, members: Mapping[str, Any], *, template: str | None = None) -> Bot:
        """Mint a bot; `members` override what the template says."""
        body = {"slug": slug, **members}
        if template is not None:
            body["template"] = template
        return self._read(Bot, await self._change(Request("POST", "/api/v1/bots", body=body, headers=_once()), 201))

    def bots(
        self, *, status: str | None = None, tier: str | None = None, at_most: int | None = None
    ) -> AsyncIterator[Bot]:
        """The bots that this caller may see, by slug; archived ones only when asked for."""
        query = {name: value for name, value in (("status", status), ("tier", tier)) if value is not None}
        return self._list(Bot, "/api/v1/bots", query, at_most)

    async def bot(self, slug: str) -> Bot:
        """One bot."""
        return self._read(Bot, await self._get(_bot(slug)))

    async def tagged_bot(self, slug: str) -> tuple[Bot, str | None]:
        """One bot, and the tag of the state that it is in."""
        reply = await self._get(_bot(slug))
        return self._read(Bot, reply), reply.headers.get("ETag")

    async def edit_bot(self, slug: str, changes: Mapping[str, Any], *, tag: str | None = None) -> Bot:
        """Change these members, and None clears; only in the state that `tag` names, where one is given."""
        request = Request("PATCH", _bot(slug), body=changes, headers=_expecting(tag))
        return self._read(Bot, await self._change(request, 200))

    async def pause_bot(self, slug: str) -> Bot:
        """Let a bot answer nobody."""
        return await self._act(Bot, f"{_bot(slug)}/pause")

    async def resume_bot(self, slug: str) -> Bot:
        """Let a paused bot answer again."""
        return await self._act(Bot, f"{_bot(slug)}/resume")

    async def restore_bot(self, slug: str) -> Bot:
        """Bring an archived bot back whole."""
        return await self._act(Bot, f"{_bot(slug)}/restore")

    async def clone_bot(self, slug: str, to: str, *, name: str | None = None) -> Bot:
        """Make another bot with the same prompt, settings, snippets and golden questions."""
        body = {"slug": to} | ({} if name is None else {"name": name})
        return self._read(Bot, await self._change(Request("POST", f"{_bot(slug)}/clone", body, _once()), 201))

    async def delete_bot(self, slug: str, *, purge: bool = False, tag: str | None = None) -> None:
        """Archive a bot for 30 days, or end it for good with all that it knows and said."""
        query = {"purge": "true"} if purge else {}
        await self._change(Request("DELETE", _bot(slug), query=query, headers=_expecting(tag)), 204)

    async def templates(self) -> list[Template]:
        """The bots that are ready to be minted."""
        return [template async for template in self._list(Template, "/api/v1/templates", None, None)]

    async def export_bot(self, slug: str) -> str:
        """A bot as a YAML document, with its prompts, snippets and golden questions."""
        reply = await self._get(f"{_bot(slug)}/export")
        try:
            return reply.text
        except ValueError:
            raise self._misfit("document") from None

    async def apply(self, documents: str, *, dry_run: bool = False, prune: bool = False) -> Changes:
        """Make bots what YAML documents say, all or nothing; with `prune` those that they do not name are archived."""
        query = {name: "true" for name, is_set in (("dry_run", dry_run), ("prune", prune)) if is_set}
        request = Request("POST", "/api/v1/apply", documents, _once(), query)
        return self._read(Changes, await self._change(request, 200))

    # Prompts

    async def prompt(self, slug: str, version: int | None = None) -> Prompt:
        """The live prompt of a bot, or a version of it."""
        return (await self.tagged_prompt(slug, version))[0]

    async def tagged_prompt(self, slug: str, version: int | None = None) -> tuple[Prompt, str | None]:
        """The same, and the tag of the state that it is in."""
        reply = await self._get(f"{_bot(slug)}/prompt" + ("" if version is None else f"/versions/{version}"))
        return self._read(Prompt, reply), reply.headers.get("ETag")

    def prompts(self, slug: str, *, at_most: int | None = None) -> AsyncIterator[Prompt]:
        """The versions that the prompt of a bot has had, newest first."""
        return self._list(Prompt, f"{_bot(slug)}/prompt/versions", {}, at_most)

    async def save_prompt(self, slug: str, text: str, *, note: str = "", tag: str | None = None) -> Prompt:
        """Save a prompt: live at once, unless a version is pinned. The same text is no new version."""
        body = {"system_prompt": text, "note": note}
        request = Request("PUT", f"{_bot(slug)}/prompt", body, _expecting(tag))
        return self._read(Prompt, await self._change(request, 200))

    async def restore_prompt(self, slug: str, version: int) -> Prompt:
        """Save the text of an old version anew."""
        return await self._act(Prompt, f"{_bot(slug)}/prompt/versions/{version}/restore")

    async def pin_prompt(self, slug: str, version: int) -> Prompt:
        """Keep a version live, whatever is saved."""
        return await self._act(Prompt, f"{_bot(slug)}/prompt/versions/{version}/pin")

    async def unpin_prompt(self, slug: str) -> None:
        """Let the newest version go live again."""
        await self._change(Request("DELETE", f"{_bot(slug)}/prompt/pin"), 204)

    # Golden questions

    def golden_questions(self, slug: str, *, at_most: int | None = None) -> AsyncIterator[GoldenQuestion]:
        """The questions that a bot is measured by, newest first."""
        return self._list(GoldenQuestion, f"{_bot(slug)}/golden-questions", {}, at_most)

    async def golden_question(self, slug: str, question_id: str) -> tuple[GoldenQuestion, str | None]:
        """One of them, and the tag of the state that it is in."""
        reply = await self._get(f"{_bot(slug)}/golden-questions/{part(question_id)}")
        return self._read(GoldenQuestion, reply), reply.headers.get("ETag")

    async def add_golden_question(self, slug: str, question: str, expect: Mapping[str, Any]) -> GoldenQuestion:
        """Keep a question, and what its answer must be."""
        body = {"question": question, "expect": expect}
        request = Request("POST", f"{_bot(slug)}/golden-questions", body, _once())
        return self._read(GoldenQuestion, await self._change(request, 201))

    async def edit_golden_question(
        self, slug: str, question_id: str, changes: Mapping[str, Any], *, tag: str | None = None
    ) -> GoldenQuestion:
        """Change these members of a golden question, within `expect` too, and None expects nothing of the kind."""
        path = f"{_bot(slug)}/golden-questions/{part(question_id)}"
        return self._read(GoldenQuestion, await self._change(Request("PATCH", path, changes, _expecting(tag)), 200))

    async def delete_golden_question(self, slug: str, question_id: str) -> None:
        """Forget a golden question."""
        await self._change(Request("DELETE", f"{_bot(slug)}/golden-questions/{part(question_id)}"), 204)

    # Knowledge

    async def add_snippet(
        self,
        slug: str,
        title: str,
        body: str,
        *,
        tags: Iterable[str] = (),
        source: str | None = None,
        language: str | None = None,
        allow_secret: str | None = None,
        gap: str | None = None,
    ) -> Snippet:
        """Teach a bot one thing; the very next search finds it. With a `gap` it answers that question, which is gone."""
        given = {"tags": list(tags) or None, "source": source, "language": language, "allow_secret": allow_secret}
        members: dict[str, Any] = {"title": title, "body": body}
        members |= {name: value for name, value in given.items() if value is not None}
        at = f"{_bot(slug)}/knowledge"
        path = at if gap is None else f"{at}/gaps/{part(gap)}/snippet"
        return self._read(Snippet, await self._change(Request("POST", path, body=members, headers=_once()), 201))

    def snippets(self, slug: str, *, at_most: int | None = None) -> AsyncIterator[Snippet]:
        """What a bot knows, newest first."""
        return self._list(Snippet, f"{_bot(slug)}/knowledge", {}, at_most)

    async def snippet(self, slug: str, snippet_id: str) -> Snippet:
        """One snippet."""
        return self._read(Snippet, await self._get(f"{_bot(slug)}/knowledge/{part(snippet_id)}"))

    async def edit_snippet(self, slug: str, snippet_id: str, changes: Mapping[str, Any], *, tag: str | None) -> Snippet:
        """Change these members of a snippet, and None clears; only in the state that `tag` names, where one is given."""
        path = f"{_bot(slug)}/knowledge/{part(snippet_id)}"
        return self._read(Snippet, await self._change(Request("PATCH", path, changes, _expecting(tag)), 200))

    async def tagged_snippet(self, slug: str, snippet_id: str) -> tuple[Snippet, str | None]:
        """One snippet, and the tag of the state that it is in."""
        reply = await self._get(f"{_bot(slug)}/knowledge/{part(snippet_id)}")
        return self._read(Snippet, reply), reply.headers.get("ETag")

    async def delete_snippet(self, slug: str, snippet_id: str) -> None:
        """Make a bot forget one thing, for good."""
        await self._change(Request("DELETE", f"{_bot(slug)}/knowledge/{part(snippet_id)}"), 204)

    async def delete_tagged(self, slug: str, tag: str) -> int:
        """Make a bot forget all that has a tag, for good; how many that were."""
        request = Request("DELETE", f"{_bot(slug)}/knowledge", query={"tag": text(tag)})
        return self._read(Deleted, await self._change(request, 200)).deleted

    def gaps(self, slug: str, *, at_most: int | None = None) -> AsyncIterator[Gap]:
        """The questions that a bot had no answer to, newest first."""
        return self._list(Gap, f"{_bot(slug)}/knowledge/gaps", {}, at_most)

    async def dismiss_gap(self, slug: str, gap_id: str) -> None:
        """Forget a question that needs no answer."""
        await self._change(Request("DELETE", f"{_bot(slug)}/knowledge/gaps/{part(gap_id)}"), 204)

    async def search(self, slug: str, question: str, *, at_most: int | None = None) -> list[SearchHit]:
        """What a bot would find for a question, best first."""
        query = {"q": text(question)} | ({} if at_most is None else {"limit": str(at_most)})
        items, _ = self._page(SearchHit, await self._get(f"{_bot(slug)}/knowledge/search", query))
        return items

    # Talking

    async def ask(self, slug: str, message: str, *, conversation_id: str | None = None) -> Answer:
        """One question, one whole answer."""
        request = _chat(slug, message, conversation_id, _once())
        return self._read(Answer, await self._change(request, 200))

    async def ask_streaming(
        self, slug: str, message: str, *, conversation_id: str | None = None
    ) -> AsyncGenerator[ChatEvent, None]:
        """One question, the answer as it is made: Start, Deltas, Done. Closing it early tells the server to stop.

        A refusal is raised whenever it comes, before the first event or in the middle of the answer.
        """
        # No Idempotency-Key: with one the server would finish an answer that nobody reads any more.
        request = _chat(slug, message, conversation_id, {"Accept": "text/event-stream"})
        async with self._wire.stream(request, deadline=self._deadline()) as answer:
            if isinstance(answer, Reply):
                if answer.status != 200:
                    raise refusal(self.url, answer)
                yield Done(answer=self._read(Answer, answer))  # a server, or a proxy, that does not stream
                return
            reader = EventReader()
            async for chunk in answer:
                try:
                    events = reader.feed(chunk)
                except BrokenStreamError as error:
                    raise NotHivemindError(f"{self.url}: {error}") from error
                for event in events:
                    if (known := self._chat_event(event.name, event.data)) is not None:
                        yield known
                        if isinstance(known, Done):
                            return
        raise UnreachableError(f"the answer of {self.url} broke off before its end", hint="hm health says how it is")

    def _chat_event(self, name: str, data: str) -> ChatEvent | None:
        kinds: dict[str, type[Start | Delta | Done]] = {"start": Start, "delta": Delta, "done": Done}
        if name != "error" and name not in kinds:
            return None
        try:
            raw = json.loads(data)
            if name != "error":
                return kinds[name].read(raw)
            problem = Problem.read(raw)
        except (ValueError, RecursionError):
            raise self._misfit(f"event {name}") from None
        raise ApiError(problem.status or 500, problem.raw)

    # How it is done

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._timeout

    async def _act(self, kind: type[D], path: str) -> D:
        return self._read(kind, await self._change(Request("POST", path, headers=_once()), 200))

    async def _get(self, path: str, query: Mapping[str, str] | None = None) -> Reply:
        return await self._change(Request("GET", path, query=query or {}), 200)

    async def _change(self, request: Request, expected: int) -> Reply:
        deadline = self._deadline()
        for attempt in range(REPEATS + 1):
            reply = await self._wire.send(request, deadline=deadline)
            if reply.status == expected:
                return reply
            error = refusal(self.url, reply)
            again = AGAIN if request.method in ("GET", "PUT") else AGAIN_WHATEVER
            if not isinstance(error, ApiError) or error.status not in again or attempt == REPEATS:
                raise error
            wait = error.retry_after or attempt + 1
            if asyncio.get_running_loop().time() + wait >= deadline:
                raise error
            await self._pause(wait)
        raise AssertionError("the last attempt returns or raises")

    async def _list(
        self, kind: type[D], path: str, query: Mapping[str, str] | None, at_most: int | None
    ) -> AsyncIterator[D]:
        left = at_most
        asked = dict(query or {})
        seen: set[str] = set()
        while True:
            if query is not None:  # a list that always fits one page takes no limit
                asked["limit"] = str(PAGE if left is None else min(PAGE, left))
            items, cursor = self._page(kind, await self._get(path, asked))
            for item in items[:left]:
                yield item
            if left is not None:
                left -= len(items)
            if cursor is None or (left is not None and left <= 0):
                return
            if cursor in seen:
                raise NotHivemindError(f"{self.url} goes round in circles: a list named the same next page twice")
            seen.add(cursor)
            asked["cursor"] = cursor

    def _page(self, kind: type[D], reply: Reply) -> tuple[list[D], str | None]:
        try:
            raw = reply.json
            items, cursor = [kind.read(item) for item in raw["items"]], raw["next"]
        except (ValueError, KeyError, TypeError):
            raise self._misfit(f"list of {kind.__name__}s") from None
        if cursor is not None and not isinstance(cursor, str):
            raise self._misfit("cursor")
        return items, cursor

    def _read(self, kind: type[D], reply: Reply) -> D:
        try:
            return kind.read(reply.json)
        except ValueError:  # ValidationError is one
            raise self._misfit(kind.__name__) from None

    def _misfit(self, what: str) -> ClientError:
        return NotHivemindError(
            f"{self.url} answered, but not with the {what.lower()} that was asked for",
            hint="the URL is not that of a Hivemind server, a proxy answers for it, or hm is too old for it",
        )


def part(value: str) -> str:
    """A value as one part of a path; what would lead elsewhere is refused here, whatever a proxy makes of it."""
    if value in ("", ".", ".."):
        raise InvalidInputError(f"{value!r} is no slug and no id")
    return quote(text(value), safe="")


def text(value: str) -> str:
    """A value that can be written as UTF-8; arguments that are not come in as half characters."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidInputError(f"{value!r} is not UTF-8") from None
    return value


def header_safe(secret: str, what: str) -> str:
    """A secret that stays on its line of the request; the refusal never repeats it."""
    if not secret.isascii() or not secret.isprintable() or secret != secret.strip():
        raise InvalidInputError(f"{what} holds a line break, a blank at an end, or another character that no key has")
    return secret


def cookie_safe(token: str) -> str:
    """A session that stays the one cookie that it is."""
    if any(c in token for c in ' ;,"'):
        raise InvalidInputError(
            "the session holds a character that no session has", hint="sign in again: hm login --email"
        )
    return header_safe(token, "the session")


def _bot(slug: str) -> str:
    return f"/api/v1/bots/{part(slug)}"


def _expecting(tag: str | None) -> dict[str, str]:
    return {} if tag is None else {"If-Match": tag}


def _once() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4())}


def _chat(slug: str, message: str, conversation_id: str | None, headers: Mapping[str, str]) -> Request:
    body = {"message": message}
    if conversation_id is not None:
        body["conversation_id"] = conversation_id
    return Request("POST", f"{_bot(slug)}/chat", body=body, headers=headers)
