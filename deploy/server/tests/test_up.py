"""The command as people meet it: real processes, real signals, one line for each refusal."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from hivemind_common.testing.processes import alive
from hivemind_common.testing.waiting import wait_until
from hivemind_server.settings import without_ours

pytestmark = pytest.mark.processes

COMMAND = (sys.executable, "-P", "-m", "hivemind_server")
LIMIT = 60


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=without_ours() | variables,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@contextlib.contextmanager
def started(folder: Path, *arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """`hivemind up` on the folder, ready."""
    command = [*COMMAND, "up", "--data-dir", str(folder), "--port", "0", *arguments]
    environment = without_ours() | variables
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as up:
        try:
            assert up.stdout is not None
            read_until(up, "Hivemind is ready: ")
            yield up
        finally:
            up.kill()


def read_until(up: subprocess.Popen[str], text: str) -> str:
    assert up.stdout is not None
    for line in up.stdout:
        if text in line:
            return line
    raise AssertionError(up.stderr.read() if up.stderr else "")


def run_file(folder: Path) -> Any:
    return json.loads((folder / "run.json").read_text())


def wait_for_the_end_of(pids: Sequence[int]) -> None:
    wait_until(lambda: not any(alive(pid) for pid in pids), limit=15, what=f"the end of {list(pids)}")


def pids_of(told: Any) -> list[int]:
    return sorted({told["postgres"]["pid"], told["nats"]["pid"], *(each["pid"] for each in told["services"].values())})


def health(url: str) -> Any:
    with urllib.request.urlopen(f"{url}/api/v1/health", timeout=5) as answer:
        return json.load(answer)


def assert_refused(done: subprocess.CompletedProcess[str], *texts: str, code: int = 3) -> None:
    assert done.returncode == code, done.stderr
    errors = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
    assert errors[0].startswith("error: ")
    assert all(line.startswith("hint: ") for line in errors[1:])
    assert len(errors) <= 2
    for text in texts:
        assert text in done.stderr


@pytest.mark.parametrize("mode", [(), ("--processes",)], ids=["tasks", "processes"])
def test_it_starts_says_where_it_is_and_stops_in_order(open_folder: Path, mode: tuple[str, ...]) -> None:
    folder = open_folder / "dätä folder"
    with started(folder, *mode) as up:
        told = run_file(folder)
        assert told["pid"] == up.pid
        assert set(told) == {
            "schema", "version", "pid", "url", "started_at", "ready_at", "services", "postgres", "nats", "logs",
        }  # fmt: skip
        assert list(told["services"]) == ["gateway", "auth", "bots", "knowledge"]
        assert {each["pid"] == up.pid for each in told["services"].values()} == {not mode}
        assert stat.S_IMODE((folder / "run.json").stat().st_mode) == 0o600
        assert health(told["url"])["status"] == "ok"
        for each in told["services"].values():
            with urllib.request.urlopen(f"{each['ops_url']}/readyz", timeout=5) as answer:
                assert answer.read() == b"ok\n"
        pids = pids_of(told)
        up.send_signal(signal.SIGTERM)
        assert up.wait(LIMIT) == 0
    assert not any(alive(pid) for pid in pids)
    assert not (folder / "run.json").exists()
    logged = b"".join(file.read_bytes() for file in (folder / "logs").glob("gateway.log"))
    assert b'"event":"http.request"' in logged
    assert not list((folder / "secrets").glob("*.*"))
    for secret in (folder / "secrets").iterdir():
        assert secret.read_bytes().strip() not in logged


@pytest.mark.parametrize("mode", [(), ("--processes",)], ids=["tasks", "processes"])
def test_a_killed_run_ends_its_children_and_the_next_one_follows_at_once(
    open_folder: Path, mode: tuple[str, ...]
) -> None:
    folder = open_folder / "data"
    with started(folder, *mode) as up:
        pids = pids_of(run_file(folder))
        up.kill()
        up.wait(LIMIT)
    with started(folder, *mode) as up:
        wait_for_the_end_of(pids)
        assert health(run_file(folder)["url"])["status"] == "ok"
        up.send_signal(signal.SIGINT)
        assert up.wait(LIMIT) == 0


def test_a_killed_service_is_back_by_itself(open_folder: Path) -> None:
    folder = open_folder / "data"
    with started(folder, "--processes") as up:
        before = run_file(folder)
        os.kill(before["services"]["bots"]["pid"], signal.SIGKILL)
        killed = before["services"]["bots"]["pid"]
        wait_until(lambda: run_file(folder)["services"]["bots"]["pid"] != killed, limit=10, what="bots is back")
        assert run_file(folder)["url"] == before["url"]
        assert health(before["url"])["status"] == "ok"
        up.send_signal(signal.SIGTERM)
        assert up.wait(LIMIT) == 0


def test_a_signal_while_it_starts_stops_it_and_a_second_one_at_once(open_folder: Path) -> None:
    command = [*COMMAND, "up", "--data-dir", str(open_folder / "data"), "--port", "0"]
    with subprocess.Popen(command, env=without_ours(), stdout=subprocess.PIPE, text=True) as up:
        read_until(up, "are starting")
        up.send_signal(signal.SIGINT)
        assert up.wait(LIMIT) == 0
    with started(open_folder / "data") as up:
        pids = pids_of(run_file(open_folder / "data"))
        with socket.create_connection(
            ("127.0.0.1", int(run_file(open_folder / "data")["url"].rpartition(":")[2]))
        ) as slow:
            slow.sendall(
                b"POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
            )
            up.send_signal(signal.SIGTERM)
            read_until(up, "Stopping")
            up.send_signal(signal.SIGTERM)
            assert up.wait(LIMIT) == 130
    assert not any(alive(pid) for pid in pids if pid != up.pid)


def test_sql_speaks_as_the_owner_while_it_runs(open_folder: Path) -> None:
    folder = open_folder / "data"
    asked = ("sql", "--data-dir", str(folder), "-c")
    assert_refused(run(*asked, "SELECT 1"), "nothing has run")
    with started(folder) as up:
        assert run(*asked, "SELECT current_user AS who, NULL AS nothing, true AS yes").stdout == (
            "who\tnothing\tyes\nhivemind\t\tt\n"
        )
        assert run(*asked, "CREATE TABLE public.note (text text)").stdout == "CREATE TABLE\n"
        assert_refused(run(*asked, "SELECT nix"), 'column "nix" does not exist', code=1)
        prompt = subprocess.run(
            [*COMMAND, *asked[:-1]],
            input="INSERT INTO note\nVALUES ('ü');\n\nSELECT * FROM note",
            env=without_ours(),
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=True,
        )
        assert prompt.stdout == "INSERT 0 1\ntext\nü\n"
        for statement in ("COPY note FROM STDIN", "/* all */ copy (SELECT 1)\nTO stdout;"):
            assert_refused(run(*asked, statement), "COPY", "hint: use INSERT or SELECT", code=1)
        beyond = "'10000-01-01'::date AS day, '24:00'::time AS hour, make_interval(days => 1000000000) AS long"
        assert run(*asked, f"SELECT {beyond}").stdout == "day\thour\tlong\n10000-01-01\t24:00:00\t1000000000 days\n"
        assert run(*asked, "SELECT ARRAY['infinity'::timestamptz, NULL] AS ends").stdout == "ends\n{infinity,}\n"
        assert_refused(run(*asked, "SELECT '[2026-01-01,)'::daterange"), "hint: what cannot be shown", code=1)
        assert_refused(run(*asked, "SELECT $1::text"), "expects 1 argument", code=1)
        assert_refused(run(*asked, os.fsdecode(b"SELECT 'latin-\xfc'")), "no text in UTF-8", code=1)
        spoilt = subprocess.run(
            [*COMMAND, *asked[:-1]],
            input=b"SELECT '\xfc';\nSELECT 2 AS two;\n",
            env=without_ours(),
            capture_output=True,
            timeout=LIMIT,
            check=False,
        )
        assert (spoilt.returncode, spoilt.stdout) == (1, b"two\n2\n")
        assert spoilt.stderr == b"error: the statement is no text in UTF-8\n"
        up.send_signal(signal.SIGTERM)
        assert up.wait(LIMIT) == 0
    assert_refused(run(*asked, "SELECT 1"), "no database answers")


def test_what_is_set_for_psql_and_another_database_reaches_neither_up_nor_sql(open_folder: Path) -> None:
    folder = open_folder / "data"
    foreign = {"PGPORT": "abc", "PGTARGETSESSIONATTRS": "standby", "PGSSLMODE": "verify-full"}
    with started(folder, **foreign) as up:
        assert run("sql", "--data-dir", str(folder), "-c", "SELECT 1 AS one", **foreign).stdout == "one\n1\n"
        up.send_signal(signal.SIGTERM)
        assert up.wait(LIMIT) == 0


def test_a_folder_in_use_names_its_holder(open_folder: Path) -> None:
    with started(open_folder / "data") as up:
        refused = run("up", "--data-dir", str(open_folder / "data"), "--port", "0")
        assert_refused(refused, str(open_folder / "data"), f"in use by process {up.pid}")
        assert health(run_file(open_folder / "data")["url"])["status"] == "ok"
        up.send_signal(signal.SIGTERM)
        assert up.wait(LIMIT) == 0


def test_a_folder_of_a_newer_version_is_refused(open_folder: Path) -> None:
    folder = open_folder / "data"
    with started(folder) as up:
        statement = "UPDATE meta.state SET schema_version = 9999, oldest_code = 9999"
        assert run("sql", "--data-dir", str(folder), "-c", statement).returncode == 0
        up.send_signal(signal.SIGTERM)
        assert up.wait(LIMIT) == 0
    assert_refused(run("up", "--data-dir", str(folder), "--port", "0"), "newer version")
    assert not (folder / "run.json").exists()


def test_a_taken_port_is_named(open_folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = run("up", "--data-dir", str(open_folder / "data"), "--port", str(port))
        assert_refused(refused, f"port {port}", "hint: ")


@pytest.mark.parametrize(
    ("variables", "texts"),
    [
        ({"HIVEMIND_LOG_LEVEL": "loud"}, ["HIVEMIND_LOG_LEVEL", "example: HIVEMIND_LOG_LEVEL=info"]),
        ({"HIVEMIND_BIND": "[::1"}, ["HIVEMIND_BIND", "example: HIVEMIND_BIND=127.0.0.1:8585"]),
        ({"ADMIN_API_KEY": "short"}, ["ADMIN_API_KEY"]),
        ({"DB_PASSWORD_FILE": "/nonexistent"}, ["DB_PASSWORD_FILE", "/nonexistent"]),
        ({"HIVEMIND_POSTGRES_BIN": "/nonexistent"}, ["/nonexistent", "HIVEMIND_POSTGRES_BIN"]),
        ({"HIVEMIND_NATS_SERVER": "/nonexistent"}, ["/nonexistent", "HIVEMIND_NATS_SERVER"]),
    ],
)
def test_a_bad_variable_is_named_with_an_example(
    open_folder: Path, variables: dict[str, str], texts: list[str]
) -> None:
    assert_refused(run("up", "--data-dir", str(open_folder / "data"), "--port", "0", **variables), *texts)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("up", "--data-dir", "/proc/hivemind"), "/proc/hivemind"),
        (("up", "--data-dir", "/dev/null"), "/dev/null"),
        (("up", "--env-file", "/nonexistent"), "/nonexistent"),
        (("up", "--host", "192.0.2.1", "--port", "8585"), "192.0.2.1"),
        (("service", "bots"), "HIVEMIND_DATABASE_URL"),
        (("migrate",), "HIVEMIND_DATABASE_URL"),
    ],
)
def test_what_cannot_be_done_here_is_one_line(open_folder: Path, arguments: tuple[str, ...], text: str) -> None:
    more = ("--data-dir", str(open_folder / "data")) if arguments[0] == "up" and "--data-dir" not in arguments else ()
    assert_refused(run(*arguments, *more), text)


@pytest.mark.parametrize("name", [b"line\nbreak", b"latin-\xfc"], ids=["line break", "no UTF-8"])
def test_a_folder_whose_path_the_servers_cannot_be_told_is_refused_and_not_made(open_folder: Path, name: bytes) -> None:
    folder = open_folder / os.fsdecode(name) / "data"
    assert_refused(run("up", "--data-dir", str(folder), "--port", "0"), "the data folder ", "hint: choose another")
    assert list(open_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "variables", "text"),
    [
        ("postgresql://hivemind:hush@[::1/x", {}, "example: HIVEMIND_DATABASE_URL="),
        ("postgresql://hivemind:hu/sh@localhost:hush/x", {}, ""),
        ("postgresql://hivemind:hush@127.0.0.1:1/x?sslmode=bogus", {}, "sslmode"),
        ("postgresql://hivemind:hush@127.0.0.1:1/x?sslmode=verify-full", {"HOME": "/nonexistent"}, "root certificate"),
        ("postgresql://hivemind:hush@127.0.0.1/x", {"PGPORT": "abc"}, "PG…"),
        ("postgresql://hivemind:hush@127.0.0.1:1/x", {"PGTARGETSESSIONATTRS": "nix"}, "target_session_attrs"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_line_without_its_password(
    url: str, variables: dict[str, str], text: str
) -> None:
    refused = run("migrate", HIVEMIND_DATABASE_URL=url, **variables)
    assert_refused(refused, text)
    assert "hu" not in refused.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nix",),
        ("up", "--port", "65536"),
        ("up", "--nix"),
        ("service", "nix"),
        ("up", "--host", "a b"),
        ("up", "--data-dir", ""),
    ],
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).returncode == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the servers as another account")
def test_a_folder_that_the_account_of_the_servers_cannot_reach_is_refused(open_folder: Path) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    refused = run("up", "--data-dir", str(closed / "data"), "--port", "0")
    assert_refused(refused, "hivemind-embedded", "--data-dir /var/lib/hivemind")
    assert list(closed.iterdir()) == []


def test_the_version_is_one_line() -> None:
    assert re.fullmatch(r"hivemind \d+\.\d+\.\d+\n", run("version").stdout)
