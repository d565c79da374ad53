"""A pool of connections behind a fair gate, which says by name when the database is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, cast

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
"""Shorter than a caller waits for the health of a service, so that this one can still tell."""

RELEASE_SECONDS: Final = 0.25
CLOSE_SECONDS: Final = 5
IDLE_SECONDS: Final = 300
"""A connection that nobody has used for so long is closed: a firewall may have forgotten it."""

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
    """The connections of one service."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], size: int) -> None:
        self._pool = pool
        # asyncpg lets latecomers barge in; the semaphore serves them in their order.
        self._gate = asyncio.Semaphore(size)
        self._kept: list[tuple[Conn, float]] = []
        """Connections that are not given back to asyncpg's pool, the one used last at the end, and since when."""
        self._answered_at = float("-inf")
        """When somebody last gave a connection back after good use."""

    def connection(self) -> Lending:
        """Lend a connection. Raises `UnavailableError` naming `db` when there is none to be had, or it breaks."""
        return Lending(self)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Conn]:
        """Lend a connection inside a transaction: committed at the end of the block, rolled back when it raises."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def answers(self) -> bool:
        """Whether the database answers a question at once."""
        asked_at = _now()
        try:
            async with asyncio.timeout(ANSWER_SECONDS), self.connection() as connection:
                await connection.fetchval("SELECT 1")
        except TimeoutError:
            return self._has_answered_since(asked_at)  # others had their answers meanwhile
        except UnavailableError:
            return False
        return True

    async def take(self) -> Conn:
        """Wait for one's turn, and take a connection."""
        asked_at = _now()
        try:
            await self._gate.acquire()
        except asyncio.CancelledError:
            if not self._has_answered_since(max(asked_at, _now() - ANSWER_SECONDS)):
                waiting_on.interrupted("db")  # else the line moves, and it is we who have too much to do
            raise
        try:
            self._drop_idle()
            while self._kept:
                connection, _ = self._kept.pop()
                if not _is_lost(connection):
                    return connection
                await self._release(connection)
            # The gate has let in no more than there are connections: this waits for none but a new one.
            return await self._pool.acquire()
        except BaseException as fault:
            self._gate.release()
            if isinstance(fault, asyncio.CancelledError):
                waiting_on.interrupted("db")
            raise

    async def give_back(self, connection: Conn, *, is_clean: bool) -> None:
        """Keep a connection for whoever comes next, or have asyncpg look after one in which something went wrong."""
        try:
            if is_clean:
                self._answered_at = _now()
                self._kept.append((connection, self._answered_at))
                self._drop_idle()
            else:
                await self._release(connection)
        finally:
            self._gate.release()

    def _has_answered_since(self, moment: float) -> bool:
        return self._answered_at >= moment

    def _drop_idle(self) -> None:
        """Close what nobody has used for long: it lies at the bottom, and a firewall may swallow even a goodbye."""
        stale = _now() - IDLE_SECONDS
        while self._kept and self._kept[0][1] <= stale:
            connection, _ = self._kept.pop(0)
            if not _is_lost(connection):
                connection.terminate()  # which also frees its place in asyncpg's pool

    async def _release(self, connection: Conn) -> None:
        # After an interruption the statement is cancelled first, which a frozen server never answers.
        await self._pool.release(connection, timeout=RELEASE_SECONDS)

    async def close(self) -> None:
        """Close every connection; those that are lent are waited for, for a moment."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                while self._kept:
                    await self._release(self._kept.pop()[0])
                await self._pool.close()
        except (TimeoutError, *_GONE, asyncpg.InterfaceError, asyncpg.InternalClientError):
            # One that was lost unnoticed, or that hangs, keeps nobody from leaving.
            self._pool.terminate()


class Lending:
    """A connection, lent for a block.

    A class with two methods and a list of connections instead of nested generators and asyncpg's own lending: every
    request passes here, and pays 19 µs for a read by its key instead of 55.
    """

    __slots__ = ("_connection", "_database")

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __aenter__(self) -> Conn:
        """Take it."""
        try:
            self._connection = await self._database.take()
        except asyncio.CancelledError:
            raise  # what it waited for is said by `take`, which knows
        except BaseException as fault:
            told = _told(fault, None)
            if told is fault:
                raise
            raise told from fault
        return self._connection

    async def __aexit__(
        self, _kind: type[BaseException] | None, fault: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Give it back, and tell a loss by its name."""
        told = fault if fault is None else _told(fault, self._connection)
        if _is_unsent(fault) and not _is_lost(self._connection):
            self._connection.terminate()
        try:
            await self._database.give_back(self._connection, is_clean=fault is None)
        except BaseException as another:
            renamed = _told(another, None)
            if renamed is another:
                raise
            raise renamed from another
        if told is not fault:
            raise cast("BaseException", told) from fault


def _told(fault: BaseException, connection: Conn | None) -> BaseException:
    """Return what a fault is told as: the loss of the database under its name, anything else as itself."""
    if isinstance(fault, asyncio.CancelledError):
        waiting_on.interrupted("db")
        return fault
    if isinstance(fault, TimeoutError):
        # Inside of the block it is the deadline of the caller, or a statement that was too slow.
        return UnavailableError.of("db", detail="no connection in time") if connection is None else fault
    if isinstance(fault, asyncpg.InterfaceError) and connection is not None and not _is_lost(connection):
        return fault  # a bug of ours, not a loss
    if isinstance(fault, asyncpg.InternalClientError) and connection is not None and not _is_lost(connection):
        # Postgres said goodbye between two statements, and asyncpg has not seen the end of the connection yet.
        connection.terminate()
    if isinstance(fault, (*_GONE, asyncpg.InterfaceError, asyncpg.InternalClientError)):
        return UnavailableError.of("db", detail=type(fault).__name__)
    return fault


def _is_unsent(fault: BaseException | None) -> bool:
    """Whether asyncpg refused an argument, while Postgres waits for it: with the statement begun, its tables locked."""
    if isinstance(fault, asyncpg.DataError):
        return fault.severity is None  # what Postgres itself refuses has one
    return isinstance(fault, asyncpg.InterfaceError)


def _now() -> float:
    return asyncio.get_running_loop().time()


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
        max_inactive_connection_lifetime=IDLE_SECONDS,
        server_settings={"application_name": f"hivemind-{service} {VERSION}", "timezone": "UTC", "jit": "off"},
    )
    database = Database(pool, size)
    try:
        yield database
    finally:
        await database.close()
