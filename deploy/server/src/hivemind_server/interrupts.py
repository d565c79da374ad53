"""Signals, turned into two wishes: stop in order, and stop at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class StopAskedError(Exception):
    """Somebody asked us to stop, and the work that was awaited has been cancelled."""


class Interrupts:
    """The first SIGINT or SIGTERM asks to stop; the second one cancels the task that made this."""

    def __init__(self) -> None:
        self.at_once = False
        self._asked = asyncio.Event()
        self._main = asyncio.current_task()
        for each in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(each, self._hear)

    async def unless_asked(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what the work returns. When we are asked to stop, cancel it and raise `StopAskedError`."""
        task = asyncio.create_task(work)
        asked = asyncio.create_task(self._asked.wait())
        try:
            await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
        finally:
            for each in (asked, task):
                each.cancel()
            # What was cancelled may have to clean up after itself.
            await asyncio.gather(asked, task, return_exceptions=True)
        raise StopAskedError

    def _hear(self) -> None:
        if not self._asked.is_set():
            self._asked.set()
        elif not self.at_once and self._main is not None:
            self.at_once = True
            self._main.cancel()
