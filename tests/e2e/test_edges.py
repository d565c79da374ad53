"""`hivemind up` where a machine is not as one wishes: it ends well, or with one line that says what to do."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hivemind_common.embedded.account import embedded_account
from hivemind_common.secrets import new_token
from hivemind_common.testing.processes import alive, command_line
from hivemind_common.testing.waiting import until, wait_until
from hivemind_server.settings import without_ours
from tests.conftest import PASSWORD, Instance
from tests.running import COMMAND, START_LIMIT, up

pytestmark = pytest.mark.processes

NORMAL_AGAIN_WITHIN = 30

Mount = Callable[[str], Path]


def run(*arguments: str, command: Sequence[str] = COMMAND, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *arguments],
        env=without_ours() | variables,
        capture_output=True,
        text=True,
        timeout=START_LIMIT,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def refused(folder: Path, *texts: str, command: Sequence[str] = COMMAND, port: int = 0, **variables: str) -> None:
    """It cannot start: exit code 3, one line, perhaps one with the cure, and nothing is left of it."""
    done = run("up", "--data-dir", str(folder), "--port", str(port), command=command, **variables)
    assert_one_line(done, *texts)
    assert left_running(folder) == []
    assert not (folder / "run.json").exists()


def assert_one_line(done: subprocess.CompletedProcess[str], *texts: str) -> None:
    lines = done.stderr.splitlines()
    assert done.returncode == 3, done.stderr
    assert [line.split(": ")[0] for line in lines] in (["error"], ["error", "hint"]), done.stderr
    for text in texts:
        assert text in done.stderr


def left_running(folder: Path) -> list[bytes]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    found = [command_line(pid) for pid in pids if pid != os.getpid() and alive(pid)]
    return [line for line in found if os.fsencode(f"{folder}/") in line]


@pytest.fixture
def mount(open_folder: Path) -> Iterator[Mount]:
    """Make a small disk, or change one: `mount("size=8m")`."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root may mount a small disk")
    folder = open_folder / "disk"
    folder.mkdir(mode=0o711, exist_ok=True)

    def make(options: str) -> Path:
        options = f"{options},mode=711"
        again = ["-o", f"remount,{options}"] if folder.is_mount() else ["-t", "tmpfs", "-o", options, "tmpfs"]
        done = subprocess.run(["mount", *again, str(folder)], check=False, capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"no disk may be mounted here: {done.stderr.strip()}")
        return folder

    yield make
    if folder.is_mount():
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="module")
def used(open_folder: Path) -> Path:
    """A folder in which Hivemind has run."""
    folder = open_folder / "used"
    with up(folder):
        pass
    return folder


# The folder


