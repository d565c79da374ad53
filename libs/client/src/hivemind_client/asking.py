"""One server and one caller: what is asked is answered, refused, or asked again where that is safe."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote

import hivemind_client
from hivemind_client.errors import ApiError, ClientError, InvalidInputError, NotHivemindError
from hivemind_client.models import Document
from hivemind_client.wire import Reply, Request, Wire, refusal

DEFAULT_TIMEOUT = timedelta(seconds=30)
REPEATS = 2
AGAIN = (429, 503)
"""After these what changes nothing, or changes the same again, is asked again, at most twice and within its time."""

AGAIN_WHATEVER = (429,)
"""After this nothing has happened. After 503 something may have: its answer was lost, and nobody knows."""

PAGE = 50

D = TypeVar("D", bound=Document)


class Asking:
    """What all methods stand on."""

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

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._timeout

    async def _act(self, kind: type[D], path: str) -> D:
        return self._read(kind, await self._change(Request("POST", path, headers=once()), 200))

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


def bot_path(slug: str) -> str:
    """Where a bot is."""
    return f"/api/v1/bots/{part(slug)}"


def expecting(tag: str | None) -> dict[str, str]:
    """The header that asks for a state; None asks for none."""
    return {} if tag is None else {"If-Match": tag}


def once() -> dict[str, str]:
    """The header by which a server knows a repeated request."""
    return {"Idempotency-Key": str(uuid.uuid4())}
