"""The bots service, from top to bottom: what it holds, what it is, what it offers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hivemind_bots.profiles import Profiles
from hivemind_bots.providers import Providers
from hivemind_bots.turns import Turns
from hivemind_common.bus import open_bus
from hivemind_common.clock import system_clock
from hivemind_common.contracts.bots import (
    BOTS_HEALTH,
    CREATE_BOT,
    GET_BOT,
    LIST_BOTS,
    LIST_TEMPLATES,
    RESOLVE_BOT,
    TAKE_TURN,
)
from hivemind_common.contracts.knowledge import FIND_PASSAGES
from hivemind_common.db import open_database
from hivemind_common.environment import Environment
from hivemind_common.health import Health
from hivemind_common.ids import new_id
from hivemind_common.ops import ops_site
from hivemind_common.runtime import Running, Service
from hivemind_common.telemetry import Metrics

POOL_SIZE = 12


@asynccontextmanager
async def open_bots(environment: Environment) -> AsyncIterator[Running]:
    """Entered: ready to answer. Left: drained first, closed after."""
    metrics = Metrics("bots")
    async with (
        open_database(environment.needed_database_url, "bots", size=POOL_SIZE) as database,
        open_bus(environment.needed_nats_url, "bots", metrics) as bus,
    ):
        providers = Providers(environment)
        providers.start()
        profiles = Profiles(database, providers, clock=system_clock, new_id=new_id)
        turns = Turns(database, providers, clock=system_clock, new_id=new_id, metrics=metrics)
        health = Health(bus, database, lambda: {"llm": providers.health()})
        async with (
            bus.serving(CREATE_BOT, profiles.create),
            bus.serving(GET_BOT, profiles.get),
            bus.serving(RESOLVE_BOT, profiles.resolve),
            bus.serving(LIST_BOTS, profiles.list_page),
            bus.serving(LIST_TEMPLATES, profiles.list_templates),
            bus.streaming(TAKE_TURN, turns.take),
            bus.serving(BOTS_HEALTH, health.tell),
            ops_site(environment.ops_bind, metrics, health.causes) as ops_port,
        ):
            yield Running(ops_port)


BOTS = Service(
    "bots",
    open_bots,
    schema="bots",
    serves=(CREATE_BOT, GET_BOT, RESOLVE_BOT, LIST_BOTS, LIST_TEMPLATES, TAKE_TURN, BOTS_HEALTH),
    calls=(FIND_PASSAGES,),
)
