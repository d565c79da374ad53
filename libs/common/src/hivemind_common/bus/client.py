"""The bus as a service holds it: one connection, questions out, answers in."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, TypeVar

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import SecretStr, ValidationError

from hivemind_common import waiting_on
from hivemind_common.bus import refusals, streams
from hivemind_common.bus.discovery import Discovery
from hivemind_common.bus.envelope import (
    ERROR_HEADER,
    LEAST_LEFT_MS,
    LONGEST_HINT_MS,
    MAX_BODY,
    RETURN_MS,
    RETURN_SHARE,
    Envelope,
    MalformedMessageError,
    pack,
    split,
)
from hivemind_common.bus.permissions import inbox_of
from hivemind_common.bus.serving import Handler, Listener, Server, StreamHandler
from hivemind_common.bus.transit import Transit
from hivemind_common.contracts.kinds import Event, Message, Rpc, Stream
from hivemind_common.errors import HivemindError, RemoteBugError, UnavailableError
from hivemind_common.ids import new_id
from hivemind_common.principal import Principal, service_principal
from hivemind_common.secrets import new_token
from hivemind_common.telemetry import REQUEST_ID, Metrics, get_logger

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)
I = TypeVar("I", bound=Message)  # noqa: E741 - the item of a stream, beside Q and A

PINGS_UNANSWERED: Final = 6
"""One goes out each second. A server that leaves so many unanswered is given up: later than a question's deadline, since
one that wakes before delivers what it has, and answers still find their way."""

PINGS_DOUBTED: Final = 2
"""With so many unanswered it is named as what does not answer."""

LOGGED_EVERY_SECONDS: Final = 1.0
"""A flood of faults of the connection is logged as one line each second."""

log = get_logger()


@dataclass(frozen=True, slots=True)
class Call:
    """A call under way: who asks, under which request id, and until when. Questions asked on it inherit all of it."""

    bus: Bus
    principal: Principal
    request_id: str
    deadline: float
    """By the loop's clock, in seconds."""
    idempotency_key: str | None = None
    address: str | None = None
    """Of the client on whose behalf it is asked, for the audit."""

    @property
    def left(self) -> float:
        """Seconds until the caller stops waiting."""
        return self.deadline - asyncio.get_running_loop().time()

    def under(self, principal: Principal) -> Call:
        """Return the same call, asked by another: by whoever it turned out to be."""
        return replace(self, principal=principal)

    def as_service(self) -> Call:
        """Return the same call, asked by the service itself instead of by the person."""
        return self.under(service_principal(self.bus.service))

    async def ask(self, contract: Rpc[Q, A], question: Q) -> A:
        """Ask and wait for the answer; raises what the contract allows, and `UnavailableError`."""
        return _read(contract.reply, await self.ask_raw(contract, question))

    async def ask_raw(self, contract: Rpc[Q, A], question: Q) -> bytes:
        """Ask and return the answer's JSON as it came, for passing through."""
        return await self.bus.ask_raw(self, contract, question)

    def open(self, contract: Stream[Q, I, A], question: Q) -> AbstractAsyncContextManager[streams.Incoming[I, A]]:
        """Ask for a stream; leaving the block before its end cancels the work on the far side."""
        return self.bus.open_stream(self, contract, question)


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _read(model: type[A], body: bytes) -> A:
    try:
        return model.model_validate_json(body)
    except ValidationError as fault:
        raise RemoteBugError(f"an answer is no {model.__name__}") from fault


