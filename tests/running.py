"""The whole of Hivemind as people run it: `hivemind up`, a process with children of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hivemind_common.testing.processes import alive, family
from hivemind_common.testing.waiting import wait_until
from hivemind_server.settings import without_ours

COMMAND: Final = (sys.executable, "-P", "-m", "hivemind_server")
START_LIMIT: Final = 60


@dataclass(frozen=True)
class Up:
    """A `hivemind up` that is ready."""

    process: subprocess.Popen[bytes]
    folder: Path
    console: Path
    """What it printed, on stdout and stderr."""

    @property
    def told(self) -> Any:
        """What `run.json` says just now."""
        return json.loads((self.folder / "run.json").read_text())

    @property
    def url(self) -> str:
        return str(self.told["url"])

    def sql(self, statement: str) -> list[list[str]]:
        """Run one statement as the operator does, and return the rows, without their heading."""
        command = [*COMMAND, "sql", "--data-dir", str(self.folder), "-c", statement]
        done = subprocess.run(command, env=without_ours(), check=True, capture_output=True, text=True)
        return [line.split("\t") for line in done.stdout.splitlines()[1:]]

    def stop(self) -> int:
        """Ask it to stop, and return how it ended."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(START_LIMIT)

    def kill_everything(self) -> None:
        """Kill it and everything below it, as a loss of power does."""
        members = family(self.process.pid)
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(START_LIMIT)
        wait_until(lambda: not any(alive(pid) for pid in members), limit=10, what="the end of what was killed")


@contextlib.contextmanager
def up(folder: Path, *arguments: str, command: Sequence[str] = COMMAND, **variables: str) -> Iterator[Up]:
    """Run it on the folder, on any free port; it is ready inside the block and gone after it."""
    console = folder.with_name(f"{folder.name}.console")
    with console.open("wb") as file:
        process = subprocess.Popen(
            [*command, "up", "--data-dir", str(folder), "--port", "0", *arguments],
            env=without_ours() | variables,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    running = Up(process, folder, console)

    def is_ready() -> bool:
        assert process.poll() is None, console.read_text()
        return "Hivemind is ready: " in console.read_text()

    try:
        wait_until(is_ready, limit=START_LIMIT, what="Hivemind is ready")
        yield running
        if process.poll() is None:
            assert running.stop() == 0
    finally:
        if process.poll() is None:
            running.kill_everything()
