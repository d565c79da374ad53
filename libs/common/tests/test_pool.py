"""A connection that breaks is told as a database that is away, wherever in its use it breaks."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from hivemind_common import waiting_on
from hivemind_common.db import Conn, Database, open_database
from hivemind_common.db import pool as pool_module
from hivemind_common.errors import UnavailableError
from hivemind_common.secrets import SecretStr
from hivemind_common.testing.servers import Servers
from hivemind_common.testing.waiting import until

END = "SELECT pg_terminate_backend($1)"


async def ended_by(owner: Any, database: Database, *, seen: bool) -> None:
    """Take a transaction, have the server end it, and go on with it, before or after the end was noticed."""
    async with database.transaction() as conn:
        pid = await conn.fetchval("SELECT pg_backend_pid()")
        await owner.fetchval(END, pid)

        async def is_lost() -> bool:
            return lost(conn)

        if seen:
            await until(is_lost, limit=5, what="the end of the connection")
        await conn.fetchval("SELECT 1")


def lost(conn: Conn) -> bool:
    try:
        return bool(conn.is_closed())
    except asyncpg.InterfaceError:
        return True


@pytest.mark.parametrize("seen", [True, False], ids=["noticed", "unnoticed"])
async def test_a_lost_connection_names_the_database_and_the_next_one_works(
    servers: Servers, database: str, owner: Any, seen: bool
) -> None:
    async with open_database(servers.dsn("hivemind_bots", database), "bots", size=1) as pool:
        with pytest.raises(UnavailableError) as told:
            await ended_by(owner, pool, seen=seen)
        assert told.value.facts == {"service": "db"}
        async with pool.connection() as conn:
            assert await conn.fetchval("SELECT 1") == 1


async def test_a_connection_that_asyncpg_is_confused_about_is_given_up(servers: Servers, database: str) -> None:
    async with open_database(servers.dsn("hivemind_bots", database), "bots", size=1) as pool:
        with pytest.raises(UnavailableError) as told:
            async with pool.connection() as conn:
                first = await conn.fetchval("SELECT pg_backend_pid()")
                raise asyncpg.InternalClientError("cannot switch to state 12")
        assert told.value.facts == {"service": "db"}
        async with pool.connection() as conn:
            assert await conn.fetchval("SELECT pg_backend_pid()") != first


@pytest.mark.parametrize(
    "fault",
    [
        ConnectionResetError(),
        asyncpg.PostgresConnectionError("gone"),
        asyncpg.ConnectionDoesNotExistError("gone"),
        asyncpg.CannotConnectNowError("starting up"),
        asyncpg.AdminShutdownError("shutting down"),
        asyncpg.CrashShutdownError("crashed"),
        asyncpg.DiskFullError("no room"),
        asyncpg.TooManyConnectionsError("full"),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_a_database_that_cannot_is_named_whatever_its_reason(
    servers: Servers, database: str, fault: Exception
) -> None:
    async with open_database(servers.dsn("hivemind_bots", database), "bots", size=1) as pool:
        with pytest.raises(UnavailableError) as told:
            async with pool.connection():
                raise fault
        assert told.value.facts == {"service": "db"}
        async with asyncio.timeout(5):
            await backend(pool)


async def test_a_statement_that_takes_too_long_is_cancelled_and_costs_nobody_else_anything(
    servers: Servers, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "STATEMENT_SECONDS", 0.1)
    async with asyncio.timeout(10), open_database(servers.dsn("hivemind_bots", database), "bots", size=1) as pool:
        with pytest.raises(TimeoutError):
            async with pool.connection() as conn:
                await conn.fetchval("SELECT pg_sleep(60)")
        await backend(pool)


async def test_a_server_that_says_nothing_to_a_newcomer_is_told_as_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "CONNECT_SECONDS", 0.1)
    lines = list[asyncio.StreamWriter]()
    mute = await asyncio.start_server(lambda _, writer: lines.append(writer), "127.0.0.1", 0)
    port = mute.sockets[0].getsockname()[1]
    url = SecretStr(f"postgresql://hivemind_bots:x@127.0.0.1:{port}/x?sslmode=disable")
    try:
        async with asyncio.timeout(5), open_database(url, "bots", size=1) as pool:
            with pytest.raises(UnavailableError) as told:
                await backend(pool)
    finally:
        mute.close()
        for line in lines:
            line.close()
    assert told.value.facts == {"service": "db"}


async def test_who_is_interrupted_in_the_block_was_waiting_for_the_database(servers: Servers, database: str) -> None:
    wait = waiting_on.Wait()
    async with open_database(servers.dsn("hivemind_bots", database), "bots", size=1) as pool:
        with waiting_on.watched(wait), pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1), pool.connection() as conn:
                await conn.fetchval("SELECT pg_sleep(60)")
    assert wait.on == "db"


async def test_closing_waits_for_a_moment_and_then_takes_away_what_is_still_lent(
    servers: Servers, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "CLOSE_SECONDS", 0.1)
    async with asyncio.timeout(5):
        async with open_database(servers.dsn("hivemind_bots", database), "bots", size=1) as pool:
            taken = await pool.take()
        assert lost(taken)


async def test_a_mistake_of_ours_is_no_loss(servers: Servers, database: str) -> None:
    async with open_database(servers.dsn("hivemind_bots", database), "bots", size=1) as pool:
        with pytest.raises(asyncpg.InterfaceError):
            async with pool.connection() as conn:
                await asyncio.gather(conn.fetchval("SELECT 1"), conn.fetchval("SELECT 2"))


async def backend(pool: Database) -> int:
    async with pool.connection() as conn:
        await asyncio.sleep(0)
        return int(await conn.fetchval("SELECT pg_backend_pid()"))


async def test_connections_are_kept_and_never_more_than_allowed(servers: Servers, database: str) -> None:
    async with open_database(servers.dsn("hivemind_bots", database), "bots", size=3) as pool:
        crowd = await asyncio.gather(*(backend(pool) for _ in range(50)))
        assert len(set(crowd)) <= 3
        alone = [await backend(pool) for _ in range(5)]
        assert len(set(alone)) == 1, "the one used last is used next"


async def test_a_refusal_inside_of_the_block_costs_no_connection(servers: Servers, database: str) -> None:
    async with open_database(servers.dsn("hivemind_bots", database), "bots", size=2) as pool:
        before = await backend(pool)
        for _ in range(10):
            with pytest.raises(RuntimeError):
                async with pool.transaction() as conn:
                    await conn.fetchval("SELECT 1")
                    raise RuntimeError("refused")
        assert await backend(pool) == before


async def test_a_connection_that_was_idle_for_long_is_closed(
    servers: Servers, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_database(servers.dsn("hivemind_bots", database), "bots", size=2) as pool:
        before = await backend(pool)
        monkeypatch.setattr(pool_module, "IDLE_SECONDS", -1.0)
        assert await backend(pool) != before


async def test_connections_that_a_crowd_has_left_are_closed_while_one_goes_on(
    servers: Servers, database: str, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def are(number: int) -> bool:
        counted = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND usename = 'hivemind_bots'"
        return bool(await owner.fetchval(counted, database) == number)

    async with open_database(servers.dsn("hivemind_bots", database), "bots", size=3) as pool:
        async with pool.connection(), pool.connection(), pool.connection():
            await until(lambda: are(3), limit=5, what="a crowd")
        monkeypatch.setattr(pool_module, "IDLE_SECONDS", 0.2)

        async def is_alone() -> bool:
            await backend(pool)
            return await are(1)

        await until(is_alone, limit=10, what="the end of what nobody uses")
        async with asyncio.timeout(5), pool.connection(), pool.connection(), pool.connection():
            assert await are(3), "their places are free again"


@pytest.mark.parametrize("argument", ["no number", object(), 10**30], ids=["text", "object", "too large"])
async def test_an_argument_that_cannot_be_encoded_leaves_no_statement_behind(
    servers: Servers, database: str, owner: Any, argument: object
) -> None:
    async with open_database(servers.dsn("hivemind_bots", database), "bots", size=1) as pool:
        with pytest.raises(asyncpg.DataError):
            async with pool.connection() as conn:
                await conn.fetchval("SELECT count(*) FROM pg_class WHERE relnatts = $1", argument)

        async def is_free() -> bool:
            return not await owner.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = $1 AND usename = 'hivemind_bots' AND state = 'active'",
                database,
            )

        await until(is_free, limit=5, what="no statement that waits for its arguments")
        async with asyncio.timeout(5):
            await backend(pool)


async def test_what_postgres_itself_refuses_costs_no_connection(servers: Servers, database: str) -> None:
    async with open_database(servers.dsn("hivemind_bots", database), "bots", size=1) as pool:
        before = await backend(pool)
        for statement in ("SELECT 1 / 0", "SELECT 'x'::int", "SELECT no_column"):
            with pytest.raises(asyncpg.PostgresError):
                async with pool.connection() as conn:
                    await conn.fetchval(statement)
        assert await backend(pool) == before


async def waited_for(pool: Database, *, seconds: float) -> str | None:
    """Wait for a connection for so long, and tell what that was waiting for."""
    wait = waiting_on.Wait()
    with waiting_on.watched(wait):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds), pool.connection():
                pass
    return wait.on


async def test_a_line_that_moves_is_ours_and_one_that_stands_is_the_databases(servers: Servers, database: str) -> None:
    async with open_database(servers.dsn("hivemind_bots", database), "bots", size=1) as pool:

        async def crowd() -> None:
            async with pool.connection() as conn:
                await conn.fetchval("SELECT pg_sleep(0.05)")

        tasks = [asyncio.create_task(crowd()) for _ in range(40)]
        await asyncio.sleep(0)
        assert (await waited_for(pool, seconds=0.5), await pool.answers()) == (None, True)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

        async with pool.connection():
            assert (await waited_for(pool, seconds=0.1), await pool.answers()) == ("db", False)


async def test_whoever_is_interrupted_leaves_a_usable_pool(servers: Servers, database: str, owner: Any) -> None:
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND wait_event = 'PgSleep'"

    async def both_sleep() -> bool:
        return bool(await owner.fetchval(sleeping, database) == 2)

    async with open_database(servers.dsn("hivemind_bots", database), "bots", size=2) as pool:

        async def sleep() -> None:
            async with pool.connection() as conn:
                await conn.fetchval("SELECT pg_sleep(30)")

        tasks = [asyncio.create_task(sleep()) for _ in range(6)]
        await until(both_sleep, limit=5, what="both connections are in use, and four tasks wait")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

        async with asyncio.timeout(5):
            assert len({*await asyncio.gather(*(backend(pool) for _ in range(10)))}) <= 2


@pytest.mark.parametrize("fault", [asyncpg.InternalClientError("state"), asyncpg.InterfaceError("lost"), OSError()])
async def test_a_connection_that_was_lost_unnoticed_keeps_nobody_from_leaving(
    servers: Servers, database: str, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    async with open_database(servers.dsn("hivemind_bots", database), "bots", size=1) as pool:
        await backend(pool)

        async def break_down(_connection: Conn) -> None:
            raise fault

        monkeypatch.setattr(pool, "_release", break_down)
