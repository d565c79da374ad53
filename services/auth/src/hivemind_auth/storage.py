"""The SQL of accounts, sessions and keys, each statement on the connection that it is given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from hivemind_common.contracts.auth import Account, AlreadyRegisteredError, NewKey, SessionInfo
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


CLOSE_SESSION: Final = "DELETE FROM auth.session WHERE digest = $1 RETURNING id, account_id"

REMOVE_SESSION: Final = "DELETE FROM auth.session WHERE id = $1 AND account_id = $2 RETURNING true"

REMOVE_OTHER_SESSIONS: Final = "DELETE FROM auth.session WHERE account_id = $1 AND id IS DISTINCT FROM $2"

LIST_SESSIONS: Final = """
SELECT id, created_at, last_seen_at, expires_at, address, user_agent
  FROM auth.session
 WHERE account_id = $1 AND expires_at > $2 AND last_seen_at > $3 AND ($4::uuid IS NULL OR id < $4)
 ORDER BY id DESC
 LIMIT $5
"""

FIND_ACCOUNT: Final = """
SELECT id, username, email, role, password_hash, status = 'active' AS is_active FROM auth.account WHERE id = $1
"""

REPLACE_HASH: Final = """
UPDATE auth.account SET password_hash = $3 WHERE id = $1 AND password_hash = $2 AND status = 'active' RETURNING true
"""

# Lowered as it is where an account is looked for, so that no spelling of an address has tries of its own.
PAIR_OF: Final = "SELECT sha256(convert_to(lower($1) || E'\n' || $2, 'UTF8'))"

# A try is taken before the password is looked at, so that any number at once are no more than any number in a row. No
# row comes back when there is none left.
TAKE_TRY: Final = """
INSERT INTO auth.sign_in_tries AS known (pair, tries, last_try)
VALUES ($1, ARRAY[statement_timestamp()], statement_timestamp())
ON CONFLICT (pair) DO UPDATE
   SET tries = ARRAY(SELECT try FROM unnest(known.tries) AS try WHERE try > statement_timestamp() - $2::interval)
               || statement_timestamp(),
       last_try = statement_timestamp()
 WHERE (SELECT count(*) FROM unnest(known.tries) AS try WHERE try > statement_timestamp() - $2::interval) < $3
RETURNING cardinality(tries) AS taken,
          ceil(extract(epoch FROM tries[1] + $2::interval - statement_timestamp()))::integer AS reset_secs
"""

READ_WAIT: Final = """
SELECT ceil(extract(epoch FROM min(try) + $2::interval - statement_timestamp()))::integer
  FROM auth.sign_in_tries, unnest(tries) AS try
 WHERE pair = $1 AND try > statement_timestamp() - $2::interval
"""

FORGET_TRIES: Final = "DELETE FROM auth.sign_in_tries WHERE pair = $1"

# A few with each try that is taken, so that addresses made up by the thousand fill no disk; what another one is at is
# left to it.
PURGE_TRIES: Final = """
DELETE FROM auth.sign_in_tries
 WHERE pair IN (SELECT pair FROM auth.sign_in_tries
                 WHERE last_try < statement_timestamp() - $1::interval
                 ORDER BY last_try LIMIT 20 FOR UPDATE SKIP LOCKED)
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


@dataclass(frozen=True)
class TakenTry:
    """Whether a try was there to be taken, how many are left, and in how many seconds the next one comes back."""

    is_taken: bool
    left: int
    reset_secs: int


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
    return _stored(row) if row else None


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


def _stored(row: asyncpg.Record) -> StoredAccount:
    return StoredAccount(_account(row), row["password_hash"], row["is_active"])


def _account(row: asyncpg.Record) -> Account:
    return Account(id=AccountId(row["id"]), username=row["username"], email=row["email"], role=Role(row["role"]))


async def find_account(conn: Conn, account_id: AccountId) -> StoredAccount | None:
    """Read an account by its id."""
    row = await conn.fetchrow(FIND_ACCOUNT, account_id)
    return _stored(row) if row else None


async def set_password(conn: Conn, account_id: AccountId, before: str, after: str) -> bool:
    """Replace a password hash; false when it is not `before` any more, or the account is not active."""
    return bool(await conn.fetchval(REPLACE_HASH, account_id, before, after))


async def close_session(conn: Conn, digest: str) -> tuple[SessionId, AccountId] | None:
    """End the session of a digest; returns which one it was and whose."""
    row = await conn.fetchrow(CLOSE_SESSION, bytes.fromhex(digest))
    return (SessionId(row["id"]), AccountId(row["account_id"])) if row else None


async def remove_session(conn: Conn, session_id: SessionId, account_id: AccountId) -> bool:
    """End one session of an account; false when it has none of that id."""
    return bool(await conn.fetchval(REMOVE_SESSION, session_id, account_id))


async def remove_other_sessions(conn: Conn, account_id: AccountId, keep: SessionId | None) -> None:
    """End all sessions of an account but one."""
    await conn.execute(REMOVE_OTHER_SESSIONS, account_id, keep)


async def list_sessions(
    conn: Conn, account_id: AccountId, moment: datetime, idle: timedelta, after: SessionId | None, limit: int | None
) -> tuple[SessionInfo, ...]:
    """Read a page of the sessions of an account that may still be used, newest first: ids grow with time."""
    rows = await conn.fetch(LIST_SESSIONS, account_id, moment, moment - idle, after, limit)
    return tuple(SessionInfo.model_validate(dict(row)) for row in rows)


async def pair_of(conn: Conn, email: str, network: str) -> bytes:
    """Return the digest under which the tries for an e-mail address from a network are counted."""
    return bytes(await conn.fetchval(PAIR_OF, email, network))


async def take_try(conn: Conn, pair: bytes, window: timedelta, most: int) -> TakenTry:
    """Take one of a pair's tries, if there is one left; forget some that are old."""
    await conn.execute(PURGE_TRIES, window)
    row = await conn.fetchrow(TAKE_TRY, pair, window, most)
    if row is not None:
        return TakenTry(True, most - row["taken"], row["reset_secs"])
    return TakenTry(False, 0, max(1, await conn.fetchval(READ_WAIT, pair, window) or 1))


async def forget_tries(conn: Conn, pair: bytes) -> None:
    """Forget the tries of a pair that has signed in."""
    await conn.execute(FORGET_TRIES, pair)
