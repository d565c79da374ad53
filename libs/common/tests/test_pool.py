"""A connection that breaks is told as a database that is away, wherever in its use it breaks."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from hivemind_common.db import Conn, Database, open_database
from hivemind_common.db import pool as pool_module
from hivemind_common.errors import UnavailableError
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


async def test_a_connection_that_was_idle_for_long_is_not_trusted(
    servers: Servers, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_database(servers.dsn("hivemind_bots", database), "bots", size=2) as pool:
        await backend(pool)
        assert len(pool._kept) == 1
        monkeypatch.setattr(pool_module, "IDLE_SECONDS", -1.0)
        taken = await pool.take()
        assert pool._kept == []
        await pool.give_back(taken, is_clean=True)


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
