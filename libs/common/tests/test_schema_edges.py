"""Migrations at their edges: killed between any two statements, against another starter, and beside old code."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import asyncpg
import pytest

from hivemind_common.db import open_database
from hivemind_common.embedded.postgres import OWNER
from hivemind_common.schema.runner import LOGIN_ROLES, Migrated, Migration, Phase, SchemaError, migrate, migrations
from hivemind_common.secrets import SecretStr
from hivemind_common.testing.servers import Servers
from hivemind_common.testing.statements import DeathError, Doom, doomed
from hivemind_common.testing.waiting import until

FIRST = migrations()[0]


def written(name: str, sql: str, *, owner: str = "bots", number: int = 1) -> Migration:
    return Migration(owner, number, f"{number:04}_{name}.sql", sql)


SMALL = (
    FIRST,
    written("pre_first", "CREATE TABLE bots.first (id int); INSERT INTO bots.first VALUES (1);"),
    written("pre_second", "CREATE TABLE bots.second (id int); UPDATE bots.first SET id = id + 1;", number=2),
    written("post_third", "ALTER TABLE bots.second ADD extra int; UPDATE bots.first SET id = id + 1;", number=3),
)
"""Each leaves a trace that shows whether it ran once."""

PLAN = (FIRST, written("pre_add", "CREATE TABLE bots.old (id int);"))
NEXT = (
    *PLAN,
    written("pre_new", "CREATE TABLE bots.new (id int);", number=2),
    written("post_gone", "DROP TABLE bots.old;", number=3),
)


@pytest.fixture
async def admin(servers: Servers) -> Any:
    connection = await asyncpg.connect(servers.dsn(OWNER, "postgres").get_secret_value())
    yield connection
    await connection.close()


@pytest.fixture
async def empty(servers: Servers, admin: Any) -> Any:
    await admin.execute("CREATE DATABASE edges")
    yield servers.dsn(OWNER, "edges")
    await admin.execute("DROP DATABASE edges WITH (FORCE)")


async def run(url: SecretStr, ours: Sequence[Migration] = SMALL, phase: Phase = Phase.ALL) -> Migrated:
    return await migrate(url, {}, ours=ours, phase=phase)


async def ask(url: SecretStr, statement: str) -> Any:
    connection = await asyncpg.connect(url.get_secret_value())
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def assert_whole(url: SecretStr) -> None:
    """Everything is there, once, and nobody holds the lock."""
    assert await ask(url, "SELECT array_agg(id) FROM bots.first") == [3]
    assert await ask(url, "SELECT count(*) FROM meta.migration") == len(SMALL)
    assert await ask(url, "SELECT schema_version FROM meta.state") == len(SMALL)


@pytest.mark.parametrize("sent", [False, True], ids=["before", "after"])
async def test_whatever_statement_it_dies_at_the_next_one_ends_what_was_begun(
    servers: Servers, admin: Any, sent: bool
) -> None:
    url = servers.dsn(OWNER, "torn")
    for number in range(1_000):
        await admin.execute("CREATE DATABASE torn")
        try:
            doom = Doom(number, sent)
            with doomed(doom) as start, contextlib.suppress(DeathError, SchemaError):
                await start(run(url))
            if doom.has_struck:
                await run(url)
            await assert_whole(url)
            if not doom.has_struck:
                assert number > 20
                return
        finally:
            await admin.execute("DROP DATABASE torn WITH (FORCE)")
    raise AssertionError("it never came to an end")


KILLED = """
import asyncio, os, signal, sys
from hivemind_common.schema.runner import migrate
from hivemind_common.secrets import SecretStr
from hivemind_common.testing.statements import Doom, doomed

async def main():
    doom = Doom(int(sys.argv[1]), sent=True, strike=lambda: os.kill(os.getpid(), signal.SIGKILL), repeats=False)
    with doomed(doom) as start:
        await start(migrate(SecretStr(sys.argv[2]), {}))

asyncio.run(main())
"""


@pytest.mark.parametrize("statement", [4, 12, 20, 25])
async def test_a_migrating_process_that_is_killed_holds_nothing_up(empty: SecretStr, statement: int) -> None:
    command = [sys.executable, "-P", "-c", KILLED, str(statement), empty.get_secret_value()]
    done = await asyncio.to_thread(subprocess.run, command, check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr

    await migrate(empty, {})

    assert await ask(empty, "SELECT count(*) FROM meta.migration") == len(migrations())


MIGRATED = """
import asyncio, sys
from hivemind_common.schema.runner import migrate
from hivemind_common.secrets import SecretStr

