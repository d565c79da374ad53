"""Accounts: the first admin, and whose credential it is."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from hivemind_auth import storage
from hivemind_auth.passwords import Passwords
from hivemind_auth.principals import principal_of
from hivemind_common import audit
from hivemind_common.bus import Call
from hivemind_common.clock import Clock
from hivemind_common.contracts.auth import (
    Account,
    AlreadyRegisteredError,
    CredentialKind,
    CredentialRefusedError,
    Identify,
    Identity,
    RegisterAdmin,
    SetupState,
)
from hivemind_common.contracts.kinds import Nothing
from hivemind_common.db import Database
from hivemind_common.ids import AccountId, IdMaker
from hivemind_common.principal import PrincipalKind, Role
from hivemind_common.telemetry import get_logger

TOUCH_EVERY: Final = timedelta(minutes=1)
"""How exact `last seen` is: a write for each request would cost more than the request."""

log = get_logger()


class Accounts:
    """Who is who."""

    def __init__(
        self, database: Database, passwords: Passwords, *, session_idle: timedelta, clock: Clock, new_id: IdMaker
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._session_idle = session_idle
        # One after the other: who waits here costs nothing, and finds the seat taken.
        self._registering = asyncio.Lock()
        self._clock = clock
        self._new_id = new_id

    async def setup_state(self, _call: Call, _question: Nothing) -> SetupState:
        """Tell whether the first admin is there."""
        async with self._database.connection() as conn:
            return SetupState(has_admin=await storage.has_admin(conn))

    async def register_admin(self, call: Call, request: RegisterAdmin) -> Account:
        """Make the first admin; of any number of racers exactly one succeeds."""
        async with self._registering:
            return await self._register_admin(call, request)

    async def _register_admin(self, call: Call, request: RegisterAdmin) -> Account:
        async with self._database.connection() as conn:
            # Looked at first only to spare the hashing: the seat's key decides.
            if await storage.has_admin(conn):
                raise AlreadyRegisteredError
        with self._passwords.line() as hashing:
            password_hash = await hashing.hash(request.password_digest)
        account = Account(id=AccountId(self._new_id()), username=request.username, email=request.email, role=Role.ADMIN)
        async with self._database.transaction() as conn:
            await storage.add_first_admin(conn, account, password_hash, request.key, self._clock())
            details = {"username": account.username, "role": account.role, "key_id": request.key.id}
            await audit.record(
                conn,
                call.under(principal_of(PrincipalKind.USER, account)),
                "account.registered",
                target=account.id,
                details=details,
            )
        log.info("auth.admin_registered", account=str(account.id))
        return account

    async def identify(self, _call: Call, request: Identify) -> Identity:
        """Tell whose credential it is; raises `CredentialRefusedError`."""
        moment = self._clock()
        async with self._database.connection() as conn:
            if request.kind is CredentialKind.SESSION:
                session = await storage.find_by_session(conn, request.digest, moment, self._session_idle)
                if session is None:
                    raise CredentialRefusedError
                if session.seen_at < moment - TOUCH_EVERY:
                    await storage.touch_session(conn, session.id, moment)
                return Identity(
                    principal=principal_of(PrincipalKind.USER, session.account),
                    email=session.account.email,
                    session_id=session.id,
                )
            key = await storage.find_by_key(conn, request.digest, moment)
            if key is None:
                raise CredentialRefusedError
            if key.used_at is None or key.used_at < moment - TOUCH_EVERY:
                await storage.touch_key(conn, key.id, moment)
            return Identity(principal=principal_of(PrincipalKind.KEY, key.account, key.scopes), email=key.account.email)