def test_of_several_starts_at_once_on_one_folder_exactly_one_wins(open_folder: Path) -> None:
    folder = open_folder / "one"
    command = [*COMMAND, "up", "--data-dir", str(folder), "--port", "0"]
    starts = [
        subprocess.Popen(
            command, env=without_ours(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        for _ in range(3)
    ]
    try:
        wait_until((folder / "run.json").exists, limit=START_LIMIT, what="the one that wins")
        wait_until(lambda: sum(each.poll() is not None for each in starts) == 2, limit=10, what="the end of the others")
        (winner,) = [each for each in starts if each.poll() is None]
        for each in starts:
            if each is not winner:
                told = each.communicate()[1].decode()
                assert each.returncode == 3
                assert f"in use by process {winner.pid}" in told
                assert len(told.splitlines()) == 2
        winner.send_signal(signal.SIGTERM)
        winner.communicate(timeout=START_LIMIT)
        assert winner.returncode == 0
    finally:
        for each in starts:
            each.kill()
            each.communicate()
    assert left_running(folder) == []


def test_a_folder_that_belongs_to_something_else_is_refused_and_stays_as_it_was(open_folder: Path) -> None:
    folder = open_folder / "project"
    folder.mkdir(mode=0o711)
    (folder / "notes.txt").write_text("mine")

    refused(folder, "not empty", "notes.txt", f"--data-dir {folder}/hivemind-data")

    assert [entry.name for entry in folder.iterdir()] == ["notes.txt"]


def test_a_path_of_200_bytes_with_blanks_and_umlauts_will_do(open_folder: Path) -> None:
    parent = open_folder / "Büro Äpfel & Söhne"
    parent.mkdir(mode=0o711)
    folder = parent / ("ü" * ((200 - len(os.fsencode(parent)) - 1) // 2))
    assert 198 <= len(os.fsencode(folder)) <= 200
    with up(folder) as running:
        assert running.sql("SELECT count(*) FROM bots.bot") == [["0"]]
    assert left_running(folder) == []


def test_what_a_killed_run_left_behind_is_no_obstacle_and_whoever_has_its_numbers_now_is_left_alone(used: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as bystander:
        try:
            (used / "lock").write_text(f"{bystander.pid}\n")
            (used / "run.json").write_text('{"schema": 1, "pid": 1')
            (used / "run.json.new").write_text("")
            (used / "postgres" / "cluster" / "postmaster.pid").write_text(f"{bystander.pid}\n")
            with up(used) as running:
                assert running.told["pid"] == running.process.pid
            assert bystander.poll() is None
        finally:
            bystander.kill()


def test_a_cluster_of_another_major_version_is_refused_with_the_cure(open_folder: Path) -> None:
    folder = open_folder / "older"
    cluster = folder / "postgres" / "cluster"
    cluster.mkdir(parents=True)
    for path in (folder, folder / "postgres"):
        path.chmod(0o711)
    version = cluster / "PG_VERSION"
    version.write_text("17\n")
    account = embedded_account()
    if account is not None:
        os.chown(version, account.uid, account.gid)

    refused(folder, "was made by Postgres 17, and this one is 18", "HIVEMIND_POSTGRES_BIN=/usr/lib/postgresql/17/bin")


AS_NOBODY = """
import os
import hivemind_server.cli, hivemind_server.services, hivemind_server.up
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
"""
"""Root may write everywhere, so it becomes somebody else once all is loaded."""


def test_an_ordinary_user_who_may_not_write_there_is_told_so(open_folder: Path) -> None:
    parent = open_folder / "no entry"
    parent.mkdir()
    own = parent / "own"
    own.mkdir()
    if os.geteuid() == 0:
        os.chown(own, 65534, 65534)
    for path in (own, parent):
        path.chmod(0o555)
    try:
        for folder in (parent / "data", own):
            refused(folder, str(folder), "cannot be used: Permission denied", "--data-dir", command=driven(AS_NOBODY))
        assert [*parent.rglob("*")] == [own]
    finally:
        parent.chmod(0o755)


# The disk


def test_a_folder_on_a_read_only_disk_is_refused(mount: Mount) -> None:
    refused(mount("ro,size=1m"), "cannot be used: Read-only file system", "--data-dir")


def test_a_disk_that_is_full_at_the_first_start_is_named_and_room_is_all_that_is_needed(mount: Mount) -> None:
    for size in ("4k", "8m", "30m"):
        refused(mount(f"size={size}"), "No space left on device")
    with up(mount("size=200m")) as running:
        assert running.sql("SELECT 1") == [["1"]]


async def test_a_disk_that_fills_up_is_named_to_whoever_writes_and_all_is_well_once_there_is_room(mount: Mount) -> None:
    folder = mount("size=120m")
    with up(folder) as running:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            instance = Instance(running.url, http, {})
            await instance.register()
            await instance.mint("support")
            await instance.teach("support", "Refunds", "Refunds take ten days.")
            ballast = folder / "ballast"
            kept = ["Refunds"]

            async def teach(number: int) -> tuple[int, Any]:
                draft = {"title": f"No. {number}", "body": os.urandom(4_000).hex()}
                status, answer, _ = await instance.call("POST", "/api/v1/bots/support/knowledge", json=draft)
                if status == 201:
                    kept.append(draft["title"])
                return status, answer

            refusal = None
            for number in range(5_000):
                fill(ballast)
                status, answer = await teach(number)
                if status != 201:
                    refusal = status, answer["code"], answer["service"]
                    break
            assert refusal == (503, "unavailable", "db")
            assert running.process.poll() is None

            ballast.unlink()

            async def is_well() -> bool:
                _, report, _ = await instance.call("GET", "/api/v1/health", key="")
                return bool(report["status"] == "ok") and (await teach(9_999))[0] in {201, 409}

            await until(is_well, limit=NORMAL_AGAIN_WITHIN, what="all is well")
            rows = running.sql("SELECT title FROM knowledge.snippet")
            assert {title for (title,) in rows} >= set(kept)
            assert running.process.poll() is None


async def test_a_log_of_the_database_that_finds_no_room_is_waited_for_however_long_it_takes(mount: Mount) -> None:
    folder = mount("size=100m")
    with up(folder, "--logs") as running:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            instance = Instance(running.url, http, {})
            await instance.register()
            await instance.mint("support")
            ballast = folder / "ballast"
            fill(ballast)
            flood = "SELECT count(pg_logical_emit_message(true, 'x', repeat('y', 1000000))) FROM generate_series(1, 30)"
            run("sql", "--data-dir", str(folder), "-c", flood)

            # Five deaths within a minute end an instance; these are no such deaths.
            async def has_tried_often() -> bool:
                fill(ballast)
                return running.console.read_text().count("fleet.restart_failed") > 7

            await until(has_tried_often, limit=60, what="many tries")
            assert running.process.poll() is None
            assert running.console.read_text().count("The disk is full: postgres starts again") == 1
            status, answer, _ = await instance.call("GET", "/api/v1/bots/support")
            assert (status, answer["code"], answer["service"]) == (503, "unavailable", "db")

            ballast.unlink()

            async def is_well() -> bool:
                _, report, _ = await instance.call("GET", "/api/v1/health", key="")
                return bool(report["status"] == "ok")

            await until(is_well, limit=NORMAL_AGAIN_WITHIN, what="all is well")
            await instance.call("GET", "/api/v1/bots/support", expect=200)


def fill(ballast: Path) -> None:
    """Take what room is left on the disk."""
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
        while file.write(b"\0" * 4096) == 4096:
            pass


# Programs and ports


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        ("#!/bin/sh\nexit 1\n", 0o644, "may not"),
        ("no program\n", 0o755, "cannot be run: Exec format error"),
        ("#!/nonexistent/interpreter\n", 0o755, "cannot be run: No such file or directory"),
        ("#!/bin/sh\necho 'postgres (PostgreSQL) 14.20'\n", 0o755, "holds Postgres 14, and 15 is the oldest"),
    ],
    ids=["not executable", "no program", "no interpreter", "too old"],
)
def test_a_postgres_that_cannot_be_run_is_named(open_folder: Path, text: str, mode: int, reason: str) -> None:
    binaries = open_folder / f"bin-{mode:o}-{len(text)}"
    binaries.mkdir(mode=0o755)
    for name in ("postgres", "initdb"):
        program(binaries / name, text, mode)
    refused(open_folder / "data", str(binaries), reason, HIVEMIND_POSTGRES_BIN=str(binaries))


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [("no program\n", 0o644, "Permission denied"), ("no program\n", 0o755, "cannot be run: Exec format error")],
    ids=["not executable", "no program"],
)
def test_a_nats_server_that_cannot_be_run_is_named(open_folder: Path, text: str, mode: int, reason: str) -> None:
    binary = open_folder / f"nats-{mode:o}"
    program(binary, text, mode)
    refused(open_folder / "data", "nats", HIVEMIND_NATS_SERVER=str(binary))


def program(path: Path, text: str, mode: int) -> None:
    path.write_text(text)
    path.chmod(mode)


DRIVEN = """
import sys
from pathlib import Path
{change}
from hivemind_server.cli import main
sys.exit(main())
"""


def driven(change: str) -> Sequence[str]:
    """The command with one thing changed: what a test cannot do to a machine."""
    return (sys.executable, "-P", "-c", DRIVEN.format(change=change))


def test_a_port_that_is_taken_after_it_was_looked_at_is_named(open_folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        unaware = "from hivemind_server import up\nup.check_port = lambda bind: None"
        refused(open_folder / "late", str(port), command=driven(unaware), port=port)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            "from hivemind_common.embedded import postgres as part\npart.wheel_postgres = lambda: Path('/gone/bin')",
            "/gone/bin",
        ),
        (
            "from hivemind_common.embedded import nats as part\npart.wheel_nats = lambda: Path('/gone/nats')",
            "/gone/nats",
        ),
    ],
    ids=["postgres", "nats"],
)
def test_a_wheel_whose_program_is_gone_is_named(open_folder: Path, change: str, text: str) -> None:
    refused(open_folder / "data", text, command=driven(change))


# The database


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


# The clock


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


# Secrets


def test_a_service_process_is_told_its_own_secrets_only(open_folder: Path) -> None:
    folder = open_folder / "secrets"
    given = {"ADMIN_API_KEY": new_token(32), "HIVEMIND_METRICS_TOKEN": new_token(32), "HIVEMIND_LLM_API_KEY": "sk-1"}
    with up(folder, "--processes", HIVEMIND_LLM_PROVIDER="quote", DB_PASSWORD=new_token(32), **given):
        kept = {entry.name for entry in (folder / "secrets").glob("*.*")}
    servers = {"HIVEMIND_DATABASE_URL", "HIVEMIND_NATS_URL"}
    assert kept == {
        *(f"gateway.{name}" for name in ("ADMIN_API_KEY", "HIVEMIND_METRICS_TOKEN", "HIVEMIND_NATS_URL")),
        *(f"bots.{name}" for name in (*servers, "HIVEMIND_LLM_API_KEY", "HIVEMIND_INTEGRATION_ENCRYPTION_KEY")),
        *(f"{service}.{name}" for service in ("auth", "knowledge") for name in servers),
    }