print(len(asyncio.run(migrate(SecretStr(sys.argv[1]), {})).applied))
"""


async def test_of_several_processes_one_migrates_and_the_others_wait(empty: SecretStr) -> None:
    starters = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-c", MIGRATED, empty.get_secret_value(), stdout=asyncio.subprocess.PIPE
        )
        for _ in range(3)
    ]
    told = [int((await starter.communicate())[0]) for starter in starters]

    assert sorted(told) == [0, 0, len(migrations())]


async def test_a_lock_that_is_held_for_too_long_is_told(empty: SecretStr) -> None:
    holder = await asyncpg.connect(empty.get_secret_value())
    try:
        await holder.execute("SELECT pg_advisory_lock($1)", 0x486D7363)
        with pytest.raises(SchemaError, match=r"another migration has held the lock for 0\.1 s") as refusal:
            await migrate(empty, {}, patience=timedelta(milliseconds=100))
        assert refusal.value.hint
    finally:
        await holder.close()
    await run(empty)


async def test_beside_old_code_only_what_is_safe_runs_and_the_rest_follows(empty: SecretStr) -> None:
    await run(empty, PLAN)

    done = await run(empty, NEXT, Phase.PRE)
    assert done.applied == ("bots/0002_pre_new.sql",)
    assert await ask(empty, "SELECT to_regclass('bots.old') IS NOT NULL")
    assert (await run(empty, PLAN)).applied == ()  # the last release still starts on it

    done = await run(empty, NEXT, Phase.POST)
    assert done.applied == ("bots/0003_post_gone.sql",)
    assert await ask(empty, "SELECT to_regclass('bots.old') IS NULL")


async def test_the_oldest_code_rises_only_with_the_last_post_migration(empty: SecretStr) -> None:
    with patch("hivemind_common.schema.runner.OLDEST_CODE", len(PLAN)):
        await run(empty, PLAN)
    with patch("hivemind_common.schema.runner.OLDEST_CODE", len(NEXT)):
        await run(empty, NEXT, Phase.PRE)
        assert await ask(empty, "SELECT oldest_code FROM meta.state") == len(PLAN)
        await run(empty, NEXT, Phase.POST)
        assert await ask(empty, "SELECT oldest_code FROM meta.state") == len(NEXT)
    with pytest.raises(SchemaError, match="written by a newer version"):
        await run(empty, PLAN)


async def test_post_before_pre_is_refused_with_the_cure(empty: SecretStr) -> None:
    await run(empty, PLAN)
    with pytest.raises(SchemaError, match=r"bots/0002_pre_new\.sql has to run before the services") as refusal:
        await run(empty, NEXT, Phase.POST)
    assert refusal.value.hint == "run: hivemind migrate --pre"


async def test_a_pre_migration_never_overtakes_a_post_migration_of_a_release_that_was_left_out(
    empty: SecretStr,
) -> None:
    await run(empty, PLAN)
    later = (*NEXT, written("pre_more", "CREATE TABLE bots.old (id int);", number=4))

    with pytest.raises(SchemaError, match=r"bots/0004_pre_more\.sql comes after bots/0003_post_gone\.sql"):
        await run(empty, later, Phase.PRE)
    assert (await run(empty, later)).applied[-1] == "bots/0004_pre_more.sql"


@pytest.mark.parametrize("phase", [Phase.ALL, Phase.POST])
async def test_nothing_is_taken_away_from_a_service_of_another_version(
    servers: Servers, empty: SecretStr, phase: Phase
) -> None:
    await migrate(empty, dict.fromkeys(LOGIN_ROLES, servers.password), ours=PLAN)
    await run(empty, NEXT, Phase.PRE)
    with patch("hivemind_common.db.pool.VERSION", "0.0.9"):
        async with open_database(servers.dsn("hivemind_bots", "edges"), "bots", size=1) as old:
            assert await old.answers()
            with pytest.raises(SchemaError, match=r"another version still use the database: hivemind-bots 0\.0\.9"):
                await run(empty, NEXT, phase)
    async with open_database(servers.dsn("hivemind_bots", "edges"), "bots", size=1) as ours:
        assert await ours.answers()

        async def is_alone() -> bool:
            statement = "SELECT count(*) = 1 FROM pg_stat_activity WHERE usename = 'hivemind_bots'"
            return bool(await ask(empty, statement))

        await until(is_alone, limit=5, what="the end of the old session")
        assert (await run(empty, NEXT, phase)).applied == ("bots/0003_post_gone.sql",)


async def test_a_missing_row_in_the_book_of_migrations_is_told(empty: SecretStr) -> None:
    await run(empty)
    await ask(empty, "DELETE FROM meta.migration WHERE owner = 'bots' AND number = 2")

    with pytest.raises(SchemaError, match=r"bots/0003_post_third\.sql without the one before it"):
        await run(empty)


async def test_a_postgres_that_is_too_old_is_named(empty: SecretStr) -> None:
    with patch.object(asyncpg.Connection, "get_server_version", return_value=SimpleNamespace(major=14)):
        with pytest.raises(SchemaError, match="this is Postgres 14, and 15 is the oldest"):
            await run(empty)
    assert await ask(empty, "SELECT to_regnamespace('meta') IS NULL")


async def test_whoever_may_not_migrate_is_told_as_whom_to_log_in(servers: Servers, empty: SecretStr) -> None:
    await ask(empty, "SELECT 1")
    with pytest.raises(SchemaError, match="cannot be migrated: permission denied") as refusal:
        await run(servers.dsn("hivemind_bots", "edges"))
    assert refusal.value.hint == "log in as the role hivemind"


async def test_a_wrong_password_and_a_missing_database_are_one_line(servers: Servers) -> None:
    with pytest.raises(SchemaError, match="lets nobody in: password authentication failed"):
        await run(servers.postgres.dsn(OWNER, SecretStr("wrong"), "postgres"))
    with pytest.raises(SchemaError, match='lets nobody in: database "nix" does not exist'):
        await run(servers.dsn(OWNER, "nix"))
