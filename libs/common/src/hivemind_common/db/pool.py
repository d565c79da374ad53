"""A pool of connections behind a fair gate, which says by name when the database is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import orjson
from pydantic import SecretStr

from hivemind_common import waiting_on
from hivemind_common.errors import UnavailableError
from hivemind_common.version import VERSION

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Conn = PoolConnectionProxy[asyncpg.Record]
    """A connection on which to run statements; whoever hands it in has decided about the transaction."""
else:
    Conn = Any

CONNECT_SECONDS: Final = 2
ANSWER_SECONDS: Final = 0.7
"""Shorter than the question how a service is, so that it can still tell."""

RELEASE_SECONDS: Final = 0.25
STATEMENT_SECONDS: Final = 10
"""A statement that takes longer is cancelled; the deadline of the call usually comes first."""

_GONE = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InsufficientResourcesError,  # a full disk, no memory, no connection left: it answers, and cannot
    asyncpg.ConnectionDoesNotExistError,
)


class Database:
    """The pool of one service."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], size: int) -> None:
        self._pool = pool
        # asyncpg lets latecomers barge in; the semaphore serves them in their order.
        self._gate = asyncio.Semaphore(size)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Conn]:
        """Lend a connection. Raises `UnavailableError` naming `db` when there is none to be had, or it breaks."""
        try:
            async with self._gate:
                with _naming_the_database():
                    # The gate has let in no more than there are connections: this waits for none but a new one.
                    connection = await self._pool.acquire()
                try:
                    with _naming_the_database(connection):
                        yield connection
                finally:
                    with _naming_the_database():
                        # After an interruption the statement is cancelled first, which a frozen server never answers.
                        await self._pool.release(connection, timeout=RELEASE_SECONDS)
        except asyncio.CancelledError:
            waiting_on.interrupted("db")
            raise

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Conn]:
        """Lend a connection inside a transaction: committed at the end of the block, rolled back when it raises."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def answers(self) -> bool:
        """Whether the database answers a question at once."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS), self.connection() as connection:
                await connection.fetchval("SELECT 1")
        except (UnavailableError, TimeoutError):
            return False
        return True


@contextmanager
def _naming_the_database(connection: Conn | None = None) -> Iterator[None]:
    try:
        yield
    except _GONE as fault:
        raise UnavailableError.of("db", detail=type(fault).__name__) from fault
    except TimeoutError as fault:
        if connection is not None:
            raise  # the deadline of the caller, or a statement that was too slow
        raise UnavailableError.of("db", detail="no connection in time") from fault
    except asyncpg.InterfaceError as fault:
        if connection is not None and not _is_lost(connection):
            raise  # a bug of ours, not a loss
        raise UnavailableError.of("db", detail=type(fault).__name__) from fault
    except asyncpg.InternalClientError as fault:
        # Postgres said goodbye between two statements, and asyncpg has not seen the end of the connection yet.
        if connection is not None and not _is_lost(connection):
            connection.terminate()
        raise UnavailableError.of("db", detail=type(fault).__name__) from fault


def _is_lost(connection: Conn) -> bool:
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True  # the pool has taken back what broke, and the proxy answers nothing any more


async def _speak_json(connection: Conn | asyncpg.Connection[asyncpg.Record]) -> None:
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads
    )


async def _keep_as_it_is(_connection: object) -> None:
    """No session state is ever set, so the round trip that would reset it is saved (it costs a third of a read)."""


@asynccontextmanager
async def open_database(database_url: SecretStr, service: str, *, size: int) -> AsyncIterator[Database]:
    """Open a pool of at most `size` connections; the database may still be away."""
    pool = await asyncpg.create_pool(
        database_url.get_secret_value(),
        min_size=0,
        max_size=size,
        init=_speak_json,
        reset=_keep_as_it_is,
        timeout=CONNECT_SECONDS,
        command_timeout=STATEMENT_SECONDS,
        max_inactive_connection_lifetime=300,
        server_settings={"application_name": f"hivemind-{service} {VERSION}", "timezone": "UTC", "jit": "off"},
    )
    try:
        yield Database(pool, size)
    finally:
        try:
            async with asyncio.timeout(5):
                await pool.close()
        except TimeoutError:
            pool.terminate()
