"""Brings a database up to the migrations of this code, or says in one line why that cannot be.

A migration is a file `schema/<owner>/NNNN_{pre|post}_what.sql`: plain SQL, one intent, never edited once it is out.
Each runs in a transaction of its own, together with the row that records it, under one advisory lock; so a crash
leaves a migration either done or not begun, and of two starters one waits for the other.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

import asyncpg
from pydantic import SecretStr

OWNERS: Final = ("meta", "audit", "auth", "bots", "knowledge")
"""The schemas, in the order in which their migrations may lean on one another."""

LOGIN_ROLES: Final = tuple(f"hivemind_{owner}" for owner in OWNERS if owner not in {"meta", "audit"})
"""The role that each owner's service logs in with; `meta` belongs to the runner alone, and `audit` is written by all."""

OLDEST_CODE: Final = 1
"""The schema version of the oldest code that may run on today's schema."""

_LOCK: Final = 0x48_6D_73_63  # "Hmsc"
_NAME = re.compile(r"([0-9]{4})_(pre|post)_([a-z0-9_]+)\.sql")


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


async def migrate(database_url: SecretStr, passwords: Mapping[str, SecretStr]) -> Migrated:
    """Make schemas and login roles, set the roles' passwords, and apply what is missing.

    `database_url` logs in as the owner, `hivemind`. Raises `SchemaError`; `OSError` when the database is away.
    """
    ours = migrations()
    connection = await asyncpg.connect(database_url.get_secret_value(), timeout=10, command_timeout=600)
    try:
        await connection.execute("SET lock_timeout = '120s'")
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        await connection.execute("SET lock_timeout = '10s'")
        if await connection.fetchval("SELECT current_setting('server_version_num')::int") < 150_000:
            raise SchemaError("this Postgres is too old: 15 or newer is needed")
        applied = await _read_applied(connection)
        await _judge(connection, applied, ours)
        await _make_roles(connection, passwords)
        done = []
        for migration in ours:
            if (migration.owner, migration.number) not in applied:
                await _apply(connection, migration)
                done.append(str(migration))
        await _record_state(connection, len(ours))
        return Migrated(tuple(done), len(ours))
    except asyncpg.LockNotAvailableError as fault:
        raise SchemaError("another migration holds the lock", "wait for it to end, or end it") from fault
    finally:
        await connection.close(timeout=5)


async def _read_applied(connection: asyncpg.Connection[asyncpg.Record]) -> dict[tuple[str, int], asyncpg.Record]:
    if await connection.fetchval("SELECT to_regclass('meta.migration')") is None:
        return {}
    rows = await connection.fetch("SELECT owner, number, name, checksum FROM meta.migration")
    return {(row["owner"], row["number"]): row for row in rows}


async def _judge(
    connection: asyncpg.Connection[asyncpg.Record],
    applied: Mapping[tuple[str, int], asyncpg.Record],
    ours: tuple[Migration, ...],
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
    state = await connection.fetchrow("SELECT schema_version, oldest_code FROM meta.state")
    if state is not None and state["oldest_code"] > len(ours):
        raise SchemaError(
            f"the database was written by a newer version (schema {state['schema_version']}, this code knows {len(ours)})",
            "run the newer version, or restore a backup of this one",
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


async def _record_state(connection: asyncpg.Connection[asyncpg.Record], version: int) -> None:
    # A database that is ahead of this code, and allows it, keeps its numbers.
    await connection.execute(
        """
        INSERT INTO meta.state (schema_version, oldest_code) VALUES ($1, $2)
        ON CONFLICT (singleton) DO UPDATE
           SET schema_version = greatest(state.schema_version, excluded.schema_version),
               oldest_code = greatest(state.oldest_code, excluded.oldest_code)
        """,
        version,
        OLDEST_CODE,
    )
