"""Work is done once, whatever statement a worker dies at."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest

from hivemind_common.db import Database, open_database
from hivemind_common.db.work import Held
from hivemind_common.embedded.postgres import OWNER
from hivemind_common.secrets import SecretStr
from hivemind_common.testing.servers import Servers
from hivemind_common.testing.statements import DeathError, Doom, doomed
from hivemind_common.testing.waiting import until
from hivemind_common.testing.working import act, add, claimed, effects, finish, worker


async def is_done(owner: Any) -> bool:
    return bool(await owner.fetchval("SELECT state = 'done' FROM work_test.work"))


async def run_to_its_end(servers: Servers, database: str, owner: Any, doom: Doom, *, cancelled: bool = False) -> None:
    """A worker meets its doom, or does its work where that comes too late; then nothing is left of it."""
    async with open_database(servers.dsn(OWNER, database), "victim", size=2) as own:
        with doomed(doom) as start:
            task = start(worker(own, poll=timedelta(hours=1)).run())
            if cancelled:
                doom.strike = task.cancel

            async def is_settled() -> bool:
                return task.done() or await is_done(owner)

            await until(is_settled, limit=10, what="its end, or the work's")
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, DeathError, BaseExceptionGroup):
                await task


@pytest.mark.parametrize("sent", [False, True], ids=["before", "after"])
async def test_whatever_statement_a_worker_dies_at_the_work_is_done_once(
    servers: Servers, database: str, pool: Database, owner: Any, sent: bool
) -> None:
    for number in range(100):
        await owner.execute("TRUNCATE work_test.work, work_test.effect")
        await add(pool, "a")
        doom = Doom(number, sent)
        await run_to_its_end(servers, database, owner, doom)
        await finish(pool, owner)
        assert await effects(owner) == ["a"]
        if not doom.has_struck:
            assert number > 5
            return
    raise AssertionError("it never came to an end")


@pytest.mark.parametrize("sent", [False, True], ids=["before", "in flight"])
async def test_whatever_statement_a_worker_is_stopped_at_its_row_is_done_or_free_at_once(
    servers: Servers, database: str, pool: Database, owner: Any, sent: bool
) -> None:
    for number in range(100):
        await owner.execute("TRUNCATE work_test.work, work_test.effect")
        await add(pool, "a")
        doom = Doom(number, sent, repeats=False)
        await run_to_its_end(servers, database, owner, doom, cancelled=True)
        if not await is_done(owner):
            assert (await claimed(pool)).attempt == 1, number
        await finish(pool, owner)
        assert await effects(owner) == ["a"]
        if not doom.has_struck:
            assert number > 5
            return
    raise AssertionError("it never came to an end")


def victim(number: int, url: str) -> None:
    """Run a worker in this process and die, as by a power cut, while a statement of this number is on its way."""

    async def main() -> None:
        doom = Doom(number, sent=True, strike=lambda: os.kill(os.getpid(), signal.SIGKILL), repeats=False)
        done = asyncio.Event()

        async def handle(held: Held) -> None:
            await act(held)
            done.set()

        async with open_database(SecretStr(url), "victim", size=2) as own:
            with doomed(doom) as start:
                task = start(worker(own, handle).run())
                await done.wait()
                task.cancel()
                await asyncio.wait({task})

    asyncio.run(main())


async def test_a_worker_whose_process_is_killed_leaves_its_work_to_others(
    servers: Servers, database: str, pool: Database, owner: Any
) -> None:
    url = servers.dsn(OWNER, database).get_secret_value()
    for number in range(100):
        await owner.execute("TRUNCATE work_test.work, work_test.effect")
        await add(pool, "a")
        command = [sys.executable, "-P", __file__, str(number), url]
        ended = await asyncio.to_thread(subprocess.run, command, check=False, capture_output=True, text=True)
        assert ended.returncode in {0, -signal.SIGKILL}, ended.stderr
        await finish(pool, owner)
        assert await effects(owner) == ["a"]
        if ended.returncode == 0:
            assert number > 5
            return
    raise AssertionError("it never came to an end")


if __name__ == "__main__":
    victim(int(sys.argv[1]), sys.argv[2])
