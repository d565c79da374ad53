"""Brings a database up to the migrations of this code, or says in one line why that cannot be.

A migration is a file `schema/<owner>/NNNN_{pre|post}_what.sql`: plain SQL, one intent, never edited once it is out.
Each runs in a transaction of its own, together with the row that records it, under one advisory lock; so a crash
leaves a migration either done or not begun, and of two starters one waits for the other.

A pre migration is safe under the last release's code, so it may run while that still does. A post migration takes away
what only old code needs: it runs when none is left. Whoever replaces all code at once runs both in one go; else pre,
then the new services, then post. That no old code is left is known from the caller, who chose the phase, and seen in
the sessions of the services' roles, which tell their version: one of another version is named and nothing is taken away.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from importlib.resources import files
from typing import Final

import asyncpg
from pydantic import SecretStr

from hivemind_common.version import VERSION

OWNERS: Final = ("meta", "audit", "auth", "bots", "knowledge")
"""The schemas, in the order in which their migrations may lean on one another."""

LOGIN_ROLES: Final = tuple(f"hivemind_{owner}" for owner in OWNERS if owner not in {"meta", "audit"})
"""The role that each owner's service logs in with; `meta` belongs to the runner alone, and `audit` is written by all."""

OLDEST_CODE: Final = 1
"""The schema version of the oldest code that may run once all of today's migrations are done; a post raises it."""

OLDEST_POSTGRES: Final = 15

_LOCK: Final = 0x48_6D_73_63  # "Hmsc"
_GOOD_ADDRESS: Final = "postgresql://hivemind:…@host:5432/hivemind, and no variable PG… that is meant for another"
_NAME = re.compile(r"([0-9]{4})_(pre|post)_([a-z0-9_]+)\.sql")


class Phase(StrEnum):
    """Which migrations may run now."""

    ALL = "all"
    """No code of an older version runs: everything."""
    PRE = "pre"
    """Code of the last version still runs: only what is safe under it."""
    POST = "post"
    """Code of the last version is gone, and every pre migration is done: the rest."""


class SchemaError(Exception):
    """The database cannot be brought up to this code. One line says why, `hint` how it is cured."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Migration:
    """One file."""

    owner: str
    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> bytes:
        """SHA-256 of the text, so that an edited old file is noticed."""
        return hashlib.sha256(self.sql.encode()).digest()

    @property
    def is_post(self) -> bool:
        """Whether it has to wait until no old code is left."""
        return self.name.split("_")[1] == "post"

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"


@dataclass(frozen=True)
class Migrated:
    """What was done."""

    applied: tuple[str, ...]
    schema_version: int


def migrations() -> tuple[Migration, ...]:
    """Return all migrations of this code in the order in which they run."""
    found = []
    for owner in OWNERS:
        names = sorted(entry.name for entry in (files("hivemind_common.schema") / owner).iterdir())
        for expected, name in enumerate((name for name in names if name.endswith(".sql")), start=1):
            form = _NAME.fullmatch(name)
            if form is None or int(form[1]) != expected:
                raise RuntimeError(f"{owner}/{name}: a migration is called NNNN_pre_what.sql, without gaps")
            sql = (files("hivemind_common.schema") / owner / name).read_text(encoding="utf-8")
            found.append(Migration(owner, expected, name, sql))
    return tuple(found)


async def migrate(
    database_url: SecretStr,
    passwords: Mapping[str, SecretStr],
    *,
    phase: Phase = Phase.ALL,
    ours: Sequence[Migration] | None = None,
    patience: timedelta = timedelta(minutes=2),
) -> Migrated:
    """Make schemas and login roles, set the roles' passwords, and apply what is missing.

    `database_url` logs in as the owner, `hivemind`; `patience` is for another migration that runs just now. Raises
    `SchemaError`; `OSError` when the database is away.
    """
    ours = migrations() if ours is None else tuple(ours)
    try:
        connection = await asyncpg.connect(database_url.get_secret_value(), timeout=10, command_timeout=600)
    except asyncpg.PostgresError as fault:
        raise SchemaError(f"the database lets nobody in: {fault}") from fault
    except (asyncpg.InterfaceError, asyncpg.InternalClientError) as fault:
        # What the URL or a variable of libpq asks for cannot be done; the words are asyncpg's, and show no password.
        raise SchemaError(f"the database cannot be reached as its address asks: {fault}", _GOOD_ADDRESS) from fault
    except ValueError as fault:
        # What Python says of a URL may show any part of it.
        raise SchemaError("the address of the database cannot be read", _GOOD_ADDRESS) from fault
    try:
        found = connection.get_server_version()
        if found.major < OLDEST_POSTGRES:
            raise SchemaError(f"this is Postgres {found.major}, and {OLDEST_POSTGRES} is the oldest that will do")
        await _take_lock(connection, patience)
        applied = await _read_applied(connection)
        await _judge(connection, applied, ours)
        missing = [each for each in ours if (each.owner, each.number) not in applied]
        chosen = _choose(missing, phase)
        if applied and any(migration.is_post for migration in chosen):
            await _refuse_old_code(connection)
        await _make_roles(connection, passwords)
        for migration in chosen:
            await _apply(connection, migration)
        await _record_state(connection, len(ours), is_complete=len(chosen) == len(missing))
        return Migrated(tuple(str(migration) for migration in chosen), len(ours))
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as fault:
        cure = "log in as the role hivemind" if isinstance(fault, asyncpg.InsufficientPrivilegeError) else ""
        raise SchemaError(f"the database cannot be migrated: {fault}", cure) from fault
    finally:
        await _leave(connection)


async def _leave(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Close the connection, and with it the lock; one that is broken must not hide what broke it."""
    try:
        await connection.close(timeout=5)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()


