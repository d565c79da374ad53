"""Work that must not be lost: a row with a unique key, from the transaction that wants it to the one that does it.

Whoever wants something done adds a row in the transaction that makes it necessary, and gives a hint after the commit. A
worker claims rows for a while (a lease, by the database's clock), acts, and completes the row in the transaction of the
act. A hint may be lost: a poll looks anyway. A worker may die: its lease ends, and another one claims the row. A worker
may come back late: the row has been claimed once more since, so its completion is refused, and its act with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg
import orjson

from hivemind_common.db.pool import Conn, Database
from hivemind_common.errors import WORTH_RETRYING, HivemindError, UnavailableError
from hivemind_common.telemetry import Metrics, get_logger

POLL: Final = timedelta(seconds=2)
"""How often a worker looks where nobody gives a hint."""

_JITTER: Final = 0.25
_RELEASE_LIMIT: Final = timedelta(seconds=2)
_LONGEST_DELAY: Final = timedelta(days=1)
_LONGEST_REASON: Final = 500
_AWAY: Final = (
    UnavailableError,
    TimeoutError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
)
"""The database cannot just now, which is no fault of ours: a worker waits, and goes on."""

DDL: Final = """\
CREATE TABLE {work} (
    kind     text        NOT NULL,
    key      text        NOT NULL,
    payload  jsonb       NOT NULL,
    state    text        NOT NULL DEFAULT 'open',
    due_at   timestamptz NOT NULL DEFAULT statement_timestamp(),
    claims   integer     NOT NULL DEFAULT 0,
    attempts integer     NOT NULL DEFAULT 0,
    reason   text,
    added_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    ended_at timestamptz,
    CONSTRAINT work_pkey PRIMARY KEY (kind, key),
    CONSTRAINT work_state CHECK (state IN ('open', 'done', 'dead')),
    CONSTRAINT work_ended CHECK ((state = 'open') = (ended_at IS NULL)),
    CONSTRAINT work_dead CHECK (state <> 'dead' OR reason IS NOT NULL)
);
CREATE INDEX work_due ON {work} (kind, due_at) WHERE state = 'open';
CREATE INDEX work_of_the_dead ON {work} (kind, ended_at) WHERE state = 'dead';
CREATE INDEX work_ended_at ON {work} (ended_at) WHERE state = 'done';
COMMENT ON COLUMN {work}.due_at IS 'from when it may be claimed: after a delay, or when the lease of whoever has it ends';
COMMENT ON COLUMN {work}.claims IS 'counts every claim and never falls: only who holds the last one may complete the row';
COMMENT ON COLUMN {work}.attempts IS 'counts what was begun and not given back';
COMMENT ON COLUMN {work}.reason IS 'why the last attempt failed';
"""
"""What a migration copies, with `{work}` replaced by `<owner>.work`: the same table in the schema of each owner."""

_ADD = """
INSERT INTO {work} (kind, key, payload, due_at) VALUES ($1, $2, $3, statement_timestamp() + $4)
ON CONFLICT ON CONSTRAINT work_pkey DO NOTHING
RETURNING true
"""

# What another worker is claiming just now is skipped, and so is what it has claimed since this statement began: the row
# is judged again under its lock.
_CLAIM = """
WITH due AS MATERIALIZED (
    SELECT kind, key FROM {work}
     WHERE kind = $1 AND state = 'open' AND due_at <= statement_timestamp()
     ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
UPDATE {work} AS work
   SET claims = work.claims + 1, attempts = work.attempts + 1, due_at = statement_timestamp() + $3
  FROM due
 WHERE work.kind = due.kind AND work.key = due.key
RETURNING work.kind, work.key, work.payload::text, work.attempts AS attempt, work.claims AS claim
"""

_IF_HELD = "WHERE kind = $1 AND key = $2 AND claims = $3 AND state = 'open' RETURNING true"
_RENEW = "UPDATE {work} SET due_at = statement_timestamp() + $4 {if_held}"
_COMPLETE = "UPDATE {work} SET state = 'done', ended_at = statement_timestamp() {if_held}"
_RETRY = "UPDATE {work} SET due_at = statement_timestamp() + $4, reason = $5 {if_held}"
_BURY = "UPDATE {work} SET state = 'dead', ended_at = statement_timestamp(), reason = $4 {if_held}"
_RELEASE = "UPDATE {work} SET due_at = statement_timestamp(), attempts = attempts - 1 {if_held}"

_READ_DEAD = """
SELECT kind, key, payload::text, attempts, reason, ended_at FROM {work}
 WHERE kind = $1 AND state = 'dead' ORDER BY ended_at DESC, key LIMIT $2
"""
_REVIVE = """
UPDATE {work} SET state = 'open', ended_at = NULL, attempts = 0, due_at = statement_timestamp()
 WHERE kind = $1 AND key = $2 AND state = 'dead' RETURNING true
"""
# Each count has an index of its own; both in one WHERE would read all that was ever done.
_COUNT = """
SELECT (SELECT count(*) FROM {work} WHERE kind = $1 AND state = 'open') AS open,
       (SELECT count(*) FROM {work} WHERE kind = $1 AND state = 'dead') AS dead
"""
_FORGET = "DELETE FROM {work} WHERE state = 'done' AND ended_at < statement_timestamp() - $1::interval"


class LostLeaseError(Exception):
    """The row was claimed by another worker meanwhile, or has ended: what was done for it must not count."""


@dataclass(frozen=True)
class Work:
    """A row that somebody has claimed."""

    kind: str
    key: str
    payload: Any
    attempt: int
    """Counted from 1. What was given back unfinished is not counted."""
    claim: int
    """Higher than that of everybody who had the row before."""
    is_readable: bool = True
    """Whether the payload could be decoded; one that could not is the text that stands in the database."""


@dataclass(frozen=True)
class DeadWork:
    """A row that was given up, as an operator sees it."""

    kind: str
    key: str
    payload: Any
    attempts: int
    reason: str
    ended_at: datetime


class WorkTable:
    """The work of one owner; each method is one statement on the connection that it is given."""

    def __init__(self, owner: str) -> None:
        if not re.fullmatch(r"[a-z_]+", owner):
            raise ValueError(f"{owner} is no schema of ours")
        self._name = f"{owner}.work"

    @property
    def ddl(self) -> str:
        """What makes this table."""
        return self._sql(DDL)

    async def add(self, conn: Conn, kind: str, key: str, payload: Any, *, after: timedelta = timedelta()) -> bool:
        """Want something done; false when a row of this kind and key stands already, whatever became of it."""
        return bool(await conn.fetchval(self._sql(_ADD), kind, key, payload, after))

    async def claim(self, conn: Conn, kind: str, limit: int, lease: timedelta) -> Sequence[Work]:
        """Claim at most `limit` rows that are due, the longest due first. Nobody else gets them while the lease lasts."""
        rows = await conn.fetch(self._sql(_CLAIM), kind, limit, lease)
        return [Work(**row | _decoded(row["payload"])) for row in map(dict, rows)]

    async def renew(self, conn: Conn, work: Work, lease: timedelta) -> None:
        """Begin the lease anew; raises `LostLeaseError`."""
        await self._held(conn, _RENEW, work, lease)

    async def complete(self, conn: Conn, work: Work) -> None:
        """Mark the row done; raises `LostLeaseError`. In one transaction with the act both happen or none does."""
        await self._held(conn, _COMPLETE, work)

    async def retry(self, conn: Conn, work: Work, after: timedelta, reason: str) -> None:
        """Let it be claimed again after a while; raises `LostLeaseError`."""
        await self._held(conn, _RETRY, work, after, reason)

    async def bury(self, conn: Conn, work: Work, reason: str) -> None:
        """Give the row up, visibly; raises `LostLeaseError`."""
        await self._held(conn, _BURY, work, reason)

    async def release(self, conn: Conn, work: Work) -> None:
        """Give the row back as if it had not been claimed; raises `LostLeaseError`."""
        await self._held(conn, _RELEASE, work)

    async def read_dead(self, conn: Conn, kind: str, limit: int = 100) -> Sequence[DeadWork]:
        """Return what was given up, the latest first."""
        rows = await conn.fetch(self._sql(_READ_DEAD), kind, limit)
        return [DeadWork(**row | {"payload": _decoded(row["payload"])["payload"]}) for row in map(dict, rows)]

    async def revive(self, conn: Conn, kind: str, key: str) -> bool:
        """Begin anew with a row that was given up; false when there is none."""
        return bool(await conn.fetchval(self._sql(_REVIVE), kind, key))

    async def count(self, conn: Conn, kind: str) -> Mapping[str, int]:
        """Return how many rows are `open` and `dead`."""
        (row,) = await conn.fetch(self._sql(_COUNT), kind)
        return dict(row)

    async def forget(self, conn: Conn, older_than: timedelta) -> None:
        """Remove rows that were done so long ago that nobody will add their keys again."""
        await conn.execute(self._sql(_FORGET), older_than)

    async def _held(self, conn: Conn, statement: str, work: Work, *more: Any) -> None:
        if not await conn.fetchval(self._sql(statement), work.kind, work.key, work.claim, *more):
            raise LostLeaseError(f"{work.kind} {work.key}, claim {work.claim}")

    def _sql(self, statement: str) -> str:
        return statement.replace("{if_held}", _IF_HELD).replace("{work}", self._name)


def _decoded(payload: str) -> dict[str, Any]:
    """Decode what one row wants. Postgres keeps numbers that nobody else reads, and one bad row must not stop a batch."""
    try:
        return {"payload": orjson.loads(payload), "is_readable": True}
    except orjson.JSONDecodeError:
        return {"payload": payload, "is_readable": False}


def _storable(reason: str) -> str:
    """Cut a reason, which may quote anybody, down to text that Postgres takes: no NUL, and nothing that is no UTF-8."""
    return reason[:_LONGEST_REASON].replace("\0", "").encode(errors="replace").decode()


class WorkMetrics:
    """What the workers of a service count; made once for each service."""

    def __init__(self, metrics: Metrics) -> None:
        self.waiting = metrics.gauge("hivemind_work_waiting", "Rows that are to be worked on, or worked on.", "kind")
        self.dead = metrics.gauge("hivemind_work_dead", "Rows that were given up.", "kind")
        self.ended = metrics.counter("hivemind_work_attempts", "Attempts, by how they ended.", "kind", "outcome")


class Held:
    """A row in the hands of its handler."""

    def __init__(self, worker: Worker, work: Work, deadline: asyncio.Timeout) -> None:
        self.work = work
        self.is_completed = False
        self._worker = worker
        self._deadline = deadline

    @asynccontextmanager
    async def completing(self) -> AsyncIterator[Conn]:
        """Lend a transaction for the act: the row is done when it is committed, and only then.

        Raises `LostLeaseError` before the act when the row is no longer ours; it stays ours until the commit.
        """
        async with self._worker.database.transaction() as conn:
            await self._worker.table.complete(conn, self.work)
            yield conn
        self.is_completed = True

    async def renew(self) -> None:
        """Begin lease and deadline anew, for an act of several parts; raises `LostLeaseError`."""
        asked_at = asyncio.get_running_loop().time()
        async with self._worker.database.connection() as conn:
            await self._worker.table.renew(conn, self.work, self._worker.lease)
        self._deadline.reschedule(asked_at + self._worker.deadline.total_seconds())


Handler = Callable[[Held], Awaitable[None]]
"""Does what a row wants, and writes of it in `Held.completing`. One that returns without has nothing to write.

What it raises decides: a refusal that asking again cannot cure buries the row, anything else is tried again.
"""


def _is_asked_to_stop() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Worker:
    """Does the work of one kind. `run` is a loop for `runtime.daemons`; cancelled, it gives back what it has not done.

    `delays` are those before the second attempt, the third and so on; when the attempt after the last one fails, the row
    is dead. An attempt that takes longer than `deadline` has failed. The deadline is shorter than the lease, and counted
    from before the claim: a handler never acts on a row that may be another's. `random` answers 0 to 1; the host's clock
    is not asked for anything.
    """

    def __init__(
        self,
        database: Database,
        table: WorkTable,
        kind: str,
        handler: Handler,
        *,
        metrics: WorkMetrics,
        random: Callable[[], float],
        delays: Sequence[timedelta],
        lease: timedelta,
        deadline: timedelta,
        slots: int = 4,
        poll: timedelta = POLL,
    ) -> None:
        if deadline >= lease:
            raise ValueError("a deadline ends before the lease does")
        self.database = database
        self.table = table
        self.lease = lease
        self.deadline = deadline
        self._kind = kind
        self._handler = handler
        self._metrics = metrics
        self._random = random
        self._delays = tuple(delays)
        self._slots = slots
        self._poll = poll
        self._hinted = asyncio.Event()
        self._counts_at = 0.0
        self._busy: set[asyncio.Task[None]] = set()

    def hint(self, *_: object) -> None:
        """Say that there may be work now. To be called after the commit, from anywhere in this loop's thread."""
        self._hinted.set()

    async def run(self) -> None:
        """Work until cancelled."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            while True:
                while len(self._busy) >= self._slots:
                    await asyncio.wait(self._busy, return_when=asyncio.FIRST_COMPLETED)
                self._hinted.clear()
                free = self._slots - len(self._busy)
                ends_at = loop.time() + self.deadline.total_seconds()
                taken = await self._claim(free)
                for work in taken:
                    task = group.create_task(self._attend(work, ends_at), name=f"work {work.kind}")
                    self._busy.add(task)
                    task.add_done_callback(self._busy.discard)
                if len(taken) < free:
                    await self._count()
                    await self._pause()

    async def _pause(self) -> None:
        # Many workers that began together drift apart, and do not ask all at once.
        seconds = self._poll.total_seconds() * (1 - _JITTER * self._random())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hinted.wait()

    async def _claim(self, limit: int) -> Sequence[Work]:
        """Claim; nothing where the database is away. Cancelled meanwhile, it gives back what the claim still brings."""
        claiming = asyncio.ensure_future(self._claim_now(limit))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RELEASE_LIMIT.total_seconds()):
                    for work in await claiming:
                        await self._release(work)
            raise

    async def _claim_now(self, limit: int) -> Sequence[Work]:
        try:
            async with self.database.connection() as conn:
                return await self.table.claim(conn, self._kind, limit, self.lease)
        except _AWAY as fault:
            get_logger().warning("work.waits", kind=self._kind, reason=type(fault).__name__)
            return ()

    async def _count(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._counts_at:
            return
        self._counts_at = now + self._poll.total_seconds()
        with contextlib.suppress(*_AWAY):
            async with self.database.connection() as conn:
                counted = await self.table.count(conn, self._kind)
            self._metrics.waiting.labels(self._kind).set(counted["open"])
            self._metrics.dead.labels(self._kind).set(counted["dead"])

    async def _attend(self, work: Work, ends_at: float) -> None:
        """Bring one row to the end of this attempt, and say how it came out."""
        if hopeless := self._hopeless(work):
            await self._end(work, "dead", hopeless)
            return
        try:
            async with asyncio.timeout_at(ends_at) as deadline:
                held = Held(self, work, deadline)
                await self._handler(held)
                if not held.is_completed:
                    async with held.completing():
                        pass
        except asyncio.CancelledError:
            if not _is_asked_to_stop():
                # Somebody has cancelled what the handler waited for, and not us: an attempt that failed.
                await self._fail(work, "internal: CancelledError")
                return
            await self._give_back(work)
            raise
        except LostLeaseError:
            self._tell(work, "lost")
        except HivemindError as fault:
            may_help = fault.kind in WORTH_RETRYING
            await self._fail(work, f"{fault.code}: {fault.message}", fault.retry_after, may_help=may_help)
        except TimeoutError:
            await self._fail(work, "deadline: it took too long")
        except Exception as fault:  # noqa: BLE001 - a bug in one row is its reason, and no end to the work on others
            get_logger().error("work.bug", kind=work.kind, attempt=work.attempt, exc_info=fault)
            await self._fail(work, f"internal: {type(fault).__name__}")
        else:
            self._tell(work, "done")

    def _hopeless(self, work: Work) -> str:
        """Say why a row is not even begun, or nothing."""
        if work.attempt > len(self._delays) + 1:
            return "no attempt came to an end: its workers died, or took too long"
        return "" if work.is_readable else "payload: it cannot be decoded"

    async def _fail(self, work: Work, reason: str, retry_after: int | None = None, *, may_help: bool = True) -> None:
        if not may_help or work.attempt > len(self._delays):
            await self._end(work, "dead", reason)
            return
        delay = self._delays[work.attempt - 1] * (1 + _JITTER * self._random())
        # A provider's wish, which may be any number; as a number it may not fit into a timedelta.
        wished = timedelta(seconds=min(retry_after or 0, _LONGEST_DELAY.total_seconds()))
        await self._end(work, "retried", reason, max(delay, wished))

    async def _end(self, work: Work, outcome: str, reason: str, after: timedelta = timedelta()) -> None:
        try:
            async with self.database.connection() as conn:
                if outcome == "dead":
                    await self.table.bury(conn, work, _storable(reason))
                else:
                    await self.table.retry(conn, work, after, _storable(reason))
        except LostLeaseError:
            outcome = "lost"
        except _AWAY:
            outcome = "untold"  # the lease ends by itself, and the next claim counts as the next attempt
        except asyncio.CancelledError:
            await self._give_back(work)
            raise
        except Exception as fault:  # noqa: BLE001 - one row that cannot be ended must not end the work on others
            get_logger().error("work.untold", kind=work.kind, attempt=work.attempt, exc_info=fault)
            outcome = "untold"
        self._tell(work, outcome, reason)

    async def _give_back(self, work: Work) -> None:
        self._tell(work, "released")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RELEASE_LIMIT.total_seconds()):
                await self._release(work)

    async def _release(self, work: Work) -> None:
        with contextlib.suppress(LostLeaseError, *_AWAY):
            async with self.database.connection() as conn:
                await self.table.release(conn, work)

    def _tell(self, work: Work, outcome: str, reason: str = "") -> None:
        self._metrics.ended.labels(work.kind, outcome).inc()
        if outcome != "done":
            # The key stays out of the line: it may be an id of a person. The reason may quote what somebody wrote.
            get_logger().info(
                "work.ended",
                kind=work.kind,
                outcome=outcome,
                attempt=work.attempt,
                code=reason.split(":", maxsplit=1)[0],
            )
