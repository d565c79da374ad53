"""Every process is killed in turn while people chat: each answer that was given is kept once, and all is well again soon."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
import asyncpg
import pytest

from hivemind_common.testing.waiting import until
from tests.e2e.rig import CHAT, HANGING, QUESTION, Rig, rig_on

pytestmark = [pytest.mark.processes, pytest.mark.asyncio]

PARTS: Final = ("auth", "bots", "knowledge", "gateway", "nats", "db")
CHATS: Final = 200
ROUNDS: Final = 3 if os.environ.get("HIVEMIND_FULL") else 1
CLIENTS: Final = 8
BACK_WITHIN: Final = 10
"""Seconds from a kill until everything answers again, with nobody's help."""


@dataclass
class Chats:
    """What people asked, and how it went."""

    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    asked: list[str] = field(default_factory=list)
    answered: dict[str, str] = field(default_factory=dict)
    """Message ids by text."""
    named: set[str] = field(default_factory=set)

    async def have(self, count: int) -> bool:
        """Whether so many were answered."""
        return len(self.answered) >= count

    async def one(self, rig: Rig) -> None:
        """Ask once; a refusal has to name what is away."""
        text = f"{QUESTION} I ask for order {next(self.numbers)}."
        self.asked.append(text)
        try:
            status, answer, _ = await rig.instance.call(*CHAT, json={"message": text}, timeout=HANGING)
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(0.05)  # the door itself is away
            return
        if status == 200:
            self.answered[text] = answer["message_id"]
            return
        assert (status, answer["code"]) == (503, "unavailable"), answer
        assert answer["service"] in PARTS, answer
        self.named.add(answer["service"])
        await asyncio.sleep(0.05)


async def test_no_answer_is_lost_or_doubled_whatever_is_killed(
    open_folder: Path, record_property: Callable[[str, object], None]
) -> None:
    async with rig_on(open_folder / "storm", processes=True) as rig:
        chats = Chats()
        over = asyncio.Event()
        away: list[float] = []
        loop = asyncio.get_running_loop()

        async def keep_asking() -> None:
            while not over.is_set():
                await chats.one(rig)

        async def kill_in_turn() -> None:
            for turn, part in enumerate(PARTS * ROUNDS, start=1):
                killed = rig.pid_of(part)
                since = loop.time()
                os.kill(killed, signal.SIGKILL)
                await until(partial(_is_back, rig, part, killed), limit=BACK_WITHIN, what=part)
                away.append(loop.time() - since)
                enough = turn * CHATS // len(PARTS)
                await until(partial(chats.have, enough), limit=60, what="more chats")
            over.set()

        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(keep_asking())
            group.create_task(kill_in_turn())

        kept = await _kept(rig)
    record_property("kills", len(away))
    record_property("chats answered", len(chats.answered))
    record_property("chats refused or cut off", len(chats.asked) - len(chats.answered))
    record_property("longest until everything answered again", f"{max(away):.1f} s")
    questions = [row["question"] for row in kept]
    assert len(chats.answered) >= CHATS
    assert len(questions) == len(set(questions)), "a question was taken twice"
    assert {text: str(row["answer"]) for row in kept if (text := row["question"]) in chats.answered} == chats.answered
    assert set(questions) <= {*chats.asked, QUESTION}
    assert chats.named, "nothing was ever refused, so nothing was proven"


async def _is_back(rig: Rig, part: str, killed: int) -> bool:
    return rig.pid_of(part) != killed and await rig.is_well()


async def _kept(rig: Rig) -> list[Any]:
    connection = await asyncpg.connect(rig.fleet.owner_dsn.get_secret_value())
    try:
        # The rig's own looks ask one text again and again.
        found = await connection.fetch(
            """
            SELECT question.text AS question, answer.id AS answer
              FROM bots.message AS question
              LEFT JOIN bots.message AS answer USING (bot_id, conversation_id)
             WHERE question.role = 'user' AND answer.role = 'assistant' AND question.text <> $1
            """,
            QUESTION,
        )
        alone = await connection.fetchval(
            "SELECT count(*) FILTER (WHERE role = 'user') - count(*) FILTER (WHERE role = 'assistant') FROM bots.message"
        )
    finally:
        await connection.close()
    assert alone == 0, "a question stands without its answer"
    return list(found)
