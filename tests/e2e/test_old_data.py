"""Data from before, and a clock that says it is still then: it goes on, or says in one line why it cannot."""

from __future__ import annotations

import signal
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import PASSWORD, Instance
from tests.e2e.refusing import assert_one_line, driven, left_running, refused, run
from tests.running import up

pytestmark = pytest.mark.processes


def test_an_edited_migration_is_refused_in_one_line(open_folder: Path) -> None:
    folder = open_folder / "edited"
    with up(folder) as running:
        running.sql("UPDATE meta.migration SET checksum = '' WHERE owner = 'bots' AND number = 1")
    refused(folder, "the migration bots/0001", "was edited", "hint: restore the file")


KILLED_WHILE_IT_MIGRATES = """
import os, signal
from hivemind_common.testing.statements import Doom, doomed
from hivemind_server import fleet
true_migrate = fleet.migrate
async def migrate(*arguments):
    doom = Doom({statement}, sent=True, strike=lambda: os.kill(os.getpid(), signal.SIGKILL), repeats=False)
    with doomed(doom) as start:
        return await start(true_migrate(*arguments))
fleet.migrate = migrate
"""


@pytest.mark.parametrize("statement", [6, 24])
def test_a_first_start_that_is_killed_while_it_migrates_is_made_up_for_by_the_next(
    open_folder: Path, statement: int
) -> None:
    folder = open_folder / f"killed-{statement}"
    killed = driven(KILLED_WHILE_IT_MIGRATES.format(statement=statement))
    assert run("up", "--data-dir", str(folder), "--port", "0", command=killed).returncode == -signal.SIGKILL
    with up(folder) as running:
        assert running.sql("SELECT schema_version = (SELECT count(*) FROM meta.migration) FROM meta.state") == [["t"]]
    assert left_running(folder) == []


def test_migrating_by_hand_ends_with_0_or_one_line(used: Path) -> None:
    with up(used):
        url = (used / "secrets" / "ops_dsn").read_text().strip()
        for phase in ((), ("--pre",), ("--post",)):
            done = run("migrate", *phase, HIVEMIND_DATABASE_URL=url)
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout.startswith("The database is at schema ")
        password = url.split(":")[2].split("@")[0]
        wrong = run("migrate", HIVEMIND_DATABASE_URL=url.replace(password, "wrong"))
        assert_one_line(wrong, "password authentication failed")
        assert password not in wrong.stderr
        bots = url.replace("//hivemind:", "//hivemind_bots:").replace(
            password, (used / "secrets" / "hivemind_bots").read_text().strip()
        )
        assert_one_line(run("migrate", HIVEMIND_DATABASE_URL=bots), "hint: log in as the role hivemind")
        assert run("migrate", "--pre", "--post").returncode == 2
    assert_one_line(run("migrate", HIVEMIND_DATABASE_URL=url), "HIVEMIND_DATABASE_URL: the database does not answer")


SHIFTED = """
import time
from datetime import timedelta
from hivemind_common import clock
file = Path({file!r})
true_ns, true_clock = time.time_ns, clock.system_clock
time.time_ns = lambda: true_ns() + int(file.read_text()) * 10**9
time.time = lambda: time.time_ns() / 10**9
clock.system_clock = lambda: true_clock() + timedelta(seconds=int(file.read_text()))
"""
"""A clock of the host that a test sets: whatever asks for the time of the day gets it. Nothing sets a monotonic one."""


async def test_a_clock_that_is_set_back_an_hour_while_it_runs_changes_nothing(open_folder: Path) -> None:
    clock = open_folder / "clock"

    def set_clock(seconds: int) -> None:
        fresh = clock.with_suffix(".new")
        fresh.write_text(str(seconds))
        fresh.replace(clock)

    set_clock(0)
    shifted = driven(SHIFTED.format(file=str(clock)))
    # The clock of the database stays as it is, so that the two disagree, too.
    with up(open_folder / "clocked", command=shifted) as running:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            instance = Instance(running.url, http, {})
            await instance.register()
            await instance.mint("support")
            await instance.teach("support", "Refunds", "Refunds take ten days.")

            async def told_at() -> str:
                _, report, _ = await instance.call("GET", "/api/v1/health", key="")
                assert report["status"] == "ok"
                return str(report["time"])

            async def chat(text: str) -> None:
                await instance.call("POST", "/api/v1/bots/support/chat", json={"message": text}, expect=200)

            before = await told_at()
            await chat("first")
            set_clock(-3600)
            assert await told_at() < before
            await chat("second")
            await instance.mint("sales")
            form = {"email": "ada@example.org", "password": PASSWORD}
            await instance.call("POST", "/auth/login", json=form, key="", expect=200)
            set_clock(0)
            assert await told_at() > before
            await chat("third")

            asked = running.sql("SELECT text FROM bots.message WHERE role = 'user' ORDER BY id")
            assert asked == [["first"], ["second"], ["third"]]
