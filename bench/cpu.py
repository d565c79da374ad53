"""What processes have cost so far, as the kernel counts it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def seconds_of(pids: Iterable[int]) -> float:
    """Return the CPU seconds of these processes, with those of children that have ended."""
    return sum(map(_seconds, pids))


def by_part(parts: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Return the same for each named group."""
    return {name: seconds_of(pids) for name, pids in parts.items()}


def _seconds(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0.0  # it has ended, and its parent has what it used
    fields = text.rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS
