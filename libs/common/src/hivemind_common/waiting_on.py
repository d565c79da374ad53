"""What a task was waiting for when its time was up, so that a 503 names the cause and not whoever waited for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Wait:
    """Filled in when the work is interrupted."""

    on: str | None = None


_WAIT: ContextVar[Wait | None] = ContextVar("hivemind_wait", default=None)


@contextmanager
def watched(wait: Wait) -> Iterator[None]:
    """Watch the block: afterwards `wait.on` names what it was waiting for when it was interrupted, if it was."""
    token = _WAIT.set(wait)
    try:
        yield
    finally:
        _WAIT.reset(token)


def interrupted(name: str) -> None:
    """Say that the work was interrupted while it waited for `name`; what is said first, deepest inside, stands."""
    wait = _WAIT.get()
    if wait is not None and wait.on is None:
        wait.on = name
