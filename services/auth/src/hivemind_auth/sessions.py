"""Sessions: signing in and out, which ones there are, and the password that opens them."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from hivemind_auth import storage
from hivemind_auth.floods import Floods
from hivemind_auth.passwords import Passwords
from hivemind_auth.principals import principal_of
from hivemind_auth.tries import take_try
from hivemind_common import audit
from hivemind_common.bus import Call
from hivemind_common.clock import Clock
from hivemind_common.contracts.auth import (
    AccountDisabledError,
    ChangePassword,
    CloseSession,
    InvalidCredentialsError,
    ListSessions,
    SessionNotFoundError,
    SessionOf,
    SessionsFound,
    SignedIn,
    SignIn,
)
from hivemind_common.contracts.kinds import Nothing
from hivemind_common.db import Database
from hivemind_common.ids import IdMaker, SessionId
from hivemind_common.principal import PrincipalKind
from hivemind_common.telemetry import get_logger

SESSION_LIFE: Final = timedelta(days=7)
SESSION_IDLE: Final = timedelta(hours=12)

log = get_logger()


class Sessions:
    """Opens and ends them. Only digests of their tokens are known here."""

    def __init__(
        self, database: Database, passwords: Passwords, floods: Floods, *, clock: Clock, new_id: IdMaker
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._floods = floods
        self._clock = clock
        self._new_id = new_id

    async def sign_in(self, call: Call, request: SignIn) -> SignedIn:
        """Check a password and open a session; an unknown address costs the same and says the same."""
        with self._passwords.line() as hashing:
            this_try = await take_try(self._database, request.email, call.address)
            async with self._database.connection() as conn:
                found = await storage.find_by_email(conn, request.email)
            matches = await hashing.verify(found.password_hash if found else None, request.password_digest)
            if found is None or not matches or not found.is_active:
                log.info("auth.sign_in_failed")
                await self._record_refusal(call, found, matches=matches)
                raise InvalidCredentialsError(facts=this_try.facts)
            moment = self._clock()
            async with self._database.transaction() as conn:
                await this_try.was_right(conn)
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
                by = call.under(principal_of(PrincipalKind.USER, found.account))
                await audit.record(conn, by, "session.opened", target=session_id)
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

    async def sign_out(self, call: Call, request: CloseSession) -> Nothing:
        """End the session of a token; without one there is nothing to do."""
        async with self._database.transaction() as conn:
            closed = await storage.close_session(conn, request.token_digest)
            if closed is not None:
                session_id, account_id = closed
                account = await storage.find_account(conn, account_id)
                by = call.under(principal_of(PrincipalKind.USER, account.account)) if account is not None else call
                await audit.record(conn, by, "session.closed", target=session_id)
        return Nothing()

    async def list_page(self, call: Call, request: ListSessions) -> SessionsFound:
        """Show the asker's sessions, a page at a time."""
        account_id = call.principal.id  # the break-glass key has none
        if account_id is None:
            return SessionsFound(items=())
        limit = request.limit
        async with self._database.connection() as conn:
            # One more than asked for tells whether another page follows.
            found = await storage.list_sessions(
                conn, account_id, self._clock(), SESSION_IDLE, request.after, limit + 1 if limit is not None else None
            )
        return SessionsFound(items=found[:limit], more=limit is not None and len(found) > limit)

    async def revoke(self, call: Call, request: SessionOf) -> Nothing:
        """End one of the asker's sessions; raises `SessionNotFoundError`."""
        account_id = call.principal.id  # the break-glass key has none
        if account_id is None:
            raise SessionNotFoundError
        async with self._database.transaction() as conn:
            if not await storage.remove_session(conn, request.session_id, account_id):
                raise SessionNotFoundError
            await audit.record(conn, call, "session.revoked", target=request.session_id)
        return Nothing()

    async def change_password(self, call: Call, request: ChangePassword) -> Nothing:
        """Set a new password when the current one is right; every other session of the account ends."""
        account_id = call.principal.id  # the break-glass key has none
        if account_id is None:
            raise InvalidCredentialsError
        async with self._database.connection() as conn:
            found = await storage.find_account(conn, account_id)
        if found is None or not found.is_active:
            raise AccountDisabledError
        with self._passwords.line() as hashing:
            this_try = await take_try(self._database, found.account.email, call.address)
            if not await hashing.verify(found.password_hash, request.current_digest):
                raise InvalidCredentialsError(facts=this_try.facts)
            changed = await hashing.hash(request.new_digest)
            async with self._database.transaction() as conn:
                await this_try.was_right(conn)
                # Of two changes at once the second finds that the current password is another one.
                if not await storage.set_password(conn, account_id, found.password_hash or "", changed):
                    raise InvalidCredentialsError
                await storage.remove_other_sessions(conn, account_id, request.keep)
                await audit.record(conn, call, "password.changed", target=account_id)
        log.info("auth.password_changed", account=str(account_id))
        return Nothing()
