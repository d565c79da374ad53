"""What people read: progress on stdout, warnings and refusals on stderr."""

from __future__ import annotations

import contextlib
import sys
from enum import IntEnum


class Exit(IntEnum):
    """How a command ends."""

    DONE = 0
    BROKE = 1
    USAGE = 2
    CANNOT_START = 3
    STOPPED_AT_ONCE = 130


class RefusalError(Exception):
    """It cannot be done here. `message` and `hint` are one line each, for people."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def say(text: str) -> None:
    """Print a line of progress. Whoever reads it may have left: that stops nothing."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def warn(text: str) -> None:
    """Print a warning."""
    _tell(f"warning: {text}")


def refuse(message: str, hint: str = "") -> None:
    """Print what is wrong, in one line, and perhaps the cure."""
    _tell(f"error: {' '.join(message.split())}")
    if hint:
        _tell(f"hint: {hint}")


def _tell(line: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
