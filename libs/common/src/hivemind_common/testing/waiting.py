"""Waiting for a state, with a limit: a test that waits for a while instead is slow, or fails on a slow machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

T = TypeVar("T")

_PAUSE: Final = 0.02


def wait_until(state: Callable[[], T], *, limit: float, what: str) -> T:
    """Ask until the state is truthy, and return it; `what` says what was missing when the limit has passed."""
    deadline = time.monotonic() + limit
    while not (reached := state()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit:g} s: {what}")
        time.sleep(_PAUSE)
    return reached


async def until(state: Callable[[], Awaitable[T]], *, limit: float, what: str) -> T:
    """Do the same in a coroutine. A question under way when the limit passes is given up."""
    try:
        async with asyncio.timeout(limit):
            while not (reached := await state()):  # noqa: ASYNC110 - what is waited for lies outside of this process
                await asyncio.sleep(_PAUSE)
            return reached
    except TimeoutError:
        raise AssertionError(f"not within {limit:g} s: {what}") from None
