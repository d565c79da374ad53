"""`hivemind test`: everything that a change has to pass, one step after the other."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hivemind_server.console import Exit, RefusalError, say

_PR_SET_CHILD_SUBREAPER = 36
_TOPS = ("libs", "services", "deploy")


@dataclass(frozen=True)
class Step:
    """One program that has to end with 0."""

    name: str
    command: tuple[str, ...]
    leaves_nothing: bool = False


def run_checks(*, expression: str | None, fast: bool, full: bool) -> Exit:
    """Run all steps, also after one has failed; leave no process and no file behind."""
    root = _root()
    _adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="hivemind-test-") as scratch:
        # Tests start servers under another account, which has to pass through here.
        Path(scratch).chmod(0o711)
        results = [
            (step.name, *_run(step, root, _environment(root, scratch, full=full)))
            for step in _steps(root, scratch, expression, fast=fast)
        ]
    say("")
    for name, passed, seconds in results:
        say(f"{'passed' if passed else 'FAILED'}  {seconds:6.1f} s  {name}")
    return Exit.DONE if all(passed for _, passed, _ in results) else Exit.BROKE


def _steps(root: Path, scratch: str, expression: str | None, *, fast: bool) -> Iterator[Step]:
    python = (sys.executable, "-P", "-m")
    places = [str(path.relative_to(root)) for path in [*_sources(root), *_tests(root), root / "conftest.py"]]
    yield Step("ruff check", (*python, "ruff", "check", "."))
    yield Step("ruff format", (*python, "ruff", "format", "--check", "."))
    yield Step("mypy", (*python, "mypy", *places))
    yield Step(
        "import rules", (sys.executable, "-P", "-c", "from importlinter.cli import lint_imports_command as run; run()")
    )
    if not fast:
        # Before the tests, which say why they are skipped where it cannot be built.
        yield Step("nats command", (*python, "hivemind_common.testing.nats_command"))
    selected = [*(["-m", "not processes"] if fast else []), *(["-k", expression] if expression else [])]
    yield Step("pytest", (*python, "pytest", "--basetemp", f"{scratch}/pytest", *selected), leaves_nothing=True)


def _environment(root: Path, scratch: str, *, full: bool) -> dict[str, str]:
    given = dict(os.environ)
    given["MYPYPATH"] = os.pathsep.join(str(path) for path in _sources(root))
    given["TMPDIR"] = scratch
    if full:
        given["HIVEMIND_FULL"] = "1"
    return given


def _run(step: Step, root: Path, environment: dict[str, str]) -> tuple[bool, float]:
    say(f"\n── {step.name}")
    started = time.monotonic()
    with subprocess.Popen(step.command, cwd=root, env=environment) as process:  # noqa: S603 - the commands are ours
        try:
            passed = _wait(process) == 0
        except BaseException:
            process.terminate()
            process.wait()
            raise
        finally:
            left = _end_children()
    if left and step.leaves_nothing:
        say(f"left running: {', '.join(left)}")
        passed = False
    return passed, time.monotonic() - started


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for a step, and reap what it orphans meanwhile: nobody else does, and tests look whether a process is gone."""
    while process.returncode is None:
        pid, status = os.waitpid(-1, 0)
        if pid == process.pid:
            process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode


def _root() -> Path:
    root = Path(__file__).resolve().parents[4]
    if not (root / "requirements" / "dev.txt").is_file():
        raise RefusalError("tests need a checkout, and this is an installation", "run ./hivemind test in a clone")
    return root


def _sources(root: Path) -> list[Path]:
    return sorted(path for top in _TOPS for path in (root / top).glob("*/src") if path.is_dir())


def _tests(root: Path) -> list[Path]:
    found = sorted(path for top in _TOPS for path in (root / top).glob("*/tests"))
    return [path for path in (*found, root / "tests", root / "bench") if any(path.rglob("*.py"))]


def _adopt_orphans() -> None:
    """Become the parent of whatever a test starts and forgets, so that it can be found and ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _end_children() -> Sequence[str]:
    """End every process that a finished step left behind; the value names them."""
    ended = []
    deadline = time.monotonic() + 5
    while children := _children():
        for pid, name in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            ended.append(name)
        if time.monotonic() > deadline:
            break
    return ended


def _children() -> list[tuple[int, str]]:
    """Return our living children, with the name of their program; those that have ended are reaped on the way."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        state, parent = rest.split()[:2]
        pid = int(stat.parent.name)
        if int(parent) != os.getpid():
            continue
        if state == "Z":
            os.waitpid(pid, os.WNOHANG)
        else:
            found.append((pid, name))
    return found
