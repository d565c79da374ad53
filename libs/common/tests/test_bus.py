from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import nats
import pytest

from hivemind_common.bus import Bus, Call, Outgoing, open_bus
from hivemind_common.bus.envelope import Envelope, MalformedMessageError, pack, unpack
from hivemind_common.bus.streams import WINDOW
from hivemind_common.contracts.kinds import Rpc
from hivemind_common.errors import HivemindError, Kind, RemoteBugError, UnavailableError
from hivemind_common.principal import ANONYMOUS, BREAK_GLASS, Principal, PrincipalKind
from hivemind_common.telemetry import REQUEST_ID, Metrics
from hivemind_common.testing.plugin import ANYONE
from hivemind_common.testing.servers import Servers
from hivemind_common.testing.words import ECHO, SPELL, OutOfWordsError, Word, ask, echo


class WordV2(Word):
    added_later: str = "new"


class SecretError(HivemindError):
    code = "secret"
    kind = Kind.FORBIDDEN


ECHO_NEWER = Rpc("bots.v1.word.echo", WordV2, WordV2)
HASTY = Rpc("bots.v1.word.echo", Word, Word, timeout=timedelta(seconds=0.2))


async def test_a_question_is_answered(bus: Bus, server: Bus) -> None:
    async with server.serving(ECHO, echo):
        assert await ask(bus).ask(ECHO, Word(text="hello")) == Word(text="hello")


async def test_who_asks_under_which_id_and_how_long_travels_along(bus: Bus, server: Bus) -> None:
    seen: list[Call] = []
    logged: list[str | None] = []

    async def remember(call: Call, word: Word) -> Word:
        seen.append(call)
        logged.append(REQUEST_ID.get())
        return word

    async with server.serving(ECHO, remember):
        await ask(bus, 3, BREAK_GLASS).ask(ECHO, Word(text="x"))

    assert seen[0].principal == BREAK_GLASS
    assert seen[0].request_id == "req-1"
    assert logged == ["req-1"]
    assert 0 < seen[0].left <= 3


async def test_nobody_there_is_told_at_once(bus: Bus) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()

    with pytest.raises(UnavailableError) as refusal:
        await ask(bus, 30).ask(ECHO, Word(text="x"))

    assert refusal.value.facts == {"service": "bots"}
    assert loop.time() - started < 3


async def test_a_refusal_of_the_contract_crosses_whole(bus: Bus, server: Bus) -> None:
    async def refuse(_call: Call, _word: Word) -> Word:
        raise OutOfWordsError("no more words", detail="for the log", retry_after=3, facts={"left": 0})

    async with server.serving(ECHO, refuse):
        with pytest.raises(OutOfWordsError, match="no more words") as refusal:
            await ask(bus).ask(ECHO, Word(text="x"))

    assert (refusal.value.retry_after, refusal.value.facts, refusal.value.detail) == (3, {"left": 0}, "")


@pytest.mark.parametrize("fault", [RuntimeError("password=hunter2"), SecretError("not in the contract")])
async def test_a_bug_crosses_as_internal_and_nothing_more(bus: Bus, server: Bus, fault: Exception) -> None:
    async def break_down(_call: Call, _word: Word) -> Word:
        raise fault

    async with server.serving(ECHO, break_down):
        with pytest.raises(RemoteBugError) as told:
            await ask(bus).ask(ECHO, Word(text="x"))

    assert "hunter2" not in str(told.value)


async def test_a_call_never_outlives_its_caller(bus: Bus, server: Bus) -> None:
    ended = asyncio.Event()

    async def hang(_call: Call, word: Word) -> Word:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return word

    async with server.serving(ECHO, hang):
        with pytest.raises(UnavailableError):
            await ask(bus).ask(HASTY, Word(text="x"))
        async with asyncio.timeout(3):
            await ended.wait()


async def test_a_hop_without_time_left_refuses(bus: Bus, server: Bus) -> None:
    async with server.serving(ECHO, echo):
        with pytest.raises(UnavailableError):
            await ask(bus, 0.003).ask(ECHO, Word(text="x"))


async def test_a_long_answer_comes_in_pieces(bus: Bus, server: Bus) -> None:
    async def much(_call: Call, _word: Word) -> Word:
        return Word(text="ü" * 1_000_000)

    async with server.serving(ECHO, much):
        assert len((await ask(bus).ask(ECHO, Word(text="x"))).text) == 1_000_000


async def test_a_newer_peer_is_understood_and_an_older_one_too(bus: Bus, server: Bus) -> None:
    async with server.serving(ECHO, echo):
        answer = await ask(bus).ask(ECHO_NEWER, WordV2(text="x", added_later="y"))

    assert answer == WordV2(text="x")


async def test_replicas_share_the_questions(servers: Servers, bus: Bus, server: Bus) -> None:
    taken = {"a": 0, "b": 0}

    def counting(name: str) -> Callable[[Call, Word], Awaitable[Word]]:
        async def handler(_call: Call, word: Word) -> Word:
            taken[name] += 1
            return word

        return handler

    async with open_bus(servers.nats.url_for(ANYONE), "bots", Metrics("bots")) as second:
        async with server.serving(ECHO, counting("a")), second.serving(ECHO, counting("b")):
            await asyncio.gather(*(ask(bus).ask(ECHO, Word(text="x")) for _ in range(200)))

    assert sum(taken.values()) == 200
    assert min(taken.values()) > 20


