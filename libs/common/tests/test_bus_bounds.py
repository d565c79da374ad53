"""The bus has bounds, and a piece that is missing is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from nats.aio.msg import Msg

from hivemind_common.bus import Bus, Call, refusals, serving
from hivemind_common.bus.envelope import MAX_BODY, answer_frames, frame
from hivemind_common.contracts.kinds import Rpc, Stream
from hivemind_common.errors import RemoteBugError, UnavailableError
from hivemind_common.testing.waiting import until
from hivemind_common.testing.words import ECHO, SPELL, OutOfWordsError, Word, ask, echo


async def hang(_call: Call, word: Word) -> Word:
    await asyncio.Event().wait()
    return word


async def test_beyond_its_bound_a_service_refuses_at_once(
    bus: Bus, server: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "MAX_RUNNING", 2)

    async def is_full() -> bool:
        return server.server.running == 2

    async with server.serving(ECHO, hang):
        waiting = [asyncio.create_task(ask(bus, 3).ask(ECHO, Word(text="x"))) for _ in range(2)]
        await until(is_full, limit=5, what="two questions are worked on")
        started = asyncio.get_running_loop().time()
        with pytest.raises(UnavailableError) as refusal:
            await ask(bus, 30).ask(ECHO, Word(text="one too many"))
        assert refusal.value.facts == {"service": "bots"}
        assert asyncio.get_running_loop().time() - started < 2
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_question_that_is_too_large_is_not_sent(bus: Bus, server: Bus) -> None:
    async with server.serving(ECHO, echo):
        with pytest.raises(RemoteBugError, match="too large"):
            await ask(bus).ask(ECHO, Word(text="x" * MAX_BODY))


async def test_what_does_not_end_by_itself_is_cut_off_when_a_service_is_told_to_stop(
    bus: Bus, server: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "DRAIN_SECONDS", 0.1)
    was_cancelled = asyncio.Event()
    began = asyncio.Event()

    async def go_on(_call: Call, word: Word) -> Word:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            was_cancelled.set()
            raise
        return word

    async with server.serving(ECHO, go_on):
        asking = asyncio.create_task(ask(bus, 3).ask(ECHO, Word(text="x")))
        await began.wait()
    assert was_cancelled.is_set()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


@asynccontextmanager
async def answering(
    server: Bus, contract: Rpc[Word, Word] | Stream[Word, Word, Word], pieces: list[bytes]
) -> AsyncIterator[None]:
    """Answer each question with these messages, whatever they are."""

    async def answer(message: Msg) -> None:
        for piece in pieces:
            await server.publish(message.reply, piece)

    subscription = await server.connection.subscribe(f"hm.*.{contract.subject}", cb=answer)
    await server.barrier()
    yield
    await subscription.unsubscribe()


WHOLE = answer_frames(Word(text="x" * 500_000).model_dump_json().encode())


async def test_an_answer_with_a_piece_missing_is_none(bus: Bus, server: Bus) -> None:
    assert len(WHOLE) == 3
    async with answering(server, ECHO, WHOLE):
        assert len((await ask(bus).ask(ECHO, Word(text="x"))).text) == 500_000
    for place in range(2):
        async with answering(server, ECHO, WHOLE[:place] + WHOLE[place + 1 :]):
            with pytest.raises(RemoteBugError):
                await ask(bus, 2).ask(ECHO, Word(text="x"))


async def test_a_stream_with_an_item_missing_ends_with_an_error(bus: Bus, server: Bus) -> None:
    word = Word(text="x").model_dump_json().encode()
    pieces = [frame("open", 0, c="bots.v1.stream.abc.1"), frame("item", 0, word), frame("item", 2, word)]
    async with answering(server, SPELL, pieces):
        with pytest.raises(UnavailableError):
            async with ask(bus).open(SPELL, Word(text="x")) as incoming:
                async for _ in incoming:
                    pass
    assert incoming.outcome == "gap"


async def test_garbage_in_answer_to_a_question_is_a_bug_of_the_far_side(bus: Bus, server: Bus) -> None:
    for garbage in (b"", b"\n", b"[]\n{}", b'{"k":"end","n":0}\n{"no":"word"}', b"\xff\xfe\n\x00"):
        async with answering(server, ECHO, [garbage]):
            with pytest.raises(RemoteBugError):
                await ask(bus, 2).ask(ECHO, Word(text="x"))


def test_a_refusal_of_a_wrong_form_keeps_its_code_and_loses_the_rest() -> None:
    body = b'{"code":"out_of_words","kind":"conflict","message":5,"retry_after":"5","facts":[]}'

    refusal = refusals.from_wire(body, (OutOfWordsError,))

    assert isinstance(refusal, OutOfWordsError)
    assert (refusal.message, refusal.retry_after, refusal.facts) == ("5", None, {})
