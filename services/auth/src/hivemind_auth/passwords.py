"""Hashing of passwords: slow on purpose, and kept from slowing anything else."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from hivemind_common.contracts.auth import BusyError

T = TypeVar("T")

THREADS: Final = 2
MOST_WAITING: Final = 16

_HASHER: Final = PasswordHasher(time_cost=1, memory_cost=46 * 1024, parallelism=1)
"""Argon2id with 46 MiB: the first choice of OWASP's password storage cheat sheet; about 30 ms."""


class Passwords:
    """Two threads of the lowest priority, and a short line before them; who would stand behind it gets `BusyError`."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "passwords", initializer=_step_back)
        self._waiting = 0
        # Looked at for accounts that do not exist, so that they cost an asker as much time as those that do.
        self._nobodys = _HASHER.hash("nobody")

    async def hash(self, secret: str) -> str:
        """Return what is stored."""
        return await self._run(lambda: _HASHER.hash(secret))

    async def verify(self, stored: str | None, secret: str) -> bool:
        """Whether a secret is the one that was stored; without one, the same work and False."""
        matches = await self._run(lambda: _matches(stored or self._nobodys, secret))
        return matches and stored is not None

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= MOST_WAITING + THREADS:
            raise BusyError(retry_after=1, facts={"service": "auth"})
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def _matches(stored: str, secret: str) -> bool:
    try:
        return _HASHER.verify(stored, secret)
    except (VerificationError, InvalidHashError):
        return False


def _step_back() -> None:
    # On Linux priorities belong to threads; elsewhere the whole process would be meant.
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
