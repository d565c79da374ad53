"""The published statements on a real `hivemind up`: they work, they hold at once, and the key is written down nowhere."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from hivemind_common.embedded.binaries import wheel_postgres
from hivemind_common.testing.waiting import until, wait_until
from hivemind_server.settings import without_ours
from tests.running import COMMAND, Up, up

pytestmark = pytest.mark.processes

KEY = "hm-published-0123456789abcdef"
SHORT = "hm-only-nineteen-ch"
LATER = "hm-published-fedcba9876543210"


@pytest.fixture(scope="module")
def running(open_folder: Path) -> Iterator[Up]:
    """A `hivemind up` with its first admin, ada."""
    with up(open_folder / "data") as opened:
        form = {"username": "ada", "email": "ada@example.org", "password": "correct horse battery"}
        assert ask(opened, "POST", "/auth/register", json.dumps(form))[0] == 201
        yield opened


def ask(running: Up, method: str, path: str, body: str | None = None, *, key: str = "") -> tuple[int, Any]:
    """Ask the door; the status and the JSON."""
    headers = {"Content-Type": "application/json"} | ({"X-API-Key": key} if key else {})
    request = urllib.request.Request(
        running.url + path, data=body.encode() if body else None, headers=headers, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, json.load(refusal)


def is_refused(running: Up, key: str) -> bool:
    """Whether the door takes a key no more."""
    return ask(running, "GET", "/auth/me", key=key)[0] == 401


def sql(running: Up, statement: str) -> subprocess.CompletedProcess[str]:
    """Run one statement as the operator does, whatever comes of it."""
    command = [*COMMAND, "sql", "--data-dir", str(running.folder), "-c", statement]
    return subprocess.run(command, env=without_ours(), check=False, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("where", "key"), [("username = 'ada'", KEY), ("email = 'ada@example.org'", LATER)], ids=["name", "address"]
)
def test_the_published_statement_sets_a_key_that_works(running: Up, where: str, key: str) -> None:
    done = sql(running, f"UPDATE users SET api_key = '{key}' WHERE {where}")

    assert (done.returncode, done.stdout, done.stderr) == (0, "UPDATE 1\n", "")
    status, me = ask(running, "GET", "/auth/me", key=key)
    assert (status, me["username"], me["role"]) == (200, "ada", "admin")


def test_the_key_before_it_is_dead_within_a_second(running: Up) -> None:
    for key, other in ((KEY, LATER), (LATER, KEY)):
        sql(running, f"UPDATE users SET api_key = '{key}' WHERE username = 'ada'")
        is_dead = partial(is_refused, running, other)
        wait_until(is_dead, limit=5, what="the key before it is dead")
        assert ask(running, "GET", "/auth/me", key=key)[0] == 200


def test_a_short_key_is_refused_in_words(running: Up) -> None:
    done = sql(running, f"UPDATE users SET api_key = '{SHORT}' WHERE username = 'ada'")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: an API key has at least 24 characters, and this one has 19\nhint: make one with: openssl rand -hex 32\n"
    )


def test_what_operators_read_and_what_the_log_keeps(running: Up) -> None:
    sql(running, f"UPDATE users SET api_key = '{KEY}' WHERE username = 'ada'")

    assert running.sql("SELECT username, role, status, api_key FROM users") == [["ada", "admin", "active", "(set)"]]
    told = running.sql("SELECT actor_kind, actor_name, action, outcome FROM audit.entry ORDER BY seq DESC LIMIT 1")
    assert told == [["sql", "hivemind", "key.set", "ok"]]
    assert sql(running, "DELETE FROM audit.entry").returncode == 1
    assert sql(running, "UPDATE users SET role = 'user'").returncode == 1


def test_the_reply_mode_is_set_by_sql_and_only_to_what_there_is(running: Up) -> None:
    sql(running, f"UPDATE users SET api_key = '{KEY}' WHERE username = 'ada'")
    draft = {"slug": "desk", "name": "Desk", "system_prompt": "You help."}
    assert ask(running, "POST", "/api/v1/bots", json.dumps(draft), key=KEY)[0] == 201

    assert sql(running, "UPDATE bots.bot SET channel_reply_mode = 'both' WHERE slug = 'desk'").returncode == 0
    assert sql(running, "UPDATE bots.bot SET channel_reply_mode = 'always' WHERE slug = 'desk'").returncode == 1
    assert ask(running, "GET", "/api/v1/bots/desk", key=KEY)[1]["channel_reply_mode"] == "both"
    told = running.sql("SELECT actor_name, action FROM audit.entry WHERE action LIKE 'bot.%' ORDER BY seq")
    assert told == [["ada", "bot.created"], ["hivemind", "bot.updated"]]


async def lose_in_the_middle(dsn: str, watcher: Any) -> None:
    """Kill the process that works on a statement: Postgres likes to tell what such a one was doing."""
    lost = await asyncpg.connect(dsn)
    pid = await lost.fetchval("SELECT pg_backend_pid()")
    statement = asyncio.ensure_future(lost.execute(f"UPDATE users SET api_key = '{LATER}' FROM pg_sleep(600)"))

    async def is_at_it() -> bool:
        at = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1 AND query LIKE 'UPDATE%' AND state = 'active')"
        return bool(await watcher.fetchval(at, pid))

    await until(is_at_it, limit=10, what="the statement is under way")
    os.kill(pid, signal.SIGKILL)
    with pytest.raises((asyncpg.PostgresError, OSError)):
        await statement

    async def is_back() -> bool:
        try:
            await (await asyncpg.connect(dsn)).close()
        except (asyncpg.PostgresError, OSError):
            return False
        return True

    await until(is_back, limit=30, what="Postgres is back")


async def say_keys(dsn: str) -> None:
    """Tell the database keys in all the ways that fail, and one that works."""
    connection = await asyncpg.connect(dsn)
    try:
        # As a parameter and as text, taken and refused: by its length, and as somebody's already.
        await connection.execute("UPDATE users SET api_key = $1 WHERE username = 'ada'", KEY)
        for statement in (
            f"UPDATE users SET api_key = '{SHORT}'",
            f"UPDATE users SET api_key = '{KEY}' WHERE username = 'ada' AND 1 / (length(email) - 15) > 0",
            f"UPDATE users SET api_kee = '{KEY}'",
            f"SELECT '{KEY}' '{SHORT}",
        ):
            with pytest.raises(asyncpg.PostgresError):
                await connection.execute(statement)
        with pytest.raises(asyncpg.PostgresError):
            await connection.execute("UPDATE users SET api_key = $1", SHORT)
        shown = {
            name: await connection.fetchval("SELECT current_setting($1)", name)
            for name in ("log_min_error_statement", "log_statement", "log_min_duration_statement", "log_duration")
        }
        assert shown == {
            "log_min_error_statement": "panic",
            "log_statement": "none",
            "log_min_duration_statement": "-1",
            "log_duration": "off",
        }
        await connection.execute("CHECKPOINT")
        await lose_in_the_middle(dsn, connection)
    finally:
        await connection.close()


def test_no_key_stands_in_any_file_or_in_a_dump(running: Up) -> None:
    dsn = (running.folder / "secrets" / "ops_dsn").read_text().strip()
    asyncio.run(say_keys(dsn))
    dump = subprocess.run([str(wheel_postgres() / "pg_dump"), dsn], check=True, capture_output=True).stdout
    assert b"set-by-sql" in dump

    needles = [KEY.encode(), LATER.encode(), SHORT.encode()]
    assert not any(needle in dump for needle in needles)
    looked_at = 0
    for folder, _, names in os.walk(running.folder):
        for name in names:
            path = Path(folder, name)
            if path.is_file():
                looked_at += 1
                content = path.read_bytes()
                assert not any(needle in content for needle in needles), path
    assert looked_at > 1_000
    assert b"was terminated by signal 9" in (running.folder / "logs" / "postgres.log").read_bytes()
    console = running.console.read_bytes()
    assert not any(needle in console for needle in needles)