class _Pending:
    """An answer that is awaited: its pieces so far, and until when."""

    __slots__ = ("_deadline", "_loop", "_timer", "contract", "future", "parts")

    def __init__(self, loop: asyncio.AbstractEventLoop, contract: Rpc[Any, Any], limit: float) -> None:
        self.contract = contract
        self.future: asyncio.Future[bytes] = loop.create_future()
        self.parts: list[bytes] = []
        self._loop = loop
        self._deadline = loop.time() + limit
        self._timer = loop.call_at(self._deadline, self._expire)

    def _expire(self) -> None:
        if self._loop.time() - self._deadline > streams.LATE_SECONDS:
            # This process itself stood still. What came meanwhile lies in its socket, and is read first.
            self._timer = self._loop.call_later(streams.GRACE_SECONDS, self._give_up)
        else:
            self._give_up()

    def _give_up(self) -> None:
        if not self.future.done():
            self.future.set_exception(TimeoutError())

    def close(self) -> None:
        """Wait no longer."""
        self._timer.cancel()


class Bus:
    """A connection under a service's own name; the server lets it speak under no other."""

    def __init__(self, connection: Client, service: str, metrics: Metrics) -> None:
        self.service = service
        self.metrics = metrics
        self.connection = connection
        self.fault: str | None = None
        self.is_closing = False
        self.losses = 0
        """How often the connection was lost."""
        self._instance = new_token(16)
        self._inbox = f"{inbox_of(service)}.{self._instance}"
        self._numbers = itertools.count(1)
        self._pending: dict[str, _Pending] = {}
        self._streams: dict[str, asyncio.Queue[Msg | None]] = {}
        self._transit = Transit()
        self.server = Server(self)
        self._discovery = Discovery(self, self._instance, self.server.endpoints)
        self._timed: dict[tuple[str, str], Any] = {}

    async def start(self) -> None:
        """Listen for answers, and for those who ask who is there."""
        await self.connection.subscribe(f"{self._inbox}.*", cb=self._hear)
        await self._discovery.start()
        await self.barrier()

    async def barrier(self) -> None:
        """Return when the server has seen every subscription made so far.

        One flush is none: nats-py's PING overtakes the SUB that it still buffers.
        """
        await self.connection.flush(timeout=5)
        await self.connection.flush(timeout=5)

    @property
    def is_connected(self) -> bool:
        """Whether the bus can be spoken to right now."""
        return bool(self.connection.is_connected)

    @property
    def is_responding(self) -> bool:
        """Whether the server has answered the last pings; one that hangs is connected all the same."""
        return self.is_connected and self.connection._pings_outstanding < PINGS_DOUBTED  # noqa: SLF001 - see `on_loss`

    def to_blame(self, owner: str, losses: int) -> str:
        """Return who is named where no answer came from `owner`: the bus, when it went away since `losses` or hangs."""
        return owner if self.is_responding and losses == self.losses else "nats"

    def call(
        self,
        principal: Principal,
        *,
        timeout: timedelta,
        request_id: str = "",
        idempotency_key: str | None = None,
        address: str | None = None,
    ) -> Call:
        """Begin a call of one's own accord: at the edge, or in a loop of a service."""
        deadline = asyncio.get_running_loop().time() + timeout.total_seconds()
        return Call(self, principal, request_id or str(new_id()), deadline, idempotency_key, address)

    def serving(self, contract: Rpc[Q, A], handler: Handler[Q, A]) -> AbstractAsyncContextManager[None]:
        """Answer a contract for as long as the block is open; leaving it finishes what was taken."""
        return self.server.serving(contract, handler)

    def streaming(
        self, contract: Stream[Q, I, A], handler: StreamHandler[Q, I, A]
    ) -> AbstractAsyncContextManager[None]:
        """Answer a streaming contract for as long as the block is open."""
        return self.server.streaming(contract, handler)

    async def tell(self, event: Event[Q], message: Q) -> None:
        """Tell whoever listens. A hint: when the bus is away it is dropped, since losing it loses nothing."""
        envelope = Envelope(LONGEST_HINT_MS, REQUEST_ID.get() or "", service_principal(self.service))
        try:
            await self.publish(f"hm.{self.service}.{event.subject}", pack(envelope, message.model_dump_json().encode()))
        except UnavailableError:
            log.info("bus.hint_dropped", contract=event.subject)

    def hearing(self, event: Event[Q], handler: Listener[Q]) -> AbstractAsyncContextManager[None]:
        """Hear an event for as long as the block is open, as every other instance does."""
        return self.server.hearing(event, handler)

    async def ask_raw(self, call: Call, contract: Rpc[Q, A], question: Q) -> bytes:
        """Send one question and wait for its whole answer."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        limit = min(call.left, contract.timeout.total_seconds())
        outcome = "internal"
        pending = _Pending(loop, contract, limit)
        losses = self.losses
        inbox, token = self._next_inbox()
        self._pending[token] = pending
        try:
            await self._send(call, contract, question, limit, inbox)
            answer = await pending.future
            outcome = "ok"
            return answer
        except TimeoutError:
            outcome = "timeout"
            name = self.to_blame(contract.owner, losses)
            raise UnavailableError.of(name, detail=f"no answer to {contract.subject} in {limit:.2f} s") from None
        except HivemindError as refusal:
            outcome = refusal.code
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            waiting_on.interrupted(contract.owner)
            raise
        finally:
            pending.close()
            del self._pending[token]
            self.count(contract.subject, outcome, loop.time() - started)

    @asynccontextmanager
    async def open_stream(
        self, call: Call, contract: Stream[Q, I, A], question: Q
    ) -> AsyncIterator[streams.Incoming[I, A]]:
        """Send one question and hand out its stream."""
        limit = min(call.left, contract.timeout.total_seconds())
        inbox, token = self._next_inbox()
        arrivals: asyncio.Queue[Msg | None] = asyncio.Queue()  # bounded by the window that the producer keeps to
        self._streams[token] = arrivals
        incoming = streams.Incoming(self, contract, arrivals, limit)
        try:
            await self._send(call, contract, question, limit, inbox)
            async with incoming.kept_alive():
                yield incoming
        finally:
            del self._streams[token]
            self.count(contract.subject, incoming.outcome, incoming.elapsed)

    def count(self, subject: str, outcome: str, seconds: float) -> None:
        """Record a call that was asked from here."""
        children = self._timed.get((subject, outcome))
        if children is None:
            children = (
                self.metrics.bus_calls.labels(self.service, subject, outcome),
                self.metrics.bus_seconds.labels(self.service, subject),
            )
            self._timed[subject, outcome] = children
        children[0].inc()
        children[1].observe(seconds)

    async def publish(
        self, subject: str, data: bytes, *, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Send one message, or refuse: nothing waits in a buffer for a server that is away."""
        if not self.connection.is_connected:
            raise UnavailableError.of("nats")
        try:
            await self.connection.publish(subject, data, reply=reply, headers=headers)
        except nats.errors.Error as fault:
            raise UnavailableError.of("nats", detail=type(fault).__name__) from fault

    def _next_inbox(self) -> tuple[str, str]:
        token = str(next(self._numbers))
        return f"{self._inbox}.{token}", token

    async def _send(
        self, call: Call, contract: Rpc[Q, Any] | Stream[Q, Any, Any], question: Q, limit: float, inbox: str
    ) -> None:
        left_ms = int(limit * 1000)
        if left_ms < LEAST_LEFT_MS:
            raise UnavailableError.of(contract.owner, detail="no time was left to ask")
        # What was not set is filled in by the other side with the same defaults, and can be told from what was.
        body = question.model_dump_json(exclude_unset=True).encode()
        if len(body) > MAX_BODY:
            raise RemoteBugError(f"a question of {len(body)} bytes is too large for the bus")
        envelope = Envelope(
            left_ms, call.request_id, call.principal, call.idempotency_key, address=call.address, sent_ms=_now_ms()
        )
        await self.publish(f"hm.{self.service}.{contract.subject}", pack(envelope, body), reply=inbox)

    async def _hear(self, message: Msg) -> None:
        token = message.subject.rpartition(".")[2]
        stream = self._streams.get(token)
        if stream is not None:
            stream.put_nowait(message)
            return
        pending = self._pending.get(token)
        if pending is None or pending.future.done():
            return
        try:
            self._settle(pending, message)
        except MalformedMessageError as fault:
            pending.future.set_exception(RemoteBugError(str(fault)))

    def _settle(self, pending: _Pending, message: Msg) -> None:
        headers = message.headers
        if headers is not None and headers.get("Status") == "503":
            fault = UnavailableError.of(pending.contract.owner, detail="nobody serves it")
            pending.future.set_exception(fault)
            return
        line, body = split(message.data)
        if headers is not None and ERROR_HEADER in headers:
            pending.future.set_exception(refusals.from_wire(body, pending.contract.errors))
            return
        if line.get("n") != len(pending.parts):
            pending.future.set_exception(RemoteBugError("a piece of an answer got lost"))
            return
        pending.parts.append(body)
        if line.get("k") == "end":
            pending.future.set_result(b"".join(pending.parts))

    def received(self, envelope: Envelope, sender: str) -> Call:
        """Go on with a call that came in from the inbox `sender`.

        Whatever is asked on it has only what is left of its time, less what the answer needs to travel back: a hop that
        gives up can still say why. Raises `UnavailableError` where too little is left to begin.
        """
        left_ms = float(envelope.left_ms)
        if envelope.sent_ms is not None:
            left_ms -= self._transit.delay_ms(sender, envelope.sent_ms, time.monotonic() * 1000)
        if left_ms < LEAST_LEFT_MS:
            raise UnavailableError.of(self.service, detail="the question came too late")
        left_ms -= min(left_ms * RETURN_SHARE, RETURN_MS)
        deadline = asyncio.get_running_loop().time() + left_ms / 1000
        return Call(self, envelope.principal, envelope.request_id, deadline, envelope.idempotency_key, envelope.address)

    def lose(self) -> None:
        """Fail what is awaited: the connection is gone, and with it every answer."""
        for pending in self._pending.values():
            if not pending.future.done():
                pending.future.set_exception(UnavailableError.of("nats"))
        for stream in self._streams.values():
            stream.put_nowait(None)


