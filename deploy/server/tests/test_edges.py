"""The data folder and the watching of servers, where a disk or an earlier owner is in the way."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hivemind_common.embedded.account import embedded_account
from hivemind_common.embedded.process import EmbeddedError, NoRoomError, run
from hivemind_common.environment import Environment, HostPort
from hivemind_server import fleet as fleet_module
from hivemind_server.console import RefusalError
from hivemind_server.data import DataFolder
from hivemind_server.fleet import Fleet, FleetError
from hivemind_server.up import naming_the_folder

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def refuse_for_want_of_room(*_: object, **__: object) -> Any:
    raise FULL


# The data folder


@pytest.mark.parametrize("name", ["notes.txt", "secrets", ".git"])
def test_a_folder_with_something_of_somebody_else_is_refused_and_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(RefusalError, match=f"no data folder of Hivemind, and not empty: there is {name} in it") as told:
        with DataFolder(tmp_path):
            pass
    assert told.value.hint.endswith(f"--data-dir {tmp_path}/hivemind-data")
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("found", [(), ("lost+found",), ("lock",), ("postgres/cluster", "secrets")])
def test_an_empty_folder_a_fresh_disk_one_that_was_begun_and_a_restored_one_will_do(
    tmp_path: Path, found: tuple[str, ...]
) -> None:
    for name in found:
        if name == "lock":
            (tmp_path / name).touch()
        else:
            (tmp_path / name).mkdir(parents=True)
    for _ in range(2):
        with DataFolder(tmp_path) as data:
            data.integration_key()


def test_a_lock_that_names_a_living_process_holds_nothing_when_that_process_does_not(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("1\n")
    with DataFolder(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_a_start_that_was_killed_at_its_first_step_left_a_folder_that_will_do(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from hivemind_server.data import DataFolder
take = DataFolder._take_lock
def die(self):
    take(self)
    os.kill(os.getpid(), signal.SIGKILL)
DataFolder._take_lock = die
DataFolder(Path({str(tmp_path / "data")!r})).__enter__()
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    with DataFolder(tmp_path / "data"):
        pass


def test_a_disk_that_refuses_a_secret_is_refused_like_the_folder(tmp_path: Path) -> None:
    with DataFolder(tmp_path) as data:
        with pytest.raises(RefusalError, match="cannot be used: No space left on device"), naming_the_folder(data):
            raise FULL
        with pytest.raises(ConnectionResetError), naming_the_folder(data):
            raise ConnectionResetError(errno.ECONNRESET, "no matter of the disk")


def test_a_secret_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with DataFolder(tmp_path) as data:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", refuse_for_want_of_room)
            with pytest.raises(OSError, match="No space left"):
                data.integration_key()
            assert not data.secret_file("integration_key").exists()
        first = data.integration_key()
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", refuse_for_want_of_room)
            with pytest.raises(OSError, match="No space left"):
                data.write_run({"schema": 1})
        assert not data.run_file.exists()
        assert data.integration_key() == first


# Watching


async def test_deaths_for_want_of_room_never_become_too_many_and_others_do(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_module, "_PAUSES", (0.0,))
    told: list[str] = []
    environment = Environment(bind=HostPort("127.0.0.1", 0))
    with DataFolder(open_folder / "data", embedded_account()) as data:
        async with Fleet((), data, environment, durable=False, told=told.append) as fleet:
            faults: list[Exception] = [FULL, NoRoomError("no room")] * 10

            async def fail() -> None:
                raise faults.pop() if faults else EmbeddedError("no matter of the disk")

            watching = asyncio.create_task(fleet._guard("a server", fail, dead))
            with pytest.raises(FleetError, match="a server died 5 times within a minute"):
                await asyncio.wait_for(fleet.wait(), 30)
            await watching
    assert not faults
    assert told.count("The disk is full: a server starts again once there is room") == 1


async def dead() -> None:
    """Return at once, as the watching of a server does that has ended."""


# Programs


async def test_what_a_program_complains_of_is_told_and_not_how_it_cleaned_up() -> None:
    script = "echo 'running bootstrap ... 2026-01-01 UTC [1] FATAL:  no room'; echo 'initdb: removing it'; exit 1"
    with pytest.raises(EmbeddedError, match=r"^sh failed: no room$"):
        await run(["/bin/sh", "-c", script], limit=timedelta(seconds=10))
    with pytest.raises(EmbeddedError, match=r"^/nonexistent cannot be run: No such file or directory$"):
        await run(["/nonexistent"], limit=timedelta(seconds=10))
