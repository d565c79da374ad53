"""`hm` as people run it, on a terminal or in a script: for tests of what it asks, shows and comes to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import re
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

HM = [sys.executable, "-m", "hivemind_client"]

LIMIT = 20
"""Seconds until what is waited for must be there."""


@dataclass(frozen=True)
class Ran:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its result as JSON."""
        return json.loads(self.out)

    @property
    def problem(self) -> Any:
        """The problem document that a failure ends with under `--json`."""
        return json.loads(self.err.splitlines()[-1])


class Terminal:
    """A person before a screen: waits until it shows something, types, and sees how the command ends."""

    def __init__(self, process: asyncio.subprocess.Process, screen: asyncio.StreamReader, keyboard: int) -> None:
        self.process, self._screen, self._keyboard = process, screen, keyboard
        self.shown = self.raw = ""
        self._seen = 0

    async def until(self, text: str) -> None:
        """Wait until the screen shows a text, behind what was waited for before."""
        async with asyncio.timeout(LIMIT):
            while (at := self.shown.find(text, self._seen)) < 0:
                chunk = await self._read()
                if not chunk:
                    raise AssertionError(f"{text!r} never came: {self.shown!r}")
        self._seen = at + len(text)

    def type(self, text: str) -> None:
        """Type."""
        os.write(self._keyboard, text.encode())

    async def end(self) -> int:
        """Wait until the command has ended, and return its exit code."""
        async with asyncio.timeout(LIMIT):
            while await self._read():
                pass
            return await self.process.wait()

    async def _read(self) -> str:
        try:
            chunk = (await self._screen.read(4096)).decode()
        except OSError:  # how a terminal says that nobody is on it any more
            chunk = ""
        self.raw += chunk
        self.shown += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", chunk).replace("\r\n", "\n")
        return chunk


@contextlib.asynccontextmanager
async def terminal(env: dict[str, str], *arguments: str, command: Sequence[str] = HM) -> AsyncIterator[Terminal]:
    """Entered: `hm`, or another command, runs with these arguments on a terminal of its own. Left: it has ended."""
    keyboard, screen = pty.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            *command, *arguments, stdin=screen, stdout=screen, stderr=screen, env=env, start_new_session=True
        )
    finally:
        os.close(screen)
    reader = asyncio.StreamReader()
    with os.fdopen(os.dup(keyboard), "rb", buffering=0) as pipe:
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            yield Terminal(process, reader, keyboard)
        finally:
            transport.close()
            if process.returncode is None:
                process.kill()
                await process.wait()
            os.close(keyboard)
