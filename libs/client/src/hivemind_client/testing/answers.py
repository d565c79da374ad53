"""What the double answers with: refusals, bytes and streams, its own and those that a test puts before them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from hivemind_client.errors import phrase_of

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


REQUEST_ID = "0192-double"
ALWAYS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Request-Id": REQUEST_ID}
"""The headers of every answer."""


class Refusal(web.HTTPException):
    """A problem document, raised from anywhere."""

    def __init__(
        self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        self.status_code = status
        document = {
            "type": f"/docs/errors#{code}",
            "title": "Unprocessable Content" if status == 422 else phrase_of(status),
            "status": status,
            "code": code,
            "detail": detail,
            "error": detail,
            "request_id": REQUEST_ID,
            **members,
        }
        told = {**ALWAYS, **(headers or {})}
        if status == 401:
            told["WWW-Authenticate"] = 'Bearer realm="hivemind"'
        super().__init__(text=json.dumps(document), content_type="application/problem+json", headers=told)


def refused(status: int, code: str, detail: str = "refused", **more: Any) -> Answering:
    """An answer for `script`: this refusal."""

    async def answer(_: web.Request) -> web.StreamResponse:
        raise Refusal(status, code, detail, **more)

    return answer


def answered(status: int, body: str | bytes, content_type: str = "application/json", **headers: str) -> Answering:
    """An answer for `script`: these bytes; names of headers with `_` for `-`."""
    raw = body.encode() if isinstance(body, str) else body

    async def answer(_: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=raw, headers={"Content-Type": content_type, **named})

    return answer


def streamed(*chunks: bytes) -> Answering:
    """An answer for `script`: an event stream of these pieces, which then ends."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={**ALWAYS, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        return response

    return answer


def events_of(answer: Mapping[str, Any]) -> list[bytes]:
    """An answer as the events of a stream, with a heartbeat in it."""
    start = {name: answer[name] for name in ("conversation_id", "message_id", "provider", "model")}
    words = str(answer["reply"]).split(" ")
    deltas = [{"text": word if n == 0 else f" {word}"} for n, word in enumerate(words)]
    told = [("start", start), *(("delta", delta) for delta in deltas), ("done", dict(answer))]
    events = [
        f"id: {answer['message_id']}.{n}\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode()
        for n, (name, data) in enumerate(told)
    ]
    return [events[0], b": hb\n\n", *events[1:]]
