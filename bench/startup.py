"""How long `hivemind up` takes to its ready line, and how much memory it needs at rest: `.venv/bin/python -m bench.startup`.

The environment is made, so that no package is fetched. A first start has an empty data folder; later starts have one
that an admin, a bot and a snippet lie in. Memory is the sum of PSS (each page counted once, shared among those who map
it) over `up` and everything below it, when it no longer changes after the ready line. Postgres's shared memory is left
out of the sum, and printed beside it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.report import ROOT, Figure, figure, finish, note, options_of
from hivemind_common.testing.processes import command_line, family
from hivemind_common.testing.waiting import wait_until
from hivemind_server.settings import without_ours

MODES = {"tasks": (), "processes": ("--processes",)}
AIMS = {"first": 6.0, "later": 3.0, "memory": 300.0}
FIRST_ROUNDS = 3
LATER_ROUNDS = 5
LIMIT = 60


@dataclass
class Running:
    """A `hivemind up` that said that it is ready, and when."""

    process: subprocess.Popen[str]
    seconds: float
    url: str


@contextmanager
def up(folder: Path, more: Sequence[str], program: Sequence[str] = (str(ROOT / "hivemind"),)) -> Iterator[Running]:
    """Start it, and stop it in order."""
    command = [*program, "up", "--data-dir", str(folder), "--port", "0", *more]
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, env=without_ours(), stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Running(process, *_ready(process, started))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(LIMIT)


def _ready(process: subprocess.Popen[str], started: float) -> tuple[float, str]:
    for line in process.stdout or ():
        if line.startswith("Hivemind is ready: "):
            return time.perf_counter() - started, line.partition(": ")[2].strip()
    raise SystemExit("hivemind up did not become ready")


def memory_of(process: subprocess.Popen[str]) -> dict[str, float]:
    """Return MiB by program: proportional shares, without what Postgres shares among its processes."""
    parts = {"python": 0.0, "nats": 0.0, "postgres": 0.0, "postgres shared": 0.0}
    for pid in family(process.pid):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        except OSError:
            continue  # a backend that has just ended
        sizes = {name.rstrip(":"): int(size) / 1024 for name, size, *_ in map(str.split, lines)}
        program = os.fsdecode(command_line(pid))
        name = "postgres" if "postgres" in program.split("\0")[0] else "nats" if "nats-server" in program else "python"
        shared = sizes["Pss_Shmem"] if name == "postgres" else 0.0
        parts[name] += sizes["Pss"] - shared
        parts["postgres shared"] += shared
    return parts


def at_rest(process: subprocess.Popen[str]) -> dict[str, float]:
    """Measure when two looks a second apart agree within a hundredth."""
    seen: list[tuple[float, dict[str, float]]] = [(time.monotonic(), memory_of(process))]

    def settled() -> dict[str, float] | None:
        if time.monotonic() < seen[-1][0] + 1:
            return None
        seen.append((time.monotonic(), memory_of(process)))
        before, now = (sum(parts.values()) for _, parts in seen[-2:])
        return seen[-1][1] if abs(now - before) < now / 100 else None

    return wait_until(settled, limit=LIMIT, what="memory at rest") or {}


def fill(url: str, scratch: Path) -> None:
    """Register, mint a bot and teach it, as a folder in use has it."""
    environment = without_ours() | {"XDG_CONFIG_HOME": str(scratch), "HIVEMIND_URL": url}

    def hm(*arguments: str, given: str = "") -> None:
        subprocess.run(
            [str(ROOT / "hm"), *arguments],
            env=environment,
            input=given,
            text=True,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    hm("setup", "--username", "ada", "--email", "ada@example.org", "--password-stdin", given="a long pass phrase\n")
    hm("bot", "create", "helpdesk", "--name", "Help desk", "--prompt", "You help.")
    hm("knowledge", "add", "helpdesk", "--title", "Refunds", "--body", "Refunds take ten days.")


def measure(mode: str, scratch: Path, later: int) -> Iterator[dict[str, Any]]:
    """Yield every round of one mode."""
    for number in range(FIRST_ROUNDS):
        folder = scratch / f"{mode}-{number}"
        with up(folder, MODES[mode]) as running:
            yield {"mode": mode, "what": "first", "seconds": round(running.seconds, 3)}
            if number == 0:
                fill(running.url, scratch / f"{mode}-config")
    for number in range(later):
        with up(scratch / f"{mode}-0", MODES[mode]) as running:
            yield {"mode": mode, "what": "later", "seconds": round(running.seconds, 3)}
            if number == later - 1:
                parts = {name: round(size, 1) for name, size in at_rest(running.process).items()}
                yield {"mode": mode, "what": "memory", "mib": parts}


def figures_of(rounds: Sequence[dict[str, Any]]) -> Iterator[Figure]:
    """Yield what is compared with the aims; the one for memory is for all in one process."""
    for mode in MODES:
        mine = [each for each in rounds if each["mode"] == mode]
        for what, text in (("first", "first start"), ("later", "later start")):
            value = median(each["seconds"] for each in mine if each["what"] == what)
            yield figure(text, mode, value, "s", most=AIMS[what])
        parts = next(each["mib"] for each in mine if each["what"] == "memory")
        value = sum(parts.values()) - parts["postgres shared"]
        most = AIMS["memory"] if mode == "tasks" else None
        yield figure("memory at rest, without Postgres's shared memory", mode, value, "MiB", most=most)


def main() -> int:
    """Measure, print the table, and keep the rounds."""
    options = options_of(__doc__)
    rounds = []
    with tempfile.TemporaryDirectory(prefix="hivemind-bench-") as name:
        scratch = Path(name)
        scratch.chmod(0o711)  # as root the servers run as another account
        for mode in MODES:
            for each in measure(mode, scratch, options.rounds or LATER_ROUNDS):
                rounds.append(each)
                note(json.dumps(each))
    return finish("startup", list(figures_of(rounds)), rounds, writes=not options.no_write)


if __name__ == "__main__":
    sys.exit(main())
