"""Answering: a handler per contract, one task per question, drained before it is closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from nats.aio.msg import Msg
from pydantic import ValidationError

from hivemind_common import waiting_on
from hivemind_common.bus import refusals, streams
from hivemind_common.bus.discovery import Endpoint
from hivemind_common.bus.envelope import Envelope, MalformedMessageError, answer_frames, frame, unpack
from hivemind_common.bus.permissions import inbox_of
from hivemind_common.contracts.kinds import Event, Message, Rpc, Stream
from hivemind_common.errors import HivemindError, UnavailableError, ValidationFailedError
from hivemind_common.telemetry import REQUEST_ID, get_logger

if TYPE_CHECKING:
    from hivemind_common.bus.client import Bus, Call

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)
I = TypeVar("I", bound=Message)  # noqa: E741 - the item of a stream, beside Q and A
Q_contra = TypeVar("Q_contra", bound=Message, contravariant=True)
A_co = TypeVar("A_co", bound=Message, covariant=True)


class Handler(Protocol[Q_contra, A_co]):
    """Answers a question, or raises a refusal that its contract lists."""

    def __call__(self, call: Call, question: Q_contra, /) -> Awaitable[A_co]:
        """Answer."""
        ...


StreamHandler = Callable[["Call", Q, streams.Outgoing[I]], Awaitable[A]]
"""Answers a question with items on the way; cancelled when the asker leaves."""

Listener = Callable[[Q], Awaitable[None]]
"""Takes note of an event; quick, since the next one waits."""

MOST_UNHEARD: Final = 1_000
"""Events that wait for a listener; beyond it they are dropped, which a hint allows."""

MAX_RUNNING: Final = 1_000
"""Questions that one service works on at a time; the next one is refused at once instead of waiting unseen."""

DRAIN_SECONDS: Final = 15
"""What was accepted may take this long to finish when the service is told to stop."""

log = get_logger()


class Server:
    """The answering half of a connection."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._running: set[asyncio.Task[None]] = set()
        self._producers = streams.Producers(bus)
        self._endpoints: dict[str, Endpoint] = {}

    @property
    def running(self) -> int:
        """How many questions are worked on just now."""
        return len(self._running)

    def endpoints(self) -> list[Endpoint]:
        """Return what is answered here just now."""
        return list(self._endpoints.values())

    @asynccontextmanager
    async def serving(self, contract: Rpc[Q, A], handler: Handler[Q, A]) -> AsyncIterator[None]:
        """Answer a contract while the block is open; leaving it finishes what was taken."""

        async def answer(message: Msg, call: Call, body: bytes) -> None:
            reply = await handler(call, contract.request.model_validate_json(body))
            for piece in answer_frames(reply.model_dump_json().encode()):
                await self._bus.publish(message.reply, piece)

        async with self._subscribed(contract, answer):
            yield

    @asynccontextmanager
    async def streaming(self, contract: Stream[Q, I, A], handler: StreamHandler[Q, I, A]) -> AsyncIterator[None]:
        """Answer a streaming contract while the block is open."""

        async def answer(message: Msg, call: Call, body: bytes) -> None:
            question = contract.request.model_validate_json(body)
            async with self._producers.producing(message.reply, contract.item) as out:
                reply = await handler(call, question, out)
                await out.finish(reply.model_dump_json().encode())

        await self._producers.start()
        async with self._subscribed(contract, answer):
            yield

    @asynccontextmanager
    async def hearing(self, event: Event[Q], listener: Listener[Q]) -> AsyncIterator[None]:
        """Hear an event while the block is open; what the listener raises is logged, and the next one is heard."""

        async def hear(message: Msg) -> None:
            try:
                envelope, body = unpack(message.data)
                REQUEST_ID.set(envelope.request_id or None)
                await listener(event.message.model_validate_json(body))
            except (MalformedMessageError, ValidationError) as fault:
                log.error("bus.event_unreadable", contract=event.subject, fault=type(fault).__name__)
            except Exception as fault:
                log.error("bus.bug", contract=event.subject, exc_info=fault)

        subscription = await self._bus.connection.subscribe(
            f"hm.{event.owner}.{event.subject}", cb=hear, pending_msgs_limit=MOST_UNHEARD
        )
        await self._bus.barrier()
        try:
            yield
        finally:
            if self._bus.is_connected:
                await subscription.unsubscribe()

    @asynccontextmanager
    async def _subscribed(
        self,
        contract: Rpc[Any, Any] | Stream[Any, Any, Any],
        answer: Callable[[Msg, Call, bytes], Awaitable[None]],
    ) -> AsyncIterator[None]:
        mine: set[asyncio.Task[None]] = set()
        endpoint = Endpoint(contract, queue_group=self._bus.service)

        async def take(message: Msg) -> None:
            asker = message.subject.split(".")[1]
            if not message.reply.startswith(f"{inbox_of(asker)}."):
                # An answer goes to whoever asked, and to nobody whom the asker would rather have it.
                log.error("bus.foreign_reply", contract=contract.subject, asker=asker)
                return
            if len(self._running) >= MAX_RUNNING:
                await self._refuse(message, contract, UnavailableError.of(self._bus.service, detail="too many at once"))
                return
            task = asyncio.create_task(self._take(message, endpoint, answer), name=contract.subject)
            for tasks in (mine, self._running):
                tasks.add(task)
                task.add_done_callback(tasks.discard)

        subscription = await self._bus.connection.subscribe(
            f"hm.*.{contract.subject}", queue=self._bus.service, cb=take
        )
        await self._bus.barrier()
        self._endpoints[contract.subject] = endpoint
        try:
            yield
        finally:
            del self._endpoints[contract.subject]
            if self._bus.is_connected:
                await subscription.drain()  # type: ignore[no-untyped-call]  # nats-py forgot it here
            await _finish(mine)

    async def _take(
        self, message: Msg, endpoint: Endpoint, answer: Callable[[Msg, Call, bytes], Awaitable[None]]
    ) -> None:
        contract = endpoint.contract
        loop = asyncio.get_running_loop()
        started = loop.time()
        outcome = "internal"
        try:
            envelope, body = unpack(message.data)
            REQUEST_ID.set(envelope.request_id)
            outcome = await self._answer(message, contract, answer, envelope, body)
        except MalformedMessageError as fault:
            log.error("bus.malformed", contract=contract.subject, fault=str(fault))
            await self._tell_bug(message)
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            seconds = loop.time() - started
            endpoint.count(outcome, seconds)
            self._bus.count(contract.subject, outcome, seconds)

    async def _answer(
        self,
        message: Msg,
        contract: Rpc[Any, Any] | Stream[Any, Any, Any],
        answer: Callable[[Msg, Call, bytes], Awaitable[None]],
        envelope: Envelope,
        body: bytes,
    ) -> str:
        deadline: asyncio.Timeout | None = None
        wait = waiting_on.Wait()
        try:
            call = self._bus.received(envelope, message.reply.rpartition(".")[0])
            deadline = asyncio.timeout_at(call.deadline)
            with waiting_on.watched(wait):
                async with deadline:
                    await answer(message, call, body)
            return "ok"
        except HivemindError as refusal:
            await self._refuse(message, contract, refusal)
            return refusal.code
        except ValidationError as fault:
            # The asker's model and ours disagree; its values stay out of the log.
            log.error("bus.question_unreadable", contract=contract.subject, faults=fault.error_count())
            await self._refuse(message, contract, ValidationFailedError("the question cannot be read"))
            return "validation_failed"
        except Exception as fault:  # a bug of any kind is logged here, and told as "internal"
            if isinstance(fault, TimeoutError) and deadline is not None and deadline.expired():
                name = wait.on or self._bus.service
                log.warning("bus.late", contract=contract.subject, allowed_ms=envelope.left_ms, waited_for=name)
                await self._refuse(message, contract, UnavailableError.of(name, detail="too late"))
                return "timeout"
            log.error("bus.bug", contract=contract.subject, exc_info=fault)
            await self._tell_bug(message)
            return "internal"

    async def _refuse(
        self,
        message: Msg,
        contract: Rpc[Any, Any] | Stream[Any, Any, Any],
        refusal: HivemindError,
    ) -> None:
        if refusal.detail:
            log.warning("bus.refused", contract=contract.subject, code=refusal.code, detail=refusal.detail)
        if not isinstance(refusal, (*refusals.EVERYWHERE, *contract.errors)):
            log.error("bus.refusal_not_listed", contract=contract.subject, code=refusal.code)
            await self._tell_bug(message)
            return
        headers, body = refusals.to_wire(refusal)
        await self._tell(message, frame("end", 0, body), headers)

    async def _tell_bug(self, message: Msg) -> None:
        await self._tell(message, frame("end", 0, refusals.BUG_BODY), dict(refusals.BUG_HEADERS))

    async def _tell(self, message: Msg, data: bytes, headers: dict[str, str]) -> None:
        try:
            await self._bus.publish(message.reply, data, headers=headers)
        except UnavailableError:
            # Without a bus nobody can be told; the asker has learnt of the loss from its own connection.
            log.warning("bus.answer_lost")


async def _finish(tasks: set[asyncio.Task[None]]) -> None:
    if tasks:
        _, late = await asyncio.wait(set(tasks), timeout=DRAIN_SECONDS)
        for task in late:
            log.warning("bus.drain_cut_off", contract=task.get_name())
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
