"""Every instance tells who it is and how it does; events reach whoever listens."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from hivemind_common.bus import Bus, Call, open_bus
from hivemind_common.bus.permissions import all_permissions
from hivemind_common.errors import UnavailableError
from hivemind_common.runtime import Service
from hivemind_common.telemetry import Metrics
from hivemind_common.testing.plugin import ANYONE
from hivemind_common.testing.servers import Servers
from hivemind_common.testing.words import ECHO, SPELL, SPOKEN, OutOfWordsError, Word, ask


async def told(bus: Bus, subject: str) -> Any:
    return json.loads((await bus.connection.request(subject, timeout=5)).data)


async def refuse(_call: Call, _word: Word) -> Word:
    raise OutOfWordsError


async def test_an_instance_says_who_it_is_under_each_of_its_three_names(bus: Bus, server: Bus) -> None:
    async with server.serving(ECHO, refuse):
        first = await told(bus, "$SRV.PING.bots")
        by_id = await told(bus, f"$SRV.PING.bots.{first['id']}")
        info = await told(bus, "$SRV.INFO.bots")

    assert first == by_id
    assert re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+.*", first["version"])
    assert (first["type"], first["name"]) == ("io.nats.micro.v1.ping_response", "bots")
    assert info["type"] == "io.nats.micro.v1.info_response"
    assert [(each["name"], each["subject"], each["queue_group"]) for each in info["endpoints"]] == [
        ("word-echo", "hm.*.bots.v1.word.echo", "bots")
    ]


async def test_every_instance_answers_for_itself(servers: Servers, bus: Bus, server: Bus) -> None:
    async with open_bus(servers.nats.url_for(ANYONE), "bots", Metrics("bots")):
        answers: asyncio.Queue[str] = asyncio.Queue()

        async def keep(message: Any) -> None:
            answers.put_nowait(json.loads(message.data)["id"])

        await bus.connection.subscribe("_INBOX_gateway.ping", cb=keep)
        await bus.publish("$SRV.PING.bots", b"", reply="_INBOX_gateway.ping")
        async with asyncio.timeout(5):
            found = {await answers.get(), await answers.get()}

    assert len(found) == 2


async def test_stats_count_what_was_answered_and_what_was_refused(bus: Bus, server: Bus) -> None:
    async def answer(_call: Call, word: Word) -> Word:
        if word.text == "bad":
            raise OutOfWordsError
        return word

    async with server.serving(ECHO, answer):
        for text in ("good", "bad", "good"):
            try:
                await ask(bus).ask(ECHO, Word(text=text))
            except OutOfWordsError:
                assert text == "bad"
        stats = await told(bus, "$SRV.STATS.bots")

    (endpoint,) = stats["endpoints"]
    assert stats["type"] == "io.nats.micro.v1.stats_response"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stats["started"])
    assert (endpoint["num_requests"], endpoint["num_errors"], endpoint["last_error"]) == (3, 1, "out_of_words")
    assert endpoint["processing_time"] >= endpoint["average_processing_time"] > 0


async def test_an_event_reaches_every_instance_that_listens(servers: Servers, bus: Bus, server: Bus) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def listen(word: Word) -> None:
        heard.put_nowait(word.text)

    async with open_bus(servers.nats.url_for(ANYONE), "gateway", Metrics("gateway")) as second:
        async with bus.hearing(SPOKEN, listen), second.hearing(SPOKEN, listen):
            await server.tell(SPOKEN, Word(text="hello"))
            async with asyncio.timeout(5):
                assert [await heard.get(), await heard.get()] == ["hello", "hello"]


async def test_a_listener_that_fails_hears_the_next_event(bus: Bus, server: Bus) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def listen(word: Word) -> None:
        if word.text == "bad":
            raise RuntimeError("a bug")
        heard.put_nowait(word.text)

    async with bus.hearing(SPOKEN, listen):
        await bus.connection.publish("hm.bots.bots.v1.word.spoken", b"no message of ours")
        await server.tell(SPOKEN, Word(text="bad"))
        await server.tell(SPOKEN, Word(text="good"))
        async with asyncio.timeout(5):
            assert await heard.get() == "good"


async def test_an_event_that_nobody_can_be_told_is_dropped(servers: Servers) -> None:
    async with open_bus(servers.nats.url_for(ANYONE), "bots", Metrics("bots")) as lonely:
        await lonely.connection.close()
        await lonely.tell(SPOKEN, Word(text="x"))
        with pytest.raises(UnavailableError):
            await ask(lonely).ask(ECHO, Word(text="x"))


def test_the_allow_lists_hold_what_is_declared_and_nothing_else() -> None:
    asker = Service("gateway", _never, calls=(ECHO, SPELL), hears=(SPOKEN,))
    answerer = Service("bots", _never, serves=(ECHO, SPELL), emits=(SPOKEN,))
    allowed = all_permissions((asker, answerer))

    assert set(allowed) == {"gateway", "bots", "ops"}
    assert allowed["gateway"].publish == (
        "hm.gateway.bots.v1.word.echo",
        "hm.gateway.bots.v1.word.spell",
        "hm.gateway.bots.v1.stream.*.*",
    )
    assert allowed["bots"].publish == ("hm.bots.bots.v1.word.spoken",)
    assert "hm.bots.bots.v1.word.spoken" in allowed["gateway"].subscribe
    assert {subject for subject in allowed["bots"].subscribe if subject.startswith("hm.")} == {
        "hm.*.bots.v1.word.echo bots",
        "hm.*.bots.v1.word.spell bots",
        "hm.*.bots.v1.stream.*.* bots",
    }
    assert allowed["ops"].answers_for is None


def _never(_environment: object) -> Any:
    raise AssertionError("it is described, not run")
