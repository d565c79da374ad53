"""Hashing of passwords: slow on purpose, and kept from slowing anything else."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from hivemind_common.contracts.auth import BusyError

T = TypeVar("T")

THREADS: Final = 1
"""A second one that never rests would compete with the answers on both cores of a small machine, whatever its priority."""

MOST_WAITING: Final = 16
LONGEST_WAIT_SECS: Final = 10

_HASHER: Final = PasswordHasher(time_cost=1, memory_cost=46 * 1024, parallelism=1)
"""Argon2id with 46 MiB: the first choice of OWASP's password storage cheat sheet; about 30 ms."""


class Passwords:
    """A thread of the lowest priority, and a short line before it."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "passwords", initializer=_step_back)
        self._hashing = Hashing(self._threads, _nobodys())
        self._inside = 0

    @contextmanager
    def line(self) -> Iterator[Hashing]:
        """Stand in line for what is done inside; raises `BusyError` where it has no room.

        Stood in before the database is asked: of a storm only those few ask it that will be judged, so that it answers
        all others as before.
        """
        if self._inside >= MOST_WAITING + THREADS:
            # At different times, so that who was refused together does not come back together.
            wait = random.randint(1, LONGEST_WAIT_SECS)  # noqa: S311  # spread, no secret
            raise BusyError(retry_after=wait, facts={"service": "auth"})
        self._inside += 1
        try:
            yield self._hashing
        finally:
            self._inside -= 1

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=True, cancel_futures=True)


class Hashing:
    """What may be done with passwords by who stands in line."""

    def __init__(self, threads: ThreadPoolExecutor, nobodys: str) -> None:
        self._threads = threads
        self._nobodys = nobodys

    async def hash(self, secret: str) -> str:
        """Return what is stored."""
        return await self._run(lambda: _HASHER.hash(secret))

    async def verify(self, stored: str | None, secret: str) -> bool:
        """Whether a secret is the one that was stored; without one, the same work and False."""
        matches = await self._run(lambda: _matches(stored or self._nobodys, secret))
        return matches and stored is not None

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


@cache
def _nobodys() -> str:
    """Return what is looked at for accounts that do not exist, so that they cost an asker as much time as those that do."""
    return _HASHER.hash("nobody")


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
