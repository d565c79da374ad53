"""Child processes that never outlive us, and what an earlier run may have left behind."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import IO

from hivemind_common.embedded.account import Account

Steps = Sequence[tuple[signal.Signals, timedelta]]
"""Signals to end a process with, each with the time it has to work."""

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "TMPDIR")
_LOG_LIMIT = 10 * 1024 * 1024


class EmbeddedError(Exception):
    """An embedded server cannot be started here. `message` and `hint` are one line each, for people."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NoRoomError(EmbeddedError):
    """There is no room left on the disk. Nothing is broken: with room it starts."""


def plain_environment() -> dict[str, str]:
    """Return what a foreign program needs of our environment: no secret of ours, no setting meant for another."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | {"LC_ALL": "C", "TZ": "UTC"}


class Child:
    """A process that we started. It is reaped, whoever waits for it, and dies when we do (on Linux)."""

    def __init__(self, process: subprocess.Popen[bytes], loop: asyncio.AbstractEventLoop) -> None:
        self._process = process
        self._ended: asyncio.Future[int] = loop.create_future()
        threading.Thread(target=self._reap, args=(loop,), name=f"reaper of {process.pid}", daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; -N when signal N ended it."""
        return self._process.poll()

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self.exit_code is None

    def send(self, signal_: signal.Signals) -> None:
        """Send a signal; nothing happens when the process is gone."""
        self._process.send_signal(signal_)

    async def wait(self) -> int:
        """Wait for its end and return its exit code; any number of tasks may wait."""
        return await asyncio.shield(self._ended)

    async def stop(self, steps: Steps) -> int:
        """End it: one signal after the other, SIGKILL when none of them works. Returns its exit code."""
        for signal_, limit in steps:
            self.send(signal_)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit.total_seconds()):
                    return await self.wait()
        self.send(signal.SIGKILL)
        return await self.wait()

    def _reap(self, loop: asyncio.AbstractEventLoop) -> None:
        code = self._process.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left who waits
            loop.call_soon_threadsafe(self._tell, code)

    def _tell(self, code: int) -> None:
        if not self._ended.done():
            self._ended.set_result(code)


def spawn(
    command: Sequence[str | Path],
    *,
    death_signal: signal.Signals,
    environment: Mapping[str, str],
    output: int | IO[bytes] = subprocess.DEVNULL,
    account: Account | None = None,
    pass_fds: Sequence[int] = (),
) -> Child:
    """Start a process under `account` that gets `death_signal` when this thread ends; both its outputs go to `output`.

    It has a process group of its own, so that Ctrl-C in a terminal reaches us alone and we end it in order.
    """
    with _naming_the_program(command):
        process = subprocess.Popen(  # noqa: S603 - the commands are ours
            [os.fspath(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(environment),
            cwd="/",
            umask=0o077,
            process_group=0,
            pass_fds=pass_fds,
            preexec_fn=_dying_with(os.getpid(), death_signal),  # noqa: PLW1509 - one system call, its library loaded ahead
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[account.gid] if account else None,
        )
    return Child(process, asyncio.get_running_loop())


async def run(
    command: Sequence[str | Path], *, account: Account | None = None, given: str = "", limit: timedelta
) -> str:
    """Run a program to its end under `account` and return what it wrote; raises `EmbeddedError` when it fails."""
    # It dies with us like any other child: an initdb that goes on alone would meet the one of the next start.
    with _naming_the_program(command):
        process = subprocess.Popen(  # noqa: ASYNC220, S603 - started at once, waited for in a thread; the commands are ours
            [os.fspath(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=plain_environment(),
            cwd="/",
            umask=0o077,
            process_group=0,
            preexec_fn=_dying_with(os.getpid(), signal.SIGKILL),  # noqa: PLW1509 - as above
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[account.gid] if account else None,
        )
    name = Path(command[0]).name

    def finish() -> bytes:
        try:
            return process.communicate(given.encode(), limit.total_seconds())[0]
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise EmbeddedError(f"{name} did not end within {limit.total_seconds():.0f} s") from None

    try:
        output = await asyncio.to_thread(finish)
    except asyncio.CancelledError:
        process.kill()  # the thread reaps it
        raise
    text = output.decode(errors="replace").strip()
    if process.returncode != 0:
        raise EmbeddedError(f"{name} failed: {_complaint(text) or f'exit code {process.returncode}'}")
    return text


@contextlib.contextmanager
def _naming_the_program(command: Sequence[str | Path]) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        raise EmbeddedError(f"{command[0]} cannot be run: {fault.strerror or fault}") from None


def _complaint(text: str) -> str:
    """Return what went wrong; programs like to tell afterwards how they cleaned up."""
    found = re.search(r"(?:FATAL|PANIC|ERROR|error): +(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else last_line(text)


def last_line(text: str) -> str:
    """Return the last line that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def open_log(path: Path) -> IO[bytes]:
    """Open the log of a server for appending, 0600; one that has grown large makes way first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > _LOG_LIMIT:
        path.replace(path.with_name(f"{path.name}.1"))
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab", buffering=0)


def tail_from(path: Path, offset: int) -> str:
    """Return what was appended to a log after `offset`, the last 16 KiB at most."""
    with path.open("rb") as file:
        file.seek(max(offset, path.stat().st_size - 16 * 1024))
        return file.read().decode(errors="replace")


async def end_leftovers(ours: Callable[[int], bool], steps: Steps) -> None:
    """End every process of an earlier run that `ours` recognises by its id; gone when this returns."""
    for signal_, limit in (*steps, (signal.SIGKILL, timedelta(seconds=5))):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit.total_seconds()):
                told: set[int] = set()
                while left := set(_processes(ours)):
                    for pid in left - told:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal_)
                    told |= left
                    await asyncio.sleep(0.02)
                return
    raise EmbeddedError("a server of an earlier run does not end", "end it by hand, then start again")


def link_of(pid: int, name: str) -> str:
    """Return where a link below `/proc/<pid>` leads, `exe` or `cwd`; empty when that cannot be known."""
    try:
        return os.readlink(f"/proc/{pid}/{name}")  # noqa: PTH115 - the text matters: a program that was replaced is "(deleted)"
    except OSError:
        return ""


def _processes(ours: Callable[[int], bool]) -> Iterator[int]:
    proc = Path("/proc")
    for entry in proc.iterdir() if proc.is_dir() else ():
        if entry.name.isdigit() and int(entry.name) != os.getpid() and ours(int(entry.name)):
            yield int(entry.name)


def _dying_with(parent: int, death_signal: signal.Signals) -> Callable[[], None] | None:
    # Runs between fork and exec, after the change of the uid, which would reset the request.
    libc = _LIBC
    if libc is None:
        return None

    def prepare() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != parent:
            os._exit(1)

    return prepare
