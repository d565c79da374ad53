from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from hivemind_common.embedded.postgres import OWNER
from hivemind_common.schema.runner import LOGIN_ROLES, Migration, SchemaError, migrate, migrations
from hivemind_common.secrets import SecretStr
from hivemind_common.testing.schema_dump import SCHEMA_FILE, dump_schema
from hivemind_common.testing.servers import Servers

PASSWORDS = dict.fromkeys(LOGIN_ROLES, SecretStr("a-password-for-tests-only"))


@pytest.fixture
async def empty(servers: Servers) -> Any:
    """An empty database of its own."""
    connection = await asyncpg.connect(servers.dsn(OWNER, "postgres").get_secret_value())
    await connection.execute("CREATE DATABASE empty")
    yield servers.dsn(OWNER, "empty")
    await connection.execute("DROP DATABASE empty WITH (FORCE)")
    await connection.close()


async def test_the_committed_schema_is_what_the_migrations_make(servers: Servers, database: str) -> None:
    assert dump_schema(servers.dsn(OWNER, database)) == SCHEMA_FILE.read_text(encoding="utf-8"), (
        "write it anew: .venv/bin/python -m hivemind_common.testing.schema_dump"
    )


async def test_migrating_again_changes_nothing(servers: Servers, database: str) -> None:
    done = await migrate(servers.dsn(OWNER, database), PASSWORDS)

    assert done.applied == ()
    assert done.schema_version == len(migrations())


async def test_of_two_starters_one_migrates_and_the_other_waits(empty: SecretStr) -> None:
    both = await asyncio.gather(migrate(empty, PASSWORDS), migrate(empty, PASSWORDS))

    assert sorted(len(done.applied) for done in both) == [0, len(migrations())]


async def test_a_migration_that_fails_leaves_those_before_it_and_nothing_of_itself(empty: SecretStr) -> None:
    torn = Migration("knowledge", 2, "0002_pre_torn.sql", "CREATE TABLE knowledge.half (id int); SELECT 1 / 0;")
    with pytest.raises(SchemaError, match=r"knowledge/0002_pre_torn\.sql failed: division by zero"):
        await migrate(empty, PASSWORDS, ours=(*migrations(), torn))

    connection = await asyncpg.connect(empty.get_secret_value())
    try:
        assert await connection.fetchval("SELECT to_regclass('knowledge.half')") is None
        assert await connection.fetchval("SELECT count(*) FROM meta.migration") == len(migrations())
    finally:
        await connection.close()


async def test_an_old_file_that_was_edited_is_refused_by_name(empty: SecretStr) -> None:
    await migrate(empty, PASSWORDS)
    first, *others = migrations()
    edited = Migration(first.owner, first.number, first.name, first.sql + "\n-- changed\n")

    with pytest.raises(SchemaError, match=r"meta/0001_pre_migrations\.sql was edited"):
        await migrate(empty, PASSWORDS, ours=(edited, *others))


@pytest.mark.parametrize(("oldest_code", "is_refused"), [(999, True), (1, False)])
async def test_a_database_from_a_newer_version_runs_only_where_it_says_so(
    empty: SecretStr, oldest_code: int, is_refused: bool
) -> None:
    await migrate(empty, PASSWORDS)
    connection = await asyncpg.connect(empty.get_secret_value())
    await connection.execute("UPDATE meta.state SET schema_version = 999, oldest_code = $1", oldest_code)
    await connection.close()

    if is_refused:
        with pytest.raises(
            SchemaError, match=f"wants code of schema 999 or later, and this code is of schema {len(migrations())}$"
        ) as refusal:
            await migrate(empty, PASSWORDS)
        assert refusal.value.hint
    else:
        await migrate(empty, PASSWORDS)
        connection = await asyncpg.connect(empty.get_secret_value())
        kept = await connection.fetchrow("SELECT schema_version, oldest_code FROM meta.state")
        await connection.close()
        assert kept is not None
        assert kept["schema_version"] == 999, "this code says nothing of what is beyond it"


async def test_a_password_is_a_password_whatever_its_characters(servers: Servers, database: str) -> None:
    odd = r"it's; \' $$ DROP ROLE nobody --"
    try:
        await migrate(servers.dsn(OWNER, database), {"hivemind_knowledge": SecretStr(odd)})
        connection = await asyncpg.connect(servers.dsn("hivemind_knowledge", database).get_secret_value(), password=odd)
        await connection.close()
    finally:
        await migrate(servers.dsn(OWNER, database), {"hivemind_knowledge": servers.password})


async def test_a_migration_waits_for_a_table_for_seconds_and_not_for_ever(empty: SecretStr) -> None:
    told = Migration(
        "knowledge",
        9_999,
        "9999_pre_told.sql",
        "CREATE TABLE knowledge.told AS SELECT current_setting('lock_timeout') AS it",
    )
    await migrate(empty, PASSWORDS, ours=(*migrations(), told))
    connection = await asyncpg.connect(empty.get_secret_value())
    try:
        assert await connection.fetchval("SELECT it FROM knowledge.told") == "10s"
    finally:
        await connection.close()


OTHERS_TABLES = {
    "hivemind_auth": ("bots.bot", "knowledge.snippet", "meta.state"),
    "hivemind_bots": ("auth.account", "auth.api_key", "knowledge.snippet", "meta.state"),
    "hivemind_knowledge": ("auth.account", "bots.bot", "bots.message", "meta.state"),
}


@pytest.mark.parametrize(
    ("role", "table"), [(role, table) for role, tables in OTHERS_TABLES.items() for table in tables]
)
async def test_no_role_reads_another_owners_table(servers: Servers, database: str, role: str, table: str) -> None:
    connection = await asyncpg.connect(servers.dsn(role, database).get_secret_value())
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(f"SELECT * FROM {table}")
    finally:
        await connection.close()