async def test_what_was_accepted_is_finished_before_the_door_closes(bus: Bus, server: Bus) -> None:
    accepted, go = asyncio.Event(), asyncio.Event()

    async def slow(_call: Call, word: Word) -> Word:
        accepted.set()
        await go.wait()
        return word

    serving = server.serving(ECHO, slow)
    await serving.__aenter__()
    question = asyncio.create_task(ask(bus).ask(ECHO, Word(text="last")))
    await accepted.wait()
    closing = asyncio.create_task(serving.__aexit__(None, None, None))
    await asyncio.sleep(0)
    go.set()

    assert await question == Word(text="last")
    await closing


async def spell(_call: Call, word: Word, out: Outgoing[Word]) -> Word:
    for letter in word.text:
        await out.send(Word(text=letter))
    return word


async def test_a_stream_comes_in_order_and_ends_with_the_answer(bus: Bus, server: Bus) -> None:
    text = "abcdefghij" * 50  # several windows
    async with server.streaming(SPELL, spell), ask(bus).open(SPELL, Word(text=text)) as incoming:
        letters = [item.text async for item in incoming]

        assert "".join(letters) == text
        assert incoming.answer == Word(text=text)


async def test_a_refusal_ends_a_stream(bus: Bus, server: Bus) -> None:
    async def give_up(_call: Call, _word: Word, out: Outgoing[Word]) -> Word:
        await out.send(Word(text="a"))
        raise OutOfWordsError

    async with server.streaming(SPELL, give_up), ask(bus).open(SPELL, Word(text="abc")) as incoming:
        with pytest.raises(OutOfWordsError):
            async for _ in incoming:
                pass


async def test_the_producer_waits_for_a_slow_reader(bus: Bus, server: Bus) -> None:
    sent = 0

    async def flood(_call: Call, _word: Word, out: Outgoing[Word]) -> Word:
        nonlocal sent
        for _ in range(10 * WINDOW):
            await out.send(Word(text="x"))
            sent += 1
        return Word(text="done")

    async with server.streaming(SPELL, flood), ask(bus).open(SPELL, Word(text="")) as incoming:
        items = aiter(incoming)
        await anext(items)
        async with asyncio.timeout(3):
            while sent < WINDOW:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert sent == WINDOW
        assert len([item async for item in items]) == 10 * WINDOW - 1


async def test_the_work_is_cancelled_when_the_asker_leaves(bus: Bus, server: Bus) -> None:
    cancelled = asyncio.Event()

    async def go_on(_call: Call, word: Word, out: Outgoing[Word]) -> Word:
        try:
            await out.send(word)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return word

    async with server.streaming(SPELL, go_on):
        async with ask(bus).open(SPELL, Word(text="x")) as incoming:
            await anext(aiter(incoming))
        async with asyncio.timeout(3):
            await cancelled.wait()


async def test_a_producer_that_vanishes_ends_the_stream(servers: Servers, bus: Bus) -> None:
    async def go_on(_call: Call, word: Word, out: Outgoing[Word]) -> Word:
        await out.send(word)
        await asyncio.Event().wait()
        return word

    async with open_bus(servers.nats.url_for(ANYONE), "bots", Metrics("bots")) as doomed:
        async with doomed.streaming(SPELL, go_on):
            with pytest.raises(UnavailableError):
                async with ask(bus, 30).open(SPELL, Word(text="x")) as incoming:
                    async for _ in incoming:
                        await doomed.connection.close()  # as a killed process would


async def test_a_service_may_not_speak_without_its_password(servers: Servers) -> None:
    url = servers.nats.url_for(ANYONE).get_secret_value().replace("a-password-for-tests-only", "wrong")

    with pytest.raises(nats.errors.Error):
        await nats.connect(url, allow_reconnect=False, connect_timeout=2)


def test_an_envelope_is_one_line_and_a_body() -> None:
    principal = Principal(kind=PrincipalKind.KEY, name="ada", scopes=("chat",))
    envelope = Envelope(4870, "req", principal, idempotency_key="once", traceparent="00-1-2-01")

    data = pack(envelope, b'{"a":\n1}')

    assert data.count(b"\n") == 2
    assert unpack(data) == (envelope, b'{"a":\n1}')


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]\n{}", b'{"v":1}\n', b'{"v":2,"d":1,"r":"x","p":{"kind":"anonymous"}}\n', b"\xff\n{}", b"{\n{}"],
)
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        unpack(data)


def test_members_that_are_not_known_are_passed_over() -> None:
    line = b'{"v":1,"d":9,"r":"x","new":true,"p":{"kind":"anonymous","extra":1}}\n{}'

    assert unpack(line)[0].principal == ANONYMOUS


async def test_a_replica_that_leaves_under_load_loses_no_question(servers: Servers, bus: Bus, server: Bus) -> None:
    left = asyncio.Event()

    async def take_a_moment(_call: Call, word: Word) -> Word:
        await asyncio.sleep(0.005)
        return word

    async def keep_asking() -> int:
        count = 0
        while not left.is_set() or count < 20:
            assert await ask(bus).ask(ECHO, Word(text=str(count))) == Word(text=str(count))
            count += 1
        return count

    async with server.serving(ECHO, take_a_moment):
        asking = asyncio.gather(*(keep_asking() for _ in range(32)))
        for _ in range(3):
            async with open_bus(servers.nats.url_for(ANYONE), "bots", Metrics("bots")) as leaving:
                async with leaving.serving(ECHO, take_a_moment):
                    while not leaving.server.running:
                        await asyncio.sleep(0.01)
        left.set()
        assert min(await asking) >= 20
