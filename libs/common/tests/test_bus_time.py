"""No call outlives its caller: not a chain of hops, not what lay in a socket; and a 503 names what was waited for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio

from hivemind_common.bus import Bus, Call, open_bus
from hivemind_common.bus.envelope import Envelope, pack
from hivemind_common.bus.transit import MOST_SENDERS, Transit
from hivemind_common.contracts.kinds import Rpc
from hivemind_common.db import Database, open_database
from hivemind_common.embedded.postgres import OWNER
from hivemind_common.errors import UnavailableError
from hivemind_common.principal import ANONYMOUS
from hivemind_common.telemetry import Metrics
from hivemind_common.testing.plugin import ANYONE
from hivemind_common.testing.servers import Servers
from hivemind_common.testing.words import ECHO, Word, ask, echo

LOOK_UP = Rpc("knowledge.v1.word.find", Word, Word)


@pytest_asyncio.fixture
async def librarian(servers: Servers) -> AsyncIterator[Bus]:
    async with open_bus(servers.nats.url_for(ANYONE), "knowledge", Metrics("knowledge")) as opened:
        yield opened


async def hang(_call: Call, word: Word) -> Word:
    await asyncio.Event().wait()
    return word


async def pass_on(call: Call, word: Word) -> Word:
    return await call.ask(LOOK_UP, word)


async def test_each_hop_has_less_time_than_the_one_before(bus: Bus, server: Bus, librarian: Bus) -> None:
    lefts: list[float] = []

    async def note(call: Call, word: Word) -> Word:
        lefts.append(call.left)
        return word

    async def note_and_pass_on(call: Call, word: Word) -> Word:
        lefts.append(call.left)
        return await call.ask(LOOK_UP, word)

    async with server.serving(ECHO, note_and_pass_on), librarian.serving(LOOK_UP, note):
        await ask(bus, 2).ask(ECHO, Word(text="x"))

    assert 2 > lefts[0] > lefts[1] > 0


async def test_the_end_of_a_chain_that_hangs_is_the_one_that_is_named(bus: Bus, server: Bus, librarian: Bus) -> None:
    async with server.serving(ECHO, pass_on), librarian.serving(LOOK_UP, hang):
        with pytest.raises(UnavailableError) as refusal:
            await ask(bus, 1).ask(ECHO, Word(text="x"))

    assert refusal.value.facts == {"service": "knowledge"}


async def test_a_handler_that_hangs_is_cancelled_and_named(bus: Bus, server: Bus) -> None:
    async with server.serving(ECHO, hang):
        with pytest.raises(UnavailableError) as refusal:
            await ask(bus, 0.5).ask(ECHO, Word(text="x"))

        assert refusal.value.facts == {"service": "bots"}
        assert server.server.running == 0


async def test_a_database_that_hangs_is_named_and_not_who_waits_for_it(
    bus: Bus, server: Bus, servers: Servers, database: str
) -> None:
    async with open_database(servers.dsn(OWNER, database), "bots", size=1) as pool:

        async def read(_call: Call, word: Word) -> Word:
            async with pool.connection() as conn:
                await conn.fetchval("SELECT pg_sleep(60)")
            return word

        async with server.serving(ECHO, read):
            asked = (ask(bus, 1).ask(ECHO, Word(text="x")) for _ in range(2))
            first, second = await asyncio.gather(*asked, return_exceptions=True)

        # The one that ran the statement, and the one that waited for the only connection.
        for refusal in (first, second):
            assert isinstance(refusal, UnavailableError)
            assert refusal.facts == {"service": "db"}
        assert await is_usable(pool)


async def is_usable(pool: Database) -> bool:
    async with pool.connection() as conn:
        return bool(await conn.fetchval("SELECT true"))


async def test_what_lay_in_a_socket_longer_than_its_caller_waits_is_not_carried_out(bus: Bus, server: Bus) -> None:
    done: list[str] = []

    async def do(_call: Call, word: Word) -> Word:
        done.append(word.text)
        return word

    async def send(text: str, sent_ago_ms: int) -> None:
        now = time.monotonic_ns() // 1_000_000
        envelope = Envelope(5_000, "req-1", ANONYMOUS, sent_ms=now - sent_ago_ms)
        body = Word(text=text).model_dump_json().encode()
        await bus.publish("hm.gateway.bots.v1.word.echo", pack(envelope, body), reply="_INBOX_gateway.an-instance.1")

    async with server.serving(ECHO, do):
        await send("fresh", 0)
        await send("frozen for six seconds", 6_000)
        await send("on its way for a second", 1_000)
        await bus.barrier()
        await ask(bus).ask(ECHO, Word(text="last"))

    assert done == ["fresh", "on its way for a second", "last"]


async def test_a_question_without_a_sending_time_is_taken_at_its_word(bus: Bus, server: Bus) -> None:
    async with server.serving(ECHO, echo):
        body = Word(text="from an older peer").model_dump_json().encode()
        data = pack(Envelope(5_000, "req-1", ANONYMOUS), body)
        answer = await bus.connection.request("hm.gateway.bots.v1.word.echo", data, timeout=5)

    assert b"from an older peer" in answer.data


def test_delay_is_what_exceeds_the_fastest_message_of_a_sender() -> None:
    transit = Transit()

    assert transit.delay_ms("a", sent_ms=1_000, now_ms=901_002) == 0, "the first shows how far the clocks are apart"
    assert transit.delay_ms("a", sent_ms=2_000, now_ms=902_001) == 0, "a faster one corrects it"
    assert transit.delay_ms("a", sent_ms=3_000, now_ms=907_001) == pytest.approx(4_000, abs=2)
    assert transit.delay_ms("b", sent_ms=70_000, now_ms=907_001) == 0, "every sender has a clock of its own"


def test_clocks_that_drift_apart_are_followed() -> None:
    transit = Transit()
    day_ms = 86_400_000
    delays = [transit.delay_ms("a", sent_ms=sent, now_ms=sent * (1 + 100e-6)) for sent in range(0, 2 * day_ms, 60_000)]

    assert max(delays) < 10


def test_a_sender_whose_clock_stood_still_is_believed_again_soon() -> None:
    transit = Transit()
    for second in range(60):
        transit.delay_ms("a", sent_ms=second * 1_000, now_ms=second * 1_000)
    stood_still = 6_000
    delays = [
        transit.delay_ms("a", sent_ms=second * 1_000 - stood_still, now_ms=second * 1_000) for second in range(60, 120)
    ]

    assert delays[0] == pytest.approx(6_000, abs=50)
    assert delays[25] == pytest.approx(0, abs=50)


def test_silence_makes_nobody_forget_how_far_the_clocks_are_apart() -> None:
    transit = Transit()
    transit.delay_ms("a", sent_ms=0, now_ms=500)
    hour = 3_600_000

    burst = [transit.delay_ms("a", sent_ms=hour, now_ms=hour + 500 + 30_000 + place) for place in range(5)]

    assert min(burst) > 29_000


def test_senders_that_have_left_are_forgotten() -> None:
    transit = Transit()
    for number in range(MOST_SENDERS + 1):
        transit.delay_ms(str(number), sent_ms=0, now_ms=0)

    assert transit.delay_ms("0", sent_ms=0, now_ms=9_000) == 0
    assert transit.delay_ms(str(MOST_SENDERS), sent_ms=0, now_ms=9_000) > 8_000


async def test_an_answer_goes_to_whoever_asked_and_to_nobody_else(bus: Bus, server: Bus) -> None:
    done: list[str] = []

    async def do(_call: Call, word: Word) -> Word:
        done.append(word.text)
        return word

    async def send(caller: str, reply: str, text: str) -> None:
        data = pack(Envelope(5_000, "req-1", ANONYMOUS), Word(text=text).model_dump_json().encode())
        await bus.publish(f"hm.{caller}.bots.v1.word.echo", data, reply=reply)

    async with server.serving(ECHO, do):
        await send("knowledge", "_INBOX_gateway.abc.1", "into another's inbox")
        await send("gateway", "_INBOX_gatewayx.abc.1", "nearly")
        await send("gateway", "", "nowhere")
        await send("gateway", "_INBOX_gateway.abc.1", "home")
        await bus.barrier()
        await ask(bus).ask(ECHO, Word(text="last"))

    assert done == ["home", "last"]


async def test_a_contract_ends_before_its_caller_where_its_own_limit_is_shorter(bus: Bus, server: Bus) -> None:
    hasty = Rpc("bots.v1.word.echo", Word, Word, timeout=timedelta(seconds=0.3))
    async with server.serving(ECHO, hang):
        call = ask(bus, 30)
        with pytest.raises(UnavailableError):
            await call.ask(hasty, Word(text="x"))

    assert call.left > 25
