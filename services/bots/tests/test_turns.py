from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hivemind_bots.profiles import Profiles
from hivemind_bots.providers import Providers
from hivemind_bots.turns import Turns
from hivemind_common.bus import Bus, Call
from hivemind_common.clock import system_clock
from hivemind_common.contracts.bots import BotDraft, BotNotFoundError, BotPausedError, CreateBot, TakeTurn
from hivemind_common.db import Database, open_database
from hivemind_common.environment import Environment
from hivemind_common.ids import new_id
from hivemind_common.principal import BREAK_GLASS
from hivemind_common.telemetry import Metrics
from hivemind_common.testing.servers import Servers


def call_on(bus: Bus) -> Call:
    return Call(bus, BREAK_GLASS, "request", asyncio.get_running_loop().time() + 30)


class Turned:
    """Turns on a database, and which labels they have made."""

    def __init__(self, pool: Database) -> None:
        self.metrics = Metrics("bots")
        self.providers = Providers(Environment())
        self.turns = Turns(pool, self.providers, clock=system_clock, new_id=new_id, metrics=self.metrics)

    async def take(self, bus: Bus, slug: str) -> None:
        nobody: Any = None  # refused before anything is told
        await self.turns.take(call_on(bus), TakeTurn(slug=slug, message="Hello"), nobody)

    @property
    def labels(self) -> set[tuple[str, str]]:
        return {
            (sample.labels["bot"], sample.labels["outcome"])
            for metric in self.metrics.registry.collect()
            for sample in metric.samples
            if sample.name == "hivemind_chat_turns_total"
        }


async def test_a_slug_that_somebody_made_up_is_no_label_however_its_turn_ends(
    servers: Servers, database: str, owner: Any, bus: Bus
) -> None:
    await owner.execute("TRUNCATE bots.bot CASCADE")
    async with open_database(servers.dsn("hivemind_bots", database), "bots", size=1) as pool:
        turned = Turned(pool)
        with pytest.raises(BotNotFoundError):
            await turned.take(bus, "nobody")
        async with pool.connection():  # the only one: whoever comes now waits in vain
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await turned.take(bus, "made-up")
        assert turned.labels == set()

        profiles = Profiles(pool, turned.providers, clock=system_clock, new_id=new_id)
        draft = BotDraft(slug="known", name="Known", system_prompt="You are known.")
        await profiles.create(call_on(bus), CreateBot(draft=draft))
        await owner.execute("UPDATE bots.bot SET status = 'paused'")
        with pytest.raises(BotPausedError):
            await turned.take(bus, "known")
        assert turned.labels == {("known", "bot_paused")}
