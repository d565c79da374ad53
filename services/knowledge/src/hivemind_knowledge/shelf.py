"""The indexes that are kept in memory: at the version that a question asks for, within a bound, the least used going first."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from hivemind_common.db import Conn, Database
from hivemind_common.errors import HivemindError
from hivemind_common.ids import BotId
from hivemind_common.telemetry import Metrics, get_logger
from hivemind_knowledge import corpus_sql
from hivemind_knowledge.corpus import Corpus

MOST_BYTES: Final = 256 * 1024 * 1024
"""What all indexes may take together, about; a bot whose index alone would take more is searched in SQL."""

BUILT_AT_ONCE: Final = 2_000
"""Snippets up to which a question waits for the index; of a larger bot it is built meanwhile, and SQL answers."""

BATCH: Final = 2_000
WORTH_A_THREAD: Final = 50
"""Snippets from which a change is worked in beside the event loop."""

log = get_logger()


class Shelf:
    """Indexes by bot."""

    def __init__(self, database: Database, metrics: Metrics, *, most_bytes: int, built_at_once: int) -> None:
        self._database = database
        self._most_bytes = most_bytes
        self._built_at_once = built_at_once
        self._kept: OrderedDict[BotId, Corpus] = OrderedDict()
        self._sizes: dict[BotId, int] = {}
        self._total = 0
        self._locks: dict[BotId, _Lock] = {}
        self._builds: dict[BotId, asyncio.Task[None]] = {}
        self._one_build = asyncio.Lock()
        self._too_large: dict[BotId, int] = {}
        self._bytes = metrics.gauge("hivemind_index_bytes", "Bytes that the search indexes in memory take, about.")
        self._count = metrics.gauge("hivemind_indexes", "Bots whose search index is in memory.")

    @asynccontextmanager
    async def holding(
        self, conn: Conn, bot_id: BotId, version: int, snippet_count: int
    ) -> AsyncIterator[Corpus | None]:
        """Lend a bot's index at this version or a later one; None where SQL has to answer.

        Nothing else changes it meanwhile, so do not wait for anything inside.
        """
        async with self._locked(bot_id):
            corpus = self._kept.get(bot_id)
            if corpus is None:
                corpus = await self._made(conn, bot_id, snippet_count)
            elif corpus.version < version:
                corpus = await self._brought_up(conn, bot_id, corpus)
            if corpus is not None and bot_id in self._kept:
                self._kept.move_to_end(bot_id)
            yield corpus

    async def wait_for_build(self, bot_id: BotId, seconds: float) -> bool:
        """Wait while a bot's index is being built; False where none is."""
        build = self._builds.get(bot_id)
        if build is None:
            return False
        await asyncio.wait([build], timeout=seconds)
        return True

    def drop(self, bot_id: BotId) -> None:
        """Forget what was kept of a bot that is gone."""
        self._put_away(bot_id)
        self._too_large.pop(bot_id, None)

    async def close(self) -> None:
        """Let builds go."""
        builds = list(self._builds.values())
        for build in builds:
            build.cancel()
        await asyncio.gather(*builds, return_exceptions=True)

    async def _made(self, conn: Conn, bot_id: BotId, snippet_count: int) -> Corpus | None:
        if snippet_count == 0:
            return None
        # What was too large is looked at again when much of it is gone.
        if snippet_count * 1.25 > self._too_large.get(bot_id, snippet_count * 2):
            return None
        if snippet_count > self._built_at_once:
            if bot_id not in self._builds:
                build = asyncio.create_task(self._build(bot_id), name=f"index of {bot_id}")
                self._builds[bot_id] = build
                build.add_done_callback(lambda _: self._builds.pop(bot_id, None))
            return None
        return self._keep(bot_id, await self._read(conn, bot_id))

    async def _brought_up(self, conn: Conn, bot_id: BotId, corpus: Corpus) -> Corpus | None:
        changes = await corpus_sql.read_changes(conn, bot_id, corpus.version)
        if changes is None:
            self.drop(bot_id)
            return None
        if changes.forgotten > corpus.version:
            self.drop(bot_id)
            return await self._made(conn, bot_id, len(corpus) + len(changes.changed))
        # Should the change break off in the middle, nothing is kept of it.
        self._put_away(bot_id)
        if len(changes.changed) + len(changes.removed) < WORTH_A_THREAD:
            corpus.apply(changes.version, changes.changed, changes.removed)
        else:
            await _undisturbed(corpus.apply, changes.version, changes.changed, changes.removed)
        return self._keep(bot_id, corpus)

    async def _build(self, bot_id: BotId) -> None:
        try:
            async with self._one_build, self._database.connection() as conn:
                corpus = await self._read(conn, bot_id)
            async with self._locked(bot_id):
                self._keep(bot_id, corpus)
            log.info("knowledge.index_built", bot_id=str(bot_id), snippets=len(corpus), bytes=corpus.size)
        except HivemindError as fault:
            # SQL goes on answering; the next question begins another build.
            log.warning("knowledge.index_not_built", bot_id=str(bot_id), reason=fault.code)

    async def _read(self, conn: Conn, bot_id: BotId) -> Corpus:
        version = await corpus_sql.read_version(conn, bot_id)
        corpus = Corpus(version)
        async with conn.transaction():
            async for lot in corpus_sql.read_all(conn, bot_id, BATCH):
                await _undisturbed(corpus.apply, version, lot, ())
                if corpus.size > self._most_bytes:
                    break
        return corpus

    def _keep(self, bot_id: BotId, corpus: Corpus) -> Corpus | None:
        self._put_away(bot_id)
        size = corpus.size
        if size > self._most_bytes:
            log.info("knowledge.index_too_large", bot_id=str(bot_id), snippets=len(corpus), bytes=size)
            self._too_large[bot_id] = len(corpus)
            return None
        while self._kept and self._total + size > self._most_bytes:
            self._put_away(next(iter(self._kept)))
        self._kept[bot_id], self._sizes[bot_id] = corpus, size
        self._total += size
        self._tell()
        return corpus

    def _put_away(self, bot_id: BotId) -> None:
        if self._kept.pop(bot_id, None) is not None:
            self._total -= self._sizes.pop(bot_id)
            self._tell()

    def _tell(self) -> None:
        self._bytes.set(self._total)
        self._count.set(len(self._kept))

    @asynccontextmanager
    async def _locked(self, bot_id: BotId) -> AsyncIterator[None]:
        lock = self._locks.setdefault(bot_id, _Lock())
        lock.users += 1
        try:
            async with lock.lock:
                yield
        finally:
            lock.users -= 1
            if not lock.users:
                del self._locks[bot_id]


class _Lock:
    """A lock that is gone when nobody uses it."""

    __slots__ = ("lock", "users")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0


async def _undisturbed(work: Callable[..., None], *arguments: object) -> None:
    """Run in a thread to its end, also when whoever waits for it is cancelled: nobody else may touch the index before."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


@asynccontextmanager
async def open_shelf(
    database: Database, metrics: Metrics, *, most_bytes: int = MOST_BYTES, built_at_once: int = BUILT_AT_ONCE
) -> AsyncIterator[Shelf]:
    """Entered: empty. Left: nothing is built any more."""
    shelf = Shelf(database, metrics, most_bytes=most_bytes, built_at_once=built_at_once)
    try:
        yield shelf
    finally:
        await shelf.close()
