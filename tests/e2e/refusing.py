"""`hivemind` run to its end, with one thing changed where a test cannot change the machine, and what a refusal is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from hivemind_common.testing.processes import alive, command_line
from hivemind_server.settings import without_ours
from tests.running import COMMAND, START_LIMIT


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
