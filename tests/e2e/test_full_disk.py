"""A disk that is full, or may not be written, is named; once there is room all is well again."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hivemind_common.testing.waiting import until
from tests.conftest import Instance
from tests.e2e.refusing import refused, run
from tests.running import up

pytestmark = pytest.mark.processes

NORMAL_AGAIN_WITHIN = 30

Mount = Callable[[str], Path]


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
