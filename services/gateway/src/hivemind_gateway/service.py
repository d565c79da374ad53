"""The gateway, from top to bottom: what it holds, what it is, what it offers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Final

import orjson
from aiohttp import web

from hivemind_common.bus import open_bus
from hivemind_common.contracts.auth import (
    CHANGE_PASSWORD,
    GET_SETUP_STATE,
    IDENTIFY,
    LIST_SESSIONS,
    NOTE_SETUP_REFUSED,
    REGISTER_ADMIN,
    REVOKE_SESSION,
    SIGN_IN,
    SIGN_OUT,
    USE_BREAK_GLASS,
)
from hivemind_common.contracts.bots import (
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
from hivemind_common.contracts.knowledge import (
    ADD_SNIPPET,
    DISMISS_GAP,
    EDIT_SNIPPET,
    FILL_GAP,
    GET_GAP,
    GET_SNIPPET,
    LIST_GAPS,
    LIST_SNIPPETS,
    REMOVE_SNIPPET,
    REMOVE_TAGGED,
    SEARCH_SNIPPETS,
)
from hivemind_common.contracts.manifests import APPLY_UPLOAD, EXPORT_BOT, STAGE_UPLOAD
from hivemind_common.contracts.prompts import (
    GET_PROMPT,
    LIST_PROMPTS,
    PIN_PROMPT,
    RESTORE_PROMPT,
    SAVE_PROMPT,
)
from hivemind_common.environment import Environment
from hivemind_common.health import Health
from hivemind_common.ops import listening, ops_site
from hivemind_common.runtime import Running, Service
from hivemind_common.telemetry import Metrics
from hivemind_gateway import (
    accounts,
    bots,
    chat,
    gaps,
    golden_questions,
    health,
    knowledge,
    manifests,
    openapi,
    prompts,
    reference,
    sessions,
)
from hivemind_gateway.bodies import Room
from hivemind_gateway.edge import Edge
from hivemind_gateway.identity import Identities
from hivemind_gateway.pages.rendering import Pages
from hivemind_gateway.paths import Paths
from hivemind_gateway.routing import Door, Route, mount

ROUTES: Final[tuple[Route, ...]] = tuple(
    row
    for module in (
        accounts,
        sessions,
        bots,
        prompts,
        golden_questions,
        manifests,
        gaps,
        knowledge,
        chat,
        health,
        reference,
    )
    for row in module.routes.rows
)
"""The table: every path, who may use it, and what it takes."""


@cache
def _document() -> bytes:
    """Return the OpenAPI document; made once, for it is the same as long as the code is."""
    return orjson.dumps(openapi.document(ROUTES))


@asynccontextmanager
async def open_gateway(environment: Environment) -> AsyncIterator[Running]:
    """Entered: ready to answer. Left: drained first, closed after."""
    metrics = Metrics("gateway")
    async with open_bus(environment.needed_nats_url, "gateway", metrics) as bus:
        door = Door(environment, bus, Identities(environment), _document(), Pages(), Room())
        application = web.Application()
        edge = Edge(environment, metrics, application.router, Paths((row.method, row.path) for row in ROUTES))
        mount(application.router, door, list(ROUTES))
        async with (
            ops_site(environment.ops_bind, metrics, Health(bus).causes) as ops_port,
            listening(
                application, environment.bind, variable="HIVEMIND_BIND", around=edge.around, refuse=edge.refuse
            ) as http_port,
        ):
            yield Running(ops_port, http_port)


GATEWAY = Service(
    "gateway",
    open_gateway,
    calls=(
        *health.ASKED,
        CHANGE_PASSWORD,
        GET_SETUP_STATE,
        IDENTIFY,
        LIST_SESSIONS,
        NOTE_SETUP_REFUSED,
        REGISTER_ADMIN,
        REVOKE_SESSION,
        SIGN_IN,
        SIGN_OUT,
        USE_BREAK_GLASS,
        CLONE_BOT,
        CREATE_BOT,
        EDIT_BOT,
        GET_BOT,
        LIST_BOTS,
        PAUSE_BOT,
        REMOVE_BOT,
        RESTORE_BOT,
        RESUME_BOT,
        ADD_GOLDEN_QUESTION,
        EDIT_GOLDEN_QUESTION,
        GET_GOLDEN_QUESTION,
        LIST_GOLDEN_QUESTIONS,
        REMOVE_GOLDEN_QUESTION,
        APPLY_UPLOAD,
        EXPORT_BOT,
        STAGE_UPLOAD,
        GET_PROMPT,
        LIST_PROMPTS,
        PIN_PROMPT,
        RESTORE_PROMPT,
        SAVE_PROMPT,
        LIST_TEMPLATES,
        RESOLVE_BOT,
        TAKE_TURN,
        ADD_SNIPPET,
        DISMISS_GAP,
        EDIT_SNIPPET,
        FILL_GAP,
        GET_GAP,
        GET_SNIPPET,
        LIST_GAPS,
        LIST_SNIPPETS,
        REMOVE_SNIPPET,
        REMOVE_TAGGED,
        SEARCH_SNIPPETS,
    ),
)
