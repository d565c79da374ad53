"""The knowledge service, from top to bottom: what it holds, what it is, what it offers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hivemind_common.bus import open_bus
from hivemind_common.clock import system_clock
from hivemind_common.contracts.knowledge import (
    ADD_SNIPPET,
    DISMISS_GAP,
    EDIT_SNIPPET,
    FILL_GAP,
    FIND_PASSAGES,
    GET_GAP,
    GET_SNIPPET,
    JUDGE_SNIPPETS,
    KNOWLEDGE_HEALTH,
    LIST_GAPS,
    LIST_SNIPPETS,
    REMOVE_SNIPPET,
    REMOVE_TAGGED,
    SEARCH_SNIPPETS,
)
from hivemind_common.db import open_database
from hivemind_common.environment import Environment
from hivemind_common.health import Health
from hivemind_common.ids import new_id
from hivemind_common.ops import ops_site
from hivemind_common.runtime import Running, Service
from hivemind_common.telemetry import Metrics
from hivemind_knowledge.finder import Finder
from hivemind_knowledge.library import Library
from hivemind_knowledge.shelf import open_shelf
from hivemind_knowledge.vectors import open_meanings

POOL_SIZE = 8


@asynccontextmanager
async def open_knowledge(environment: Environment) -> AsyncIterator[Running]:
    """Entered: ready to answer. Left: drained first, closed after."""
    metrics = Metrics("knowledge")
    async with (
        open_database(environment.needed_database_url, "knowledge", size=POOL_SIZE) as database,
        open_bus(environment.needed_nats_url, "knowledge", metrics) as bus,
        open_shelf(database, metrics) as shelf,
        open_meanings(database, metrics, is_wanted="embeddings" in environment.extras) as meanings,
    ):
        library = Library(database, clock=system_clock, new_id=new_id)
        finder = Finder(database, shelf, meanings, clock=system_clock, new_id=new_id, metrics=metrics)
        health = Health(bus, database)
        async with (
            bus.serving(ADD_SNIPPET, library.add),
            bus.serving(JUDGE_SNIPPETS, library.judge),
            bus.serving(GET_SNIPPET, library.get),
            bus.serving(LIST_SNIPPETS, library.list_page),
            bus.serving(EDIT_SNIPPET, library.edit),
            bus.serving(REMOVE_SNIPPET, library.remove),
            bus.serving(REMOVE_TAGGED, library.remove_tagged),
            bus.serving(SEARCH_SNIPPETS, finder.search),
            bus.serving(FIND_PASSAGES, finder.find_passages),
            bus.serving(LIST_GAPS, library.list_gaps),
            bus.serving(GET_GAP, library.get_gap),
            bus.serving(FILL_GAP, library.fill_gap),
            bus.serving(DISMISS_GAP, library.dismiss_gap),
            bus.serving(KNOWLEDGE_HEALTH, health.tell),
            ops_site(environment.ops_bind, metrics, health.causes) as ops_port,
        ):
            yield Running(ops_port)


KNOWLEDGE = Service(
    "knowledge",
    open_knowledge,
    schema="knowledge",
    serves=(
        ADD_SNIPPET,
        JUDGE_SNIPPETS,
        GET_SNIPPET,
        LIST_SNIPPETS,
        EDIT_SNIPPET,
        REMOVE_SNIPPET,
        REMOVE_TAGGED,
        SEARCH_SNIPPETS,
        FIND_PASSAGES,
        LIST_GAPS,
        GET_GAP,
        FILL_GAP,
        DISMISS_GAP,
        KNOWLEDGE_HEALTH,
    ),
)
