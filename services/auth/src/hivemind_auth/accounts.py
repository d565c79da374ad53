"""Accounts: the first admin, signing in, and whose credential it is."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

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
        matches = await self._passwords.verify(found.password_hash if found else None, request.password_digest)
        if found is None or not matches:
            log.info("auth.sign_in_failed")
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
                session = await storage.find_by_session(conn, request.digest, moment, SESSION_IDLE)
                if session is None:
                    raise CredentialRefusedError
                if session.seen_at < moment - TOUCH_EVERY:
                    await storage.touch_session(conn, session.id, moment)
                return Identity(
                    principal=_principal(PrincipalKind.USER, session.account, scopes=None),
                    email=session.account.email,
                    session_id=session.id,
                )
            key = await storage.find_by_key(conn, request.digest, moment)
            if key is None:
                raise CredentialRefusedError
            if key.used_at is None or key.used_at < moment - TOUCH_EVERY:
                await storage.touch_key(conn, key.id, moment)
            return Identity(principal=_principal(PrincipalKind.KEY, key.account, key.scopes), email=key.account.email)


def _principal(kind: PrincipalKind, account: Account, scopes: tuple[str, ...] | None) -> Principal:
    """Return who asks; it has what the list of its scopes and the account's role have in common, so a demotion reaches keys."""
    held: tuple[str, ...] = ALL_SCOPES if account.role is Role.ADMIN else USER_SCOPES
    if scopes is not None:
        held = tuple(scope for scope in held if scope in scopes)
    return Principal(kind=kind, id=account.id, name=account.username, role=account.role, scopes=held)
