"""The bots service, from top to bottom: what it holds, what it is, what it offers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hivemind_bots.applying import Applying
from hivemind_bots.golden import GoldenQuestions
from hivemind_bots.lifecycle import Lifecycle
from hivemind_bots.profiles import Profiles
from hivemind_bots.prompts import Prompts
from hivemind_bots.providers import Providers
from hivemind_bots.turns import Turns
from hivemind_common.bus import Bus, open_bus
from hivemind_common.clock import system_clock
from hivemind_common.contracts.bots import (
    BOTS_HEALTH,
    CLONE_BOT,
    CREATE_BOT,
    EDIT_BOT,
    GET_BOT,
    LIST_BOTS,
    LIST_TEMPLATES,
    PAUSE_BOT,
    REMOVE_BOT,
    RESOLVE_BOT,
    RESTORE_BOT,
    RESUME_BOT,
    TAKE_TURN,
)
from hivemind_common.contracts.golden_questions import (
    ADD_GOLDEN_QUESTION,
    EDIT_GOLDEN_QUESTION,
    GET_GOLDEN_QUESTION,
    LIST_GOLDEN_QUESTIONS,
    REMOVE_GOLDEN_QUESTION,
)
from hivemind_common.contracts.knowledge import FIND_PASSAGES, JUDGE_SNIPPETS
from hivemind_common.contracts.manifests import APPLY_UPLOAD, EXPORT_BOT, STAGE_UPLOAD
from hivemind_common.contracts.prompts import (
    GET_PROMPT,
    LIST_PROMPTS,
    PIN_PROMPT,
    RESTORE_PROMPT,
    SAVE_PROMPT,
)
from hivemind_common.db import open_database
from hivemind_common.environment import Environment
from hivemind_common.health import Health
from hivemind_common.ids import new_id
from hivemind_common.ops import ops_site
from hivemind_common.runtime import Running, Service, daemons
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
        lifecycle = Lifecycle(database, providers, clock=system_clock, new_id=new_id)
        prompts = Prompts(database, clock=system_clock)
        golden = GoldenQuestions(database, clock=system_clock, new_id=new_id)
        applying = Applying(database, providers, clock=system_clock, new_id=new_id)
        turns = Turns(database, providers, clock=system_clock, new_id=new_id, metrics=metrics)
        health = Health(bus, database, lambda: {"llm": providers.health()})
        async with (
            daemons(lifecycle.watch()),
            _bots_served(bus, profiles, lifecycle),
            _prompts_served(bus, prompts),
            _golden_questions_served(bus, golden),
            _manifests_served(bus, applying),
            bus.streaming(TAKE_TURN, turns.take),
            bus.serving(BOTS_HEALTH, health.tell),
            ops_site(environment.ops_bind, metrics, health.causes) as ops_port,
        ):
            yield Running(ops_port)


@asynccontextmanager
async def _bots_served(bus: Bus, profiles: Profiles, lifecycle: Lifecycle) -> AsyncIterator[None]:
    async with (
        bus.serving(CREATE_BOT, profiles.create),
        bus.serving(EDIT_BOT, profiles.edit),
        bus.serving(PAUSE_BOT, lifecycle.pause),
        bus.serving(RESUME_BOT, lifecycle.resume),
        bus.serving(RESTORE_BOT, lifecycle.restore),
        bus.serving(REMOVE_BOT, lifecycle.remove),
        bus.serving(CLONE_BOT, lifecycle.clone),
        bus.serving(GET_BOT, profiles.get),
        bus.serving(RESOLVE_BOT, profiles.resolve),
        bus.serving(LIST_BOTS, profiles.list_page),
        bus.serving(LIST_TEMPLATES, profiles.list_templates),
    ):
        yield


@asynccontextmanager
async def _prompts_served(bus: Bus, prompts: Prompts) -> AsyncIterator[None]:
    async with (
        bus.serving(GET_PROMPT, prompts.get),
        bus.serving(SAVE_PROMPT, prompts.save),
        bus.serving(LIST_PROMPTS, prompts.list_page),
        bus.serving(RESTORE_PROMPT, prompts.restore),
        bus.serving(PIN_PROMPT, prompts.pin),
    ):
        yield


@asynccontextmanager
async def _golden_questions_served(bus: Bus, golden: GoldenQuestions) -> AsyncIterator[None]:
    async with (
        bus.serving(ADD_GOLDEN_QUESTION, golden.add),
        bus.serving(GET_GOLDEN_QUESTION, golden.get),
        bus.serving(LIST_GOLDEN_QUESTIONS, golden.list_page),
        bus.serving(EDIT_GOLDEN_QUESTION, golden.edit),
        bus.serving(REMOVE_GOLDEN_QUESTION, golden.remove),
    ):
        yield


@asynccontextmanager
async def _manifests_served(bus: Bus, applying: Applying) -> AsyncIterator[None]:
    async with (
        bus.streaming(EXPORT_BOT, applying.export),
        bus.serving(STAGE_UPLOAD, applying.stage),
        bus.serving(APPLY_UPLOAD, applying.apply),
    ):
        yield


BOTS = Service(
    "bots",
    open_bots,
    schema="bots",
    serves=(
        CREATE_BOT,
        EDIT_BOT,
        PAUSE_BOT,
        RESUME_BOT,
        RESTORE_BOT,
        REMOVE_BOT,
        CLONE_BOT,
        GET_PROMPT,
        SAVE_PROMPT,
        LIST_PROMPTS,
        RESTORE_PROMPT,
        PIN_PROMPT,
        ADD_GOLDEN_QUESTION,
        GET_GOLDEN_QUESTION,
        LIST_GOLDEN_QUESTIONS,
        EDIT_GOLDEN_QUESTION,
        REMOVE_GOLDEN_QUESTION,
        EXPORT_BOT,
        STAGE_UPLOAD,
        APPLY_UPLOAD,
        GET_BOT,
        RESOLVE_BOT,
        LIST_BOTS,
        LIST_TEMPLATES,
        TAKE_TURN,
        BOTS_HEALTH,
    ),
    calls=(FIND_PASSAGES, JUDGE_SNIPPETS),
)
