"""The SQL of accounts, sessions and keys, each statement on the connection that it is given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from hivemind_common.contracts.auth import Account, AlreadyRegisteredError, NewKey
from hivemind_common.db import Conn, refusing
from hivemind_common.ids import AccountId, KeyId, SessionId
from hivemind_common.principal import Role

HAS_ADMIN: Final = "SELECT auth.has_admin()"

ADD_ACCOUNT: Final = """
INSERT INTO auth.account (id, username, email, role, password_hash, created_at)
VALUES ($1, $2, $3, $4, $5, $6)
"""

TAKE_FIRST_SEAT: Final = "INSERT INTO auth.first_admin (account_id, created_at) VALUES ($1, $2)"

ADD_KEY: Final = """
INSERT INTO auth.api_key (id, account_id, digest, prefix, name, created_at) VALUES ($1, $2, $3, $4, $5, $6)
"""

FIND_BY_EMAIL: Final = """
SELECT id, username, email, role, password_hash, status = 'active' AS is_active
  FROM auth.account WHERE lower(email) = lower($1)
"""

ADD_SESSION: Final = """
INSERT INTO auth.session (id, account_id, digest, created_at, last_seen_at, expires_at, address, user_agent)
VALUES ($1, $2, $3, $4, $4, $5, $6, $7)
"""

PURGE_SESSIONS: Final = "DELETE FROM auth.session WHERE expires_at < $1 OR last_seen_at < $2"

FIND_BY_SESSION: Final = """
SELECT account.id, account.username, account.email, account.role, session.id AS session_id, session.last_seen_at
  FROM auth.session JOIN auth.account ON account.id = session.account_id
 WHERE session.digest = $1 AND session.expires_at > $2 AND session.last_seen_at > $3 AND account.status = 'active'
"""

FIND_BY_KEY: Final = """
SELECT account.id, account.username, account.email, account.role, api_key.id AS key_id, api_key.scopes,
       api_key.last_used_at
  FROM auth.api_key JOIN auth.account ON account.id = api_key.account_id
 WHERE api_key.digest = $1 AND api_key.revoked_at IS NULL AND (api_key.expires_at IS NULL OR api_key.expires_at > $2)
   AND account.status = 'active'
"""

TOUCH_SESSION: Final = "UPDATE auth.session SET last_seen_at = $2 WHERE id = $1 AND last_seen_at < $2"
TOUCH_KEY: Final = """
UPDATE auth.api_key SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)
"""


@dataclass(frozen=True)
class StoredAccount:
    """An account with what only this service may read."""

    account: Account
    password_hash: str | None
    is_active: bool


@dataclass(frozen=True)
class StoredSession:
    """A session that may be used, with the living account that it belongs to."""

    id: SessionId
    account: Account
    seen_at: datetime


@dataclass(frozen=True)
class StoredKey:
    """A key that may be used, with the living account that it belongs to."""

    id: KeyId
    account: Account
    scopes: tuple[str, ...] | None
    """None: all that the role of the account may."""
    used_at: datetime | None


async def has_admin(conn: Conn) -> bool:
    """Whether the first admin is there."""
    return bool(await conn.fetchval(HAS_ADMIN))


async def add_first_admin(conn: Conn, account: Account, password_hash: str, key: NewKey, moment: datetime) -> None:
    """Insert account, seat and key; raises `AlreadyRegisteredError`. Wants a transaction: all or nothing."""
    taken = {
        "first_admin_pkey": AlreadyRegisteredError,
        "account_username": AlreadyRegisteredError,
        "account_email": AlreadyRegisteredError,
    }
    with refusing(taken):
        await conn.execute(
            ADD_ACCOUNT, account.id, account.username, account.email, account.role, password_hash, moment
        )
        await conn.execute(TAKE_FIRST_SEAT, account.id, moment)
    await conn.execute(ADD_KEY, key.id, account.id, bytes.fromhex(key.digest), key.prefix, "bootstrap", moment)


async def find_by_email(conn: Conn, email: str) -> StoredAccount | None:
    """Read the account of an address, whatever its letters' case, and whether it may sign in at all."""
    row = await conn.fetchrow(FIND_BY_EMAIL, email)
    return StoredAccount(_account(row), row["password_hash"], row["is_active"]) if row else None


async def add_session(
    conn: Conn,
    session_id: SessionId,
    account_id: AccountId,
    digest: str,
    moment: datetime,
    expires_at: datetime,
    address: str,
    user_agent: str,
) -> None:
    """Open a session."""
    await conn.execute(
        ADD_SESSION, session_id, account_id, bytes.fromhex(digest), moment, expires_at, address, user_agent
    )


async def purge_sessions(conn: Conn, moment: datetime, idle: timedelta) -> None:
    """Forget the sessions that nobody can use any more."""
    await conn.execute(PURGE_SESSIONS, moment, moment - idle)


async def find_by_session(conn: Conn, digest: str, moment: datetime, idle: timedelta) -> StoredSession | None:
    """Read the session of a digest, if it may still be used."""
    row = await conn.fetchrow(FIND_BY_SESSION, bytes.fromhex(digest), moment, moment - idle)
    return StoredSession(SessionId(row["session_id"]), _account(row), row["last_seen_at"]) if row else None


async def touch_session(conn: Conn, session_id: SessionId, moment: datetime) -> None:
    """Note that a session was used."""
    await conn.execute(TOUCH_SESSION, session_id, moment)


async def find_by_key(conn: Conn, digest: str, moment: datetime) -> StoredKey | None:
    """Read the key of a digest, if it may still be used."""
    row = await conn.fetchrow(FIND_BY_KEY, bytes.fromhex(digest), moment)
    if row is None:
        return None
    scopes = tuple(row["scopes"]) if row["scopes"] is not None else None
    return StoredKey(KeyId(row["key_id"]), _account(row), scopes, row["last_used_at"])


async def touch_key(conn: Conn, key_id: KeyId, moment: datetime) -> None:
    """Note that a key was used."""
    await conn.execute(TOUCH_KEY, key_id, moment)


def _account(row: asyncpg.Record) -> Account:
    return Account(id=AccountId(row["id"]), username=row["username"], email=row["email"], role=Role(row["role"]))
