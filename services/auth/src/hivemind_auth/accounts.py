"""Accounts: the first admin, signing in, and whose credential it is."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import asyncpg

from hivemind_auth import storage
from hivemind_auth.passwords import Passwords
from hivemind_common.bus import Call
from hivemind_common.clock import Clock
from hivemind_common.contracts.auth import (
    Account,
    AlreadyRegisteredError,
    CredentialKind,
    CredentialRefusedError,
    Identify,
    Identity,
    InvalidCredentialsError,
    RegisterAdmin,
    SetupState,
    SignedIn,
    SignIn,
)
from hivemind_common.contracts.kinds import Nothing
from hivemind_common.db import Database
from hivemind_common.ids import AccountId, IdMaker, SessionId
from hivemind_common.principal import ALL_SCOPES, USER_SCOPES, Principal, PrincipalKind, Role
from hivemind_common.telemetry import get_logger

SESSION_LIFE: Final = timedelta(days=7)
SESSION_IDLE: Final = timedelta(hours=12)
TOUCH_EVERY: Final = timedelta(minutes=1)
"""How exact `last seen` is: a write for each request would cost more than the request."""

log = get_logger()


class Accounts:
    """Who is who."""

    def __init__(self, database: Database, passwords: Passwords, *, clock: Clock, new_id: IdMaker) -> None:
        self._database = database
        self._passwords = passwords
        self._clock = clock
        self._new_id = new_id

    async def setup_state(self, _call: Call, _question: Nothing) -> SetupState:
        """Tell whether the first admin is there."""
        async with self._database.connection() as conn:
            return SetupState(has_admin=await storage.has_admin(conn))

    async def register_admin(self, _call: Call, request: RegisterAdmin) -> Account:
        """Make the first admin; of any number of racers exactly one succeeds."""
        async with self._database.connection() as conn:
            # Looked at first only to spare the hashing: the seat's key decides.
            if await storage.has_admin(conn):
                raise AlreadyRegisteredError
        password_hash = await self._passwords.hash(request.password_digest)
        account = Account(id=AccountId(self._new_id()), username=request.username, email=request.email, role=Role.ADMIN)
        async with self._database.transaction() as conn:
            await storage.add_first_admin(conn, account, password_hash, request.key, self._clock())
        log.info("auth.admin_registered", account=str(account.id))
        return account

    async def sign_in(self, _call: Call, request: SignIn) -> SignedIn:
        """Check a password and open a session; an unknown address costs the same and says the same."""
        async with self._database.connection() as conn:
            found = await storage.find_by_email(conn, request.email)
        if not await self._passwords.verify(found.password_hash if found else None, request.password_digest):
            log.info("auth.sign_in_failed")
            raise InvalidCredentialsError
        if found is None:
            raise InvalidCredentialsError
        moment = self._clock()
        async with self._database.transaction() as conn:
            await storage.purge_sessions(conn, moment, SESSION_IDLE)
            await storage.add_session(
                conn,
                SessionId(self._new_id()),
                found.account.id,
                request.token_digest,
                moment,
                moment + SESSION_LIFE,
                request.address,
                request.user_agent,
            )
        log.info("auth.signed_in", account=str(found.account.id))
        return SignedIn(account=found.account, expires_at=moment + SESSION_LIFE)

    async def identify(self, _call: Call, request: Identify) -> Identity:
        """Tell whose credential it is; raises `CredentialRefusedError`."""
        moment = self._clock()
        async with self._database.connection() as conn:
            if request.kind is CredentialKind.SESSION:
                row = await storage.find_by_session(conn, request.digest, moment, SESSION_IDLE)
                if row is not None and row["last_seen_at"] < moment - TOUCH_EVERY:
                    await conn.execute(storage.TOUCH_SESSION, row["session_id"], moment)
            else:
                row = await storage.find_by_key(conn, request.digest, moment)
                if row is not None and _is_older(row["last_used_at"], moment - TOUCH_EVERY):
                    await conn.execute(storage.TOUCH_KEY, row["key_id"], moment)
        if row is None:
            raise CredentialRefusedError
        return _identity(row, request.kind)


def _is_older(seen: datetime | None, moment: datetime) -> bool:
    return seen is None or seen < moment


def _identity(row: asyncpg.Record, kind: CredentialKind) -> Identity:
    role = Role(row["role"])
    scopes: tuple[str, ...] = ALL_SCOPES if role is Role.ADMIN else USER_SCOPES
    session_id = None
    if kind is CredentialKind.SESSION:
        session_id = SessionId(row["session_id"])
    elif row["scopes"] is not None:
        # A key has what its own list and its owner's role have in common, so a demotion reaches the keys too.
        scopes = tuple(scope for scope in scopes if scope in row["scopes"])
    principal = Principal(
        kind=PrincipalKind.USER if kind is CredentialKind.SESSION else PrincipalKind.KEY,
        id=AccountId(row["id"]),
        name=row["username"],
        role=role,
        scopes=scopes,
    )
    return Identity(principal=principal, email=row["email"], session_id=session_id)
