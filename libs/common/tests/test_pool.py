"""A connection that breaks is told as a database that is away, wherever in its use it breaks."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from hivemind_common.db import Conn, Database, open_database
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
