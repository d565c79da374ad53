# ruff: noqa: ASYNC220 - a test may block its loop for a moment
from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import nats
import nats.errors
import pytest
from nats.aio.client import Client
from pydantic import SecretStr

from hivemind_common.embedded import postgres as postgres_module
from hivemind_common.embedded.account import Account, can_reach, embedded_account
from hivemind_common.embedded.binaries import copy_nats, copy_postgres, wheel_nats
from hivemind_common.embedded.nats import EmbeddedNats, NatsUser
from hivemind_common.embedded.postgres import EmbeddedPostgres
from hivemind_common.embedded.process import EmbeddedError

PASSWORD = SecretStr("it's a pass:word/with%signs")


@pytest.fixture
def account() -> Account | None:
    return embedded_account()


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not tmp_path: pytest closes its parent to everybody, and as root the servers run as another account.
    with tempfile.TemporaryDirectory(prefix="embedded-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@contextlib.asynccontextmanager
async def running(folder: Path, account: Account | None) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(folder, password=PASSWORD, account=account, durable=False)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def ask(server: EmbeddedPostgres, statement: str, password: SecretStr = PASSWORD) -> object:
    connection = await asyncpg.connect(server.dsn("hivemind", password).get_secret_value())
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""  # empty: ended, and not reaped by its new parent yet
    except OSError:
        return False


async def ended(pid: int) -> None:
    async with asyncio.timeout(15):
        while is_running(pid):
            await asyncio.sleep(0.02)


async def test_what_was_written_is_there_after_a_stop_and_after_a_kill(folder: Path, account: Account | None) -> None:
    async with running(folder / "postgres", account) as server:
        await ask(server, "CREATE TABLE note AS SELECT 'kept' AS text")
        assert await ask(server, "SELECT current_database() || ' ' || current_user") == "hivemind hivemind"
        await server.stop()
        assert not server.is_alive()
        await server.start()
        os.kill(server.pid, signal.SIGKILL)
        assert await server.wait() == -signal.SIGKILL
        await server.start()
        assert await ask(server, "SELECT text FROM note") == "kept"


async def test_nobody_gets_in_without_the_password_and_no_port_is_open(folder: Path, account: Account | None) -> None:
    async with running(folder / "postgres", account) as server:
        with pytest.raises(asyncpg.InvalidPasswordError):
            await ask(server, "SELECT 1", SecretStr("wrong"))
        assert await ask(server, "SHOW listen_addresses") == ""
        assert await ask(server, "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method <> 'scram-sha-256'") == 0
        sockets = Path(str(await ask(server, "SHOW unix_socket_directories")))
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        if account is not None:
            assert Path(f"/proc/{server.pid}").stat().st_uid == account.uid


async def test_a_changed_password_is_taken_over(folder: Path, account: Account | None) -> None:
    async with running(folder / "postgres", account):
        pass
    changed = SecretStr("another'one")
    server = EmbeddedPostgres(folder / "postgres", password=changed, account=account, durable=False)
    await server.start()
    try:
        assert await ask(server, "SELECT 1", changed) == 1
    finally:
        await server.stop()


async def test_typographic_signs_are_no_letters(folder: Path, account: Account | None) -> None:
    async with running(folder / "postgres", account) as server:
        found = await ask(server, "SELECT to_tsvector('simple', '„Zitat“ Über–Mut')::text")
        assert found == "'mut':3 'zitat':1 'über':2"


@pytest.mark.parametrize("name", ["with a space", "ümläut", "a,comma'quote", "x" * 150])
async def test_any_folder_name_will_do(folder: Path, account: Account | None, name: str) -> None:
    async with running(folder / name, account) as server:
        assert await ask(server, "SELECT 1") == 1
        sockets = Path(str(await ask(server, "SHOW unix_socket_directories")))
        bus = EmbeddedNats(folder / name, users={"ops": NatsUser(PASSWORD)}, account=account)
        await bus.start()
        await bus.stop()
    assert not sockets.exists()


async def test_an_interrupted_making_is_done_again(folder: Path, account: Account | None) -> None:
    torn = folder / "postgres" / "cluster.new"
    torn.mkdir(parents=True)
    (folder / "postgres").chmod(0o755)
    (torn / "PG_VERSION").write_text("18\n")
    (folder / "postgres" / "password.new").write_text("old")
    async with running(folder / "postgres", account) as server:
        assert await ask(server, "SELECT 1") == 1
    assert not torn.exists()
    assert not (folder / "postgres" / "password.new").exists()


async def test_a_cluster_of_another_major_is_refused_with_the_cure(folder: Path, account: Account | None) -> None:
    async with running(folder / "postgres", account):
        pass
    (folder / "postgres" / "cluster" / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedError) as refused:
        async with running(folder / "postgres", account):
            pass
    assert "made by Postgres 16" in refused.value.message
    assert "HIVEMIND_POSTGRES_BIN" in refused.value.hint


async def test_a_stale_pid_file_that_names_another_process_is_no_obstacle(
    folder: Path, account: Account | None
) -> None:
    async with running(folder / "postgres", account):
        pass
    cluster = folder / "postgres" / "cluster"
    (cluster / "postmaster.pid").write_text(f"{os.getppid()}\n{cluster}\n0\n5432\n\n\n")
    async with running(folder / "postgres", account) as server:
        assert await ask(server, "SELECT 1") == 1


ORPHANS = """
import asyncio, sys
from pathlib import Path
from pydantic import SecretStr
from hivemind_common.embedded import process
from hivemind_common.embedded.account import embedded_account
from hivemind_common.embedded.nats import EmbeddedNats, NatsUser
from hivemind_common.embedded.postgres import EmbeddedPostgres

if sys.argv[2] == "orphans":
    process._LIBC = None

async def main():
    folder, secret = Path(sys.argv[1]), SecretStr(sys.argv[3])
    postgres = EmbeddedPostgres(folder / "postgres", password=secret, account=embedded_account(), durable=False)
    bus = EmbeddedNats(folder / "nats", users={"ops": NatsUser(secret)}, account=embedded_account())
    await postgres.start()
    await bus.start()
    print(postgres.pid, bus.pid, flush=True)
    await asyncio.Event().wait()  # until it is killed

asyncio.run(main())
"""


@pytest.mark.processes
@pytest.mark.parametrize("left", ["children", "orphans"])
async def test_a_killed_run_leaves_nothing_that_the_next_start_minds(
    folder: Path, account: Account | None, left: str
) -> None:
    command = [sys.executable, "-c", ORPHANS, str(folder), left, PASSWORD.get_secret_value()]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        pids = [int(pid) for pid in first.stdout.readline().split()]
        assert len(pids) == 2
        first.kill()
    if left == "children":
        for pid in pids:
            await ended(pid)
    async with running(folder / "postgres", account) as server:
        assert await ask(server, "SELECT 1") == 1
        await ended(pids[0])
    bus = EmbeddedNats(folder / "nats", users={"ops": NatsUser(PASSWORD)}, account=account)
    await bus.start()
    await ended(pids[1])
    await bus.stop()


async def test_a_socket_folder_of_somebody_else_is_refused(
    folder: Path, account: Account | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_module, "_SOCKET_FOLDER_MAX", 5)
    server = EmbeddedPostgres(folder / "postgres", password=PASSWORD, account=account, durable=False)
    server._sockets.symlink_to(folder)
    try:
        with pytest.raises(EmbeddedError, match="belongs to somebody else"):
            await server.start()
    finally:
        server._sockets.unlink()


async def test_nats_keeps_its_port_and_asks_for_the_password(folder: Path, account: Account | None) -> None:
    users = {"gateway": NatsUser(SecretStr('quote"and\\slash')), "bots": NatsUser(SecretStr("b" * 40))}
    server = EmbeddedNats(folder / "nats", users=users, account=account)
    await server.start()
    try:
        url = server.url
        os.kill(server.pid, signal.SIGKILL)
        await server.wait()
        await server.start()
        assert server.url == url
        client = await nats.connect(server.url_for("bots").get_secret_value(), allow_reconnect=False)
        assert client.max_payload == 1024 * 1024
        await client.close()
        stranger = Client()
        with pytest.raises(nats.errors.Error):
            await stranger.connect(server.url, user="bots", password="wrong", allow_reconnect=False, error_cb=quiet)
        await stranger.close()
        assert stat.S_IMODE((folder / "nats" / "nats.conf").stat().st_mode) == 0o600
    finally:
        await server.stop()
    assert not (folder / "nats" / "nats.conf").exists()


async def quiet(_fault: Exception) -> None:
    return


async def test_a_copy_for_an_account_that_cannot_pass_is_whole_and_made_once(
    folder: Path, account: Account | None
) -> None:
    binaries = copy_postgres(folder / "server")
    left = binaries / "left-by-the-test"
    left.touch()
    assert copy_postgres(folder / "server") == binaries
    assert left.exists()
    (folder / "server" / "version").write_text("older")
    copy_postgres(folder / "server")
    assert not left.exists()
    server = EmbeddedPostgres(folder / "postgres", password=PASSWORD, binaries=binaries, account=account, durable=False)
    await server.start()
    try:
        assert await ask(server, "SELECT 1") == 1
    finally:
        await server.stop()
    copied = copy_nats(wheel_nats(), folder / "nats")
    assert can_reach(account, copied)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another account to ask for")
def test_reaching_is_judged_as_the_account_itself(folder: Path, account: Account | None) -> None:
    inner = folder / "closed" / "inner"
    inner.mkdir(parents=True)
    inner.parent.chmod(0o700)
    assert can_reach(account, folder)
    assert not can_reach(account, inner)
    assert can_reach(None, inner)
