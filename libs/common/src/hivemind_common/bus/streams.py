"""Streams: numbered items, a heartbeat each second from both ends, at most a window of items unacknowledged.

The asker listens on its inbox. The first message it gets, `open`, names the subject on which the answering side hears
acknowledgements: `{"a": n}` says that n items were taken out, `{"x": 1}` that the asker left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import orjson
from nats.aio.msg import Msg
from pydantic import ValidationError

from hivemind_common.bus import refusals
from hivemind_common.bus.envelope import ERROR_HEADER, MalformedMessageError, answer_frames, frame, split
from hivemind_common.bus.permissions import inbox_of
from hivemind_common.contracts.kinds import Message, Stream
from hivemind_common.errors import RemoteBugError, UnavailableError
from hivemind_common.secrets import new_token
from hivemind_common.telemetry import get_logger

if TYPE_CHECKING:
    from hivemind_common.bus.client import Bus

A = TypeVar("A", bound=Message)
I = TypeVar("I", bound=Message)  # noqa: E741 - the item of a stream

WINDOW: Final = 64
"""Items that may be under way; then the producer waits."""

ACK_EVERY: Final = 16
BEAT_SECONDS: Final = 1.0
SILENCE_SECONDS: Final = 3.0
"""Three missed heartbeats: the other end is gone."""

GRACE_SECONDS: Final = 0.1
LATE_SECONDS: Final = 0.05
"""A timer that fires so much too late shows that this process stood still."""

log = get_logger()


class Incoming(Generic[I, A]):
    """A stream as the asker sees it: iterate for the items; afterwards `answer` is there."""

    def __init__(
        self, bus: Bus, contract: Stream[Any, I, A], arrivals: asyncio.Queue[Msg | None], limit: float
    ) -> None:
        self._bus = bus
        self._contract = contract
        self._arrivals = arrivals
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._deadline = self._started + limit
        self._losses = bus.losses
        self._acks: str | None = None
        self._taken = 0
        self._acked = 0
        self._number = 0
        self._parts: list[bytes] = []
        self._answer: A | None = None
        self.outcome = "cancelled"

    @property
    def elapsed(self) -> float:
        """Seconds since the question was sent."""
        return self._loop.time() - self._started

    @property
    def answer(self) -> A:
        """The final answer; only once the items are at their end."""
        if self._answer is None:
            raise RuntimeError("the stream has not ended")
        return self._answer

    def __aiter__(self) -> AsyncIterator[I]:
        return self._items()

    async def _items(self) -> AsyncIterator[I]:
        while self._answer is None:
            kind, body = await self._next()
            if kind == "item":
                item = self._read_item(body)
                yield item
                self._taken += 1
                if self._taken - self._acked >= ACK_EVERY:
                    await self._acknowledge()
            elif kind == "part":
                self._parts.append(body)
            elif kind == "end":
                self._answer = self._read_answer(b"".join([*self._parts, body]))
                self.outcome = "ok"

    async def _next(self) -> tuple[str, bytes]:
        due = min(self._loop.time() + SILENCE_SECONDS, self._deadline)
        try:
            message = await self._arrival(due)
        except TimeoutError:
            self.outcome = "timeout"
            name = self._bus.to_blame(self._contract.owner, self._losses)
            raise UnavailableError.of(name, detail="the stream fell silent") from None
        if message is None:
            self.outcome = "unavailable"
            raise UnavailableError.of("nats")
        return self._judge(message)

    async def _arrival(self, due: float) -> Msg | None:
        try:
            async with asyncio.timeout_at(due):
                return await self._arrivals.get()
        except TimeoutError:
            if self._loop.time() - due <= LATE_SECONDS:
                raise
        # This process itself stood still: what came meanwhile lies in its socket, and is read now.
        async with asyncio.timeout(GRACE_SECONDS):
            return await self._arrivals.get()

    def _judge(self, message: Msg) -> tuple[str, bytes]:
        headers = message.headers
        if headers is not None and headers.get("Status") == "503":
            self.outcome = "unavailable"
            raise UnavailableError.of(self._contract.owner, detail="nobody serves it")
        try:
            line, body = split(message.data)
        except MalformedMessageError as fault:
            raise RemoteBugError(str(fault)) from fault
        if headers is not None and ERROR_HEADER in headers:
            self.outcome = headers[ERROR_HEADER]
            raise refusals.from_wire(body, self._contract.errors)
        kind = str(line.get("k"))
        if kind == "open":
            self._acks = f"hm.{self._bus.service}.{line['c']}"
        if kind in {"item", "part", "end"}:
            if line.get("n") != self._number:
                self.outcome = "gap"
                raise UnavailableError.of(self._contract.owner, detail="a piece of the stream got lost")
            self._number += 1
        return kind, body

    def _read_item(self, body: bytes) -> I:
        try:
            return self._contract.item.model_validate_json(body)
        except ValidationError as fault:
            raise RemoteBugError(f"an item is no {self._contract.item.__name__}") from fault

    def _read_answer(self, body: bytes) -> A:
        try:
            return self._contract.reply.model_validate_json(body)
        except ValidationError as fault:
            raise RemoteBugError(f"an answer is no {self._contract.reply.__name__}") from fault

    async def _acknowledge(self) -> None:
        if self._acks is not None:
            self._acked = self._taken
            await self._bus.publish(self._acks, orjson.dumps({"a": self._taken}))

    @asynccontextmanager
    async def kept_alive(self) -> AsyncIterator[None]:
        """Tell the producer each second that somebody listens, and at the end, when it is early, that nobody does."""
        beats = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            beats.cancel()
            with suppress(asyncio.CancelledError):
                await beats
            if self._answer is None and self._acks is not None:
                with suppress(UnavailableError):
                    await self._bus.publish(self._acks, b'{"x":1}')

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            with suppress(UnavailableError):
                await self._acknowledge()


class Outgoing(Generic[I]):
    """A stream as the answering side sees it: `send` waits while the asker is behind."""

    def __init__(self, bus: Bus, reply: str, worker: asyncio.Task[Any]) -> None:
        self._bus = bus
        self._reply = reply
        self.asker = reply.partition(".")[0].removeprefix(inbox_of(""))
        """Whose stream it is; nobody else's acknowledgements count."""
        self._worker = worker
        self._room = asyncio.Event()
        self._room.set()
        self._items = 0
        self._acked = 0
        self.sent = 0
        self.heard = asyncio.get_running_loop().time()

    async def send(self, item: I) -> None:
        """Hand on one item."""
        await self._room.wait()
        await self._bus.publish(self._reply, frame("item", self.sent, item.model_dump_json().encode()))
        self.sent += 1
        self._items += 1
        if self._items - self._acked >= WINDOW:
            self._room.clear()

    async def finish(self, body: bytes) -> None:
        """Hand on the final answer."""
        for piece in answer_frames(body, self.sent):
            await self._bus.publish(self._reply, piece)

    def hear(self, data: bytes) -> None:
        """Take note of what the asker says."""
        try:
            told = orjson.loads(data)
            self.heard = asyncio.get_running_loop().time()
            if told.get("x"):
                self._worker.cancel()
                return
            self._acked = max(self._acked, int(told["a"]))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
            log.warning("bus.acknowledgement_unreadable")
            return
        if self._items - self._acked < WINDOW:
            self._room.set()

    async def watch(self) -> None:
        """Beat each second; cancel the work when the asker has fallen silent."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            if loop.time() - self.heard > SILENCE_SECONDS:
                self._worker.cancel()
                return
            with suppress(UnavailableError):
                await self._bus.publish(self._reply, frame("beat", 0))


class Producers:
    """The streams that this process is answering."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._instance = new_token(16)
        self._by_token: dict[str, Outgoing[Any]] = {}
        self._count = 0
        self._started = False

    async def start(self) -> None:
        """Hear acknowledgements; this instance's alone, by a subject of its own."""
        if not self._started:
            self._started = True
            subject = f"hm.*.{self._bus.service}.v1.stream.{self._instance}.*"
            await self._bus.connection.subscribe(subject, queue=self._bus.service, cb=self._hear)

    async def _hear(self, message: Msg) -> None:
        out = self._by_token.get(message.subject.rpartition(".")[2])
        if out is not None and out.asker == message.subject.split(".")[1]:
            out.hear(message.data)

    @asynccontextmanager
    async def producing(self, reply: str, item: type[I]) -> AsyncIterator[Outgoing[I]]:  # noqa: ARG002 - binds I
        """Open a stream of `item` to an inbox."""
        worker = asyncio.current_task()
        if worker is None:
            raise RuntimeError("a stream is produced by a task")
        self._count += 1
        token = str(self._count)
        out: Outgoing[I] = Outgoing(self._bus, reply, worker)
        self._by_token[token] = out
        where = f"{self._bus.service}.v1.stream.{self._instance}.{token}"
        watch = None
        try:
            await self._bus.publish(reply, frame("open", 0, c=where))
            watch = asyncio.create_task(out.watch())
            yield out
        finally:
            del self._by_token[token]
            if watch is not None:
                watch.cancel()
