"""Accounts: the first admin, signing in, and whose credential it is."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from hivemind_auth import storage
from hivemind_auth.floods import Floods
from hivemind_auth.passwords import Passwords
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

    def __init__(
        self, database: Database, passwords: Passwords, floods: Floods, *, clock: Clock, new_id: IdMaker
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._floods = floods
        self._clock = clock
        self._new_id = new_id

    async def setup_state(self, _call: Call, _question: Nothing) -> SetupState:
        """Tell whether the first admin is there."""
        async with self._database.connection() as conn:
            return SetupState(has_admin=await storage.has_admin(conn))

    async def register_admin(self, call: Call, request: RegisterAdmin) -> Account:
        """Make the first admin; of any number of racers exactly one succeeds."""
        async with self._database.connection() as conn:
            # Looked at first only to spare the hashing: the seat's key decides.
            if await storage.has_admin(conn):
                raise AlreadyRegisteredError
        password_hash = await self._passwords.hash(request.password_digest)
        account = Account(id=AccountId(self._new_id()), username=request.username, email=request.email, role=Role.ADMIN)
        async with self._database.transaction() as conn:
            await storage.add_first_admin(conn, account, password_hash, request.key, self._clock())
            details = {"username": account.username, "role": account.role, "key_id": request.key.id}
            await audit.record(conn, _by(call, account), "account.registered", target=account.id, details=details)
        log.info("auth.admin_registered", account=str(account.id))
        return account

    async def sign_in(self, call: Call, request: SignIn) -> SignedIn:
        """Check a password and open a session; an unknown address costs the same and says the same."""
        async with self._database.connection() as conn:
            found = await storage.find_by_email(conn, request.email)
        matches = await self._passwords.verify(found.password_hash if found else None, request.password_digest)
        if found is None or not matches or not found.is_active:
            log.info("auth.sign_in_failed")
            await self._record_refusal(call, found, matches=matches)
            raise InvalidCredentialsError
        moment = self._clock()
        async with self._database.transaction() as conn:
            await storage.purge_sessions(conn, moment, SESSION_IDLE)
            session_id = SessionId(self._new_id())
            await storage.add_session(
                conn,
                session_id,
                found.account.id,
                request.token_digest,
                moment,
                moment + SESSION_LIFE,
                request.address,
                request.user_agent,
            )
            await audit.record(conn, _by(call, found.account), "session.opened", target=session_id)
        log.info("auth.signed_in", account=str(found.account.id))
        return SignedIn(account=found.account, expires_at=moment + SESSION_LIFE)

    async def _record_refusal(self, call: Call, found: storage.StoredAccount | None, *, matches: bool) -> None:
        # What was typed is not kept when nobody has that address: it may be a password in the wrong field.
        left_out = self._floods.admit(f"sign-in {call.address}")
        if left_out is None:
            return
        reason = "unknown_address" if found is None else "not_active" if matches else "wrong_password"
        async with self._database.connection() as conn:
            await audit.record(
                conn,
                call,
                "session.opened",
                target=found.account.id if found is not None else "",
                outcome=audit.Outcome.REFUSED,
                details={"reason": reason, "left_out": left_out},
            )

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


def _by(call: Call, account: Account) -> Call:
    """Return the call under the account that it turned out to be."""
    return call.under(_principal(PrincipalKind.USER, account, scopes=None))


def _principal(kind: PrincipalKind, account: Account, scopes: tuple[str, ...] | None) -> Principal:
    """Return who asks; it has what the list of its scopes and the account's role have in common, so a demotion reaches keys."""
    held: tuple[str, ...] = ALL_SCOPES if account.role is Role.ADMIN else USER_SCOPES
    if scopes is not None:
        held = tuple(scope for scope in held if scope in scopes)
    return Principal(kind=kind, id=account.id, name=account.username, role=account.role, scopes=held)
