"""The auth service, from top to bottom: what it holds, what it is, what it offers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

from hivemind_auth.accounts import Accounts
from hivemind_auth.door_log import DoorLog
from hivemind_auth.floods import Floods
from hivemind_auth.passwords import Passwords
from hivemind_auth.sessions import SESSION_IDLE, Sessions
from hivemind_common.bus import open_bus
from hivemind_common.clock import system_clock
from hivemind_common.contracts.auth import (
    AUTH_HEALTH,
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
from hivemind_common.db import open_database
from hivemind_common.environment import Environment
from hivemind_common.health import Health
from hivemind_common.ids import new_id
from hivemind_common.ops import ops_site
from hivemind_common.runtime import Running, Service
from hivemind_common.telemetry import Metrics

POOL_SIZE = 8


@asynccontextmanager
async def open_auth(environment: Environment) -> AsyncIterator[Running]:
    """Entered: ready to answer. Left: drained first, closed after."""
    metrics = Metrics("auth")
    async with (
        open_database(environment.needed_database_url, "auth", size=POOL_SIZE) as database,
        open_bus(environment.needed_nats_url, "auth", metrics) as bus,
    ):
        with closing(Passwords()) as passwords:
            floods = Floods(system_clock)
            accounts = Accounts(database, passwords, session_idle=SESSION_IDLE, clock=system_clock, new_id=new_id)
            sessions = Sessions(database, passwords, floods, clock=system_clock, new_id=new_id)
            door_log = DoorLog(database, floods)
            health = Health(bus, database)
            async with (
                bus.serving(GET_SETUP_STATE, accounts.setup_state),
                bus.serving(REGISTER_ADMIN, accounts.register_admin),
                bus.serving(SIGN_IN, sessions.sign_in),
                bus.serving(SIGN_OUT, sessions.sign_out),
                bus.serving(LIST_SESSIONS, sessions.list_page),
                bus.serving(REVOKE_SESSION, sessions.revoke),
                bus.serving(CHANGE_PASSWORD, sessions.change_password),
                bus.serving(IDENTIFY, accounts.identify),
                bus.serving(USE_BREAK_GLASS, door_log.use_break_glass),
                bus.serving(NOTE_SETUP_REFUSED, door_log.note_setup_refused),
                bus.serving(AUTH_HEALTH, health.tell),
                ops_site(environment.ops_bind, metrics, health.causes) as ops_port,
            ):
                yield Running(ops_port)


AUTH = Service(
    "auth",
    open_auth,
    schema="auth",
    serves=(
        GET_SETUP_STATE,
        REGISTER_ADMIN,
        SIGN_IN,
        SIGN_OUT,
        LIST_SESSIONS,
        REVOKE_SESSION,
        CHANGE_PASSWORD,
        IDENTIFY,
        USE_BREAK_GLASS,
        NOTE_SETUP_REFUSED,
        AUTH_HEALTH,
    ),
)
