"""Talking to a bot: one JSON answer, or events as they come."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated, Final

import orjson
from aiohttp import web
from pydantic import StringConstraints

from hivemind_common.bus import Incoming
from hivemind_common.contracts.bots import (
    RESOLVE_BOT,
    TAKE_TURN,
    Answer,
    BotNamed,
    TakeTurn,
    TurnDelta,
    TurnEvent,
    TurnStarted,
    Utterance,
)
from hivemind_common.contracts.kinds import Message
from hivemind_common.errors import HivemindError
from hivemind_common.ids import ConversationId
from hivemind_common.secrets import digest
from hivemind_common.telemetry import get_logger
from hivemind_gateway.headers import add_headers
from hivemind_gateway.problems import NotAcceptableError, bug_document, document
from hivemind_gateway.routing import Access, Reply, Request, Routes

routes = Routes()

TURN_TIMEOUT: Final = timedelta(seconds=120)
HEARTBEAT_SECONDS: Final = 10
EVENTS: Final = "text/event-stream"

_WEIGHT: Final = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")

log = get_logger()


class ChatForm(Message):
    """What is said to a bot. `speaker` names who speaks when one key serves many people; it is kept hashed."""

    message: Utterance
    conversation_id: ConversationId | None = None
    speaker: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None


@routes.post(
    "/api/v1/bots/{slug}/chat",
    access=Access.CHAT,
    timeout=TURN_TIMEOUT,
    refuses=(*TAKE_TURN.errors, NotAcceptableError),
    is_versioned=True,
    example={"message": "How long do refunds take?"},
)
async def chat(request: Request, body: ChatForm) -> Reply[Answer] | web.StreamResponse:
    """Say something to a bot."""
    try:
        streams = wants_events(request.http.headers.getall("Accept", []))
    except NotAcceptableError:
        await request.call.ask(RESOLVE_BOT, BotNamed(slug=request.slug))  # a bot that is not there goes before
        raise
    turn = TakeTurn(
        slug=request.slug,
        version=request.version,
        message=body.message,
        conversation_id=body.conversation_id,
        speaker=digest(body.speaker).hex() if body.speaker is not None else None,
    )
    async with request.call.open(TAKE_TURN, turn) as incoming:
        if streams:
            return await _stream(request, incoming)
        async for _ in incoming:
            pass
        return Reply(incoming.answer)


def wants_events(accept: list[str]) -> bool:
    """Whether events are asked for rather than JSON; raises `NotAcceptableError` for neither.

    Of two types that are equally welcome the first one counts.
    """
    ranges = [_range(part) for value in accept for part in value.lower().split(",") if part.strip()]
    if not ranges:
        return False
    json, events = (_welcome(ranges, offer) for offer in ("application/json", EVENTS))
    if json[0] == events[0] == 0:
        raise NotAcceptableError
    return events > json


def _range(text: str) -> tuple[str, float]:
    name, *parameters = (piece.strip() for piece in text.split(";"))
    weights = [parameter[2:] for parameter in parameters if parameter.startswith("q=")]
    return name, float(weights[0]) if weights and _WEIGHT.fullmatch(weights[0]) else 0.0 if weights else 1.0


def _welcome(ranges: list[tuple[str, float]], offer: str) -> tuple[float, int]:
    """Return how welcome a type is, and how early: what is said of it counts most, then of its kind, then of all."""
    for name in (offer, f"{offer.partition('/')[0]}/*", "*/*"):
        for place, (said, weight) in enumerate(ranges):
            if said == name:
                return weight, -place
    return 0.0, 0


async def _stream(request: Request, incoming: Incoming[TurnEvent, Answer]) -> web.StreamResponse:
    events = aiter(incoming)
    # Whatever is refused before the first event is an ordinary problem answer.
    first = (await anext(events)).event
    if not isinstance(first, TurnStarted):
        raise TypeError("a turn begins with its start")
    response = web.StreamResponse(
        headers={"Content-Type": EVENTS, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )
    add_headers(request.http, response)
    await response.prepare(request.http)
    writer = EventWriter(response, str(first.message_id))
    async with writer.heartbeats():
        try:
            await writer.write("start", first.model_dump_json(exclude={"kind"}).encode())
            async for item in events:
                if isinstance(item.event, TurnDelta):
                    await writer.write("delta", orjson.dumps({"text": item.event.text}))
            await writer.write("done", incoming.answer.model_dump_json().encode())
        except ConnectionResetError:
            log.info("chat.left", bot=request.slug)
        except HivemindError as refusal:
            await writer.write("error", orjson.dumps(document(refusal, request.call.request_id), default=str))
        except Exception as fault:
            log.error("http.bug", exc_info=fault)
            await writer.write("error", orjson.dumps(bug_document(request.call.request_id)))
    return response


class EventWriter:
    """Writes server-sent events, numbered, with a comment now and then so that nobody takes silence for an end."""

    def __init__(self, response: web.StreamResponse, stream_id: str) -> None:
        self._response = response
        self._stream_id = stream_id
        self._count = 0
        self._lock = asyncio.Lock()

    async def write(self, event: str, data: bytes) -> None:
        """Write one event; `data` is JSON, so it holds no line break."""
        head = f"id: {self._stream_id}.{self._count}\nevent: {event}\ndata: ".encode()
        self._count += 1
        async with self._lock:
            await self._response.write(head + data + b"\n\n")

    @asynccontextmanager
    async def heartbeats(self) -> AsyncIterator[None]:
        """Beat while the block runs."""
        task = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            task.cancel()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            async with self._lock:
                await self._response.write(b": hb\n\n")
