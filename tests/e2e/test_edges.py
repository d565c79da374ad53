"""`hivemind up` on a folder and with programs that are not as one wishes: it ends well, or with one line that says what to do."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from hivemind_common.embedded.account import embedded_account
from hivemind_common.secrets import new_token
from hivemind_common.testing.waiting import wait_until
from hivemind_server.settings import without_ours
from tests.e2e.refusing import driven, left_running, refused
from tests.running import COMMAND, START_LIMIT, up

pytestmark = pytest.mark.processes


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
