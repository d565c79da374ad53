"""What the extra `embeddings` adds to a search: how near the meanings are. Without it, and when it fails, nothing changes."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Final
from uuid import UUID

from hivemind_common.db import Conn, Database
from hivemind_common.ids import BotId
from hivemind_common.telemetry import Metrics, get_logger
from hivemind_knowledge import vectors_sql
from hivemind_knowledge.minilm import MiniLM, is_installed
from hivemind_knowledge.ranking import Match
from hivemind_knowledge.vectors_sql import NoVectorsError

NEAREST: Final = 50
"""Snippets that are looked at for the nearness of their meaning, beside those that hold the words."""

NEARNESS: Final = 0.8
"""Share of the cosine in the score of a snippet; the rest is its BM25F score against the best one (a convex sum)."""

NOT_KNOWN: Final = 0.6
"""What a snippet without a vector is taken to have of a cosine, for each share of the best score: it is new, and not worse."""

OF_COSINE: Final = 0.94
OF_COVERAGE: Final = 0.4
MOST_COVERAGE: Final = 1.5
"""How cosine and coverage add up to a coverage on the same scale; fitted on questions of the `dev` part, as docs/search.md says."""

EMBEDDING_WAITED_FOR: Final = 1.0
MOST_WAITING: Final = 8
BATCH: Final = 16
PAUSE: Final = 1.0
TOLD_EVERY: Final = 500

log = get_logger()


def fused(lexical: Sequence[tuple[UUID, Match]], cosines: Mapping[UUID, float], limit: int) -> list[tuple[UUID, Match]]:
    """Return the best of what was found by words and by meaning; a snippet without a vector is ranked by its words."""
    by_words = dict(lexical)
    best = max((match.score for match in by_words.values()), default=0.0)
    found = []
    for snippet_id in dict.fromkeys([*by_words, *cosines]):
        match, cosine = by_words.get(snippet_id), cosines.get(snippet_id)
        share = match.score / best if match is not None and best else 0.0
        covered = match.coverage if match is not None else 0.0
        if cosine is None:
            found.append((snippet_id, Match((NEARNESS * NOT_KNOWN + 1 - NEARNESS) * share, covered)))
        else:
            coverage = OF_COSINE * max(cosine, 0.0) + OF_COVERAGE * min(covered, MOST_COVERAGE)
            found.append((snippet_id, Match(NEARNESS * cosine + (1 - NEARNESS) * share, coverage)))
    found.sort(key=lambda each: (-each[1].score, each[0]))
    return found[:limit]


class Meanings:
    """Vectors of all bots' snippets; switched off until they can be had."""

    def __init__(self, database: Database, metrics: Metrics, make: Callable[[], MiniLM]) -> None:
        self._database = database
        self._make = make
        self._model: MiniLM | None = None
        self._home = ""
        self._waiting = 0
        self._asked = ThreadPoolExecutor(1, "question-vectors")
        self._taught = ThreadPoolExecutor(1, "snippet-vectors", initializer=_step_back)
        self._ready = metrics.gauge("hivemind_vectors_ready", "Whether searches look at meanings too.")
        self._pending = metrics.gauge("hivemind_vectors_pending", "Snippets that have no vector yet.")
        self._failures = metrics.counter("hivemind_vector_failures", "Searches that went on without vectors.")

    @property
    def is_ready(self) -> bool:
        """Whether they can be asked for."""
        return self._model is not None and bool(self._home)

    async def near(self, conn: Conn, bot_id: BotId, text: str, also: Sequence[UUID]) -> dict[UUID, float] | None:
        """Return the cosines of the snippets nearest to a question, and of others; None where that cannot be told."""
        if self._model is None or not self._home or self._waiting >= MOST_WAITING:
            return None
        self._waiting += 1
        try:
            async with asyncio.timeout(EMBEDDING_WAITED_FOR):
                loop = asyncio.get_running_loop()
                (vector,) = await loop.run_in_executor(self._asked, self._model.embed, [text])
            return await vectors_sql.nearest(conn, self._home, bot_id, vector, NEAREST, also)
        except Exception as fault:  # noqa: BLE001 - whatever fails in an extra, the search goes on without
            self._failures.inc()
            log.warning("knowledge.vectors_failed", fault=type(fault).__name__)
            return None
        finally:
            self._waiting -= 1

    async def run(self) -> None:
        """Make ready, then make the vectors of what is taught, for ever."""
        try:
            self._model = await asyncio.get_running_loop().run_in_executor(self._taught, self._make)
        except Exception as fault:  # noqa: BLE001 - as above
            log.warning("knowledge.vectors_off", reason=f"the model cannot be loaded: {type(fault).__name__}")
            return await _for_ever()
        made = 0
        while True:
            try:
                if not self._home:
                    async with self._database.transaction() as conn:
                        self._home = await vectors_sql.prepare(conn)
                    self._ready.set(1)
                    log.info("knowledge.vectors_ready")
                done = await self._make_some()
                made += done
                if done and made % TOLD_EVERY < done:
                    log.info("knowledge.vectors_made", made=made)
                if not done:
                    await asyncio.sleep(PAUSE)
            except NoVectorsError as fault:
                log.warning("knowledge.vectors_off", reason=str(fault))
                return await _for_ever()
            except Exception as fault:  # noqa: BLE001 - as above; and the database comes back
                log.warning("knowledge.vectors_failed", fault=type(fault).__name__)
                await asyncio.sleep(PAUSE)

    async def _make_some(self) -> int:
        async with self._database.transaction() as conn:
            pending = await vectors_sql.read_pending(conn, BATCH)
            if pending and self._model is not None:
                texts = [each.text for each in pending]
                made = await asyncio.get_running_loop().run_in_executor(self._taught, self._model.embed, texts)
                await vectors_sql.keep(conn, self._home, pending, made)
            self._pending.set(await vectors_sql.count_pending(conn))
        return len(pending)

    def close(self) -> None:
        """Let the threads go."""
        for threads in (self._asked, self._taught):
            threads.shutdown(wait=True, cancel_futures=True)


async def _for_ever() -> None:
    await asyncio.Event().wait()


def _step_back() -> None:
    # Whoever asks now goes before what was taught; on Linux priorities belong to threads.
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


@asynccontextmanager
async def open_meanings(
    database: Database, metrics: Metrics, *, is_wanted: bool, make: Callable[[], MiniLM] = MiniLM
) -> AsyncIterator[Meanings]:
    """Entered: being made ready, where they are wanted. Left: nothing is made any more."""
    meanings = Meanings(database, metrics, make)
    running: asyncio.Task[None] | None = None
    if is_wanted and not is_installed():
        log.warning("knowledge.vectors_off", reason="the extra is not installed: start ./hivemind with HIVEMIND_EXTRAS")
    elif is_wanted:
        running = asyncio.create_task(meanings.run(), name="vectors")
    try:
        yield meanings
    finally:
        if running is not None:
            running.cancel()
            await asyncio.wait([running])
        meanings.close()