@asynccontextmanager
async def open_bus(nats_url: SecretStr, service: str, metrics: Metrics) -> AsyncIterator[Bus]:
    """Connect as a service, waiting for the server when it is not there yet, and for ever again when it goes away."""
    bus: Bus | None = None

    logged_at = float("-inf")

    async def on_error(fault: Exception) -> None:
        nonlocal logged_at
        text = str(fault).lower()
        # A violation is always a bug of ours, and the health check shows it. But an answer to a question from before a
        # reconnect, or to one that was asked long ago, is refused by right: nobody waits for it any more.
        if bus is not None and "permissions violation" in text and 'to "_inbox_' not in text:
            bus.fault = "permission violation"
        now = asyncio.get_running_loop().time()
        if now - logged_at >= LOGGED_EVERY_SECONDS:
            logged_at = now
            log.warning("bus.error", fault=type(fault).__name__, text=str(fault)[:200])

    async def on_loss() -> None:
        if bus is None or bus.is_closing:
            return
        bus.losses += 1
        log.warning("bus.lost")
        # A server that hangs may wake and deliver what it has: who asked is told when that can be no more.
        if connection._pings_outstanding <= PINGS_UNANSWERED:  # noqa: SLF001 - nats-py tells the reason nowhere else
            bus.lose()

    async def on_return() -> None:
        log.info("bus.back")

    connection = await nats.connect(
        nats_url.get_secret_value(),
        name=service,
        inbox_prefix=inbox_of(service).encode(),
        error_cb=on_error,
        disconnected_cb=on_loss,
        reconnected_cb=on_return,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.25,
        connect_timeout=2,
        # A server that hangs is noticed before the questions that wait for it run out of time.
        ping_interval=1,
        max_outstanding_pings=PINGS_UNANSWERED,
    )
    try:
        bus = Bus(connection, service, metrics)
        await bus.start()
        yield bus
    finally:
        if bus is not None:
            bus.is_closing = True
        await connection.close()