async def _take_lock(connection: asyncpg.Connection[asyncpg.Record], patience: timedelta) -> None:
    await connection.execute(f"SET lock_timeout = {int(patience.total_seconds() * 1000)}")
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
    except asyncpg.LockNotAvailableError as fault:
        raise SchemaError(
            f"another migration has held the lock for {patience.total_seconds():g} s",
            "wait for it to end, or end it, then start again",
        ) from fault
    # A migration that waits for a table makes everybody wait who comes after it, so it gives up early.
    await connection.execute("SET lock_timeout = '10s'")


async def _read_applied(connection: asyncpg.Connection[asyncpg.Record]) -> dict[tuple[str, int], asyncpg.Record]:
    if await connection.fetchval("SELECT to_regclass('meta.migration')") is None:
        return {}
    rows = await connection.fetch("SELECT owner, number, name, checksum FROM meta.migration ORDER BY owner, number")
    return {(row["owner"], row["number"]): row for row in rows}


async def _judge(
    connection: asyncpg.Connection[asyncpg.Record],
    applied: Mapping[tuple[str, int], asyncpg.Record],
    ours: Sequence[Migration],
) -> None:
    if not applied:
        return
    known = {(migration.owner, migration.number): migration for migration in ours}
    for place, row in applied.items():
        migration = known.get(place)
        if migration is not None and migration.checksum != row["checksum"]:
            raise SchemaError(
                f"the migration {migration} was edited after it had been applied to this database",
                "restore the file as it was and write a new migration",
            )
        owner, number = place
        if number > 1 and (owner, number - 1) not in applied:
            raise SchemaError(
                f"the database has the migration {owner}/{row['name']} without the one before it",
                "restore a backup: somebody has changed meta.migration by hand",
            )
    state = await connection.fetchrow("SELECT schema_version, oldest_code FROM meta.state")
    if state is not None and state["oldest_code"] > len(ours):
        raise SchemaError(
            "the database was written by a newer version:"
            f" it wants code of schema {state['oldest_code']} or later, and this code is of schema {len(ours)}",
            "run the newer version, or restore a backup of this one",
        )


def _choose(missing: Sequence[Migration], phase: Phase) -> Sequence[Migration]:
    """Return those of the missing ones that may run in this phase, or refuse where that would change their order."""
    if phase is Phase.ALL:
        return missing
    waiting: dict[str, Migration] = {}
    for migration in missing:
        if migration.is_post:
            waiting.setdefault(migration.owner, migration)
        elif phase is Phase.POST:
            raise SchemaError(
                f"the migration {migration} has to run before the services", "run: hivemind migrate --pre"
            )
        elif migration.owner in waiting:
            raise SchemaError(
                f"the migration {migration} comes after {waiting[migration.owner]}, which old code would not survive",
                "stop the services of the old version, then run: hivemind migrate",
            )
    return [migration for migration in missing if migration.is_post == (phase is Phase.POST)]


async def _refuse_old_code(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    # Where the owner is no superuser it cannot read the names, and a session that tells nothing may be an old one.
    names = await connection.fetch(
        """
        SELECT DISTINCT coalesce(application_name, usename) AS name
          FROM pg_stat_activity
         WHERE datname = current_database()
           AND usename = ANY($1::text[])
           AND split_part(application_name, ' ', 2) IS DISTINCT FROM $2
         ORDER BY name
        """,
        LOGIN_ROLES,
        VERSION,
    )
    if names:
        raise SchemaError(
            f"services of another version still use the database: {', '.join(row['name'] for row in names)}",
            "stop them, then run the migration again",
        )


async def _make_roles(connection: asyncpg.Connection[asyncpg.Record], passwords: Mapping[str, SecretStr]) -> None:
    for role in LOGIN_ROLES:
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role):
            await connection.execute(f"CREATE ROLE {role} LOGIN")
        if role in passwords:
            literal = await connection.fetchval("SELECT quote_literal($1)", passwords[role].get_secret_value())
            await connection.execute(f"ALTER ROLE {role} PASSWORD {literal}")
    for owner in OWNERS:
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {owner}")


async def _apply(connection: asyncpg.Connection[asyncpg.Record], migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO meta.migration (owner, number, name, checksum) VALUES ($1, $2, $3, $4)",
                migration.owner,
                migration.number,
                migration.name,
                migration.checksum,
            )
    except asyncpg.PostgresError as fault:
        raise SchemaError(f"the migration {migration} failed: {fault}") from fault


async def _record_state(connection: asyncpg.Connection[asyncpg.Record], version: int, *, is_complete: bool) -> None:
    # A database that is ahead of this code, and allows it, keeps its numbers; so does one that waits for a post migration.
    await connection.execute(
        """
        INSERT INTO meta.state (schema_version, oldest_code) VALUES ($1, $2)
        ON CONFLICT (singleton) DO UPDATE
           SET schema_version = greatest(state.schema_version, excluded.schema_version),
               oldest_code = greatest(state.oldest_code, CASE WHEN $3 THEN excluded.oldest_code ELSE 0 END)
        """,
        version,
        OLDEST_CODE,
        is_complete,
    )
