"""How many entries strangers may cause: a flood shows as its first rows and a count, and never fills the disk."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from hivemind_common.clock import Clock

MOST_A_MINUTE: Final = 20
MOST_SOURCES: Final = 10_000
_WINDOW: Final = timedelta(minutes=1)


@dataclass(slots=True)
class _Source:
    ends: datetime
    let_through: int = 0
    left_out: int = 0


class Floods:
    """Counts by source, an address. Whether the account is known plays no part, so the time taken tells nothing of it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sources: dict[str, _Source] = {}

    def admit(self, source: str) -> int | None:
        """Return how many of the source's were left out since the last one let through; None leaves this one out too."""
        now = self._clock()
        if len(self._sources) >= MOST_SOURCES:
            self._sources = {name: kept for name, kept in self._sources.items() if kept.ends > now}
        found = self._sources.get(source)
        if found is None:
            if len(self._sources) >= MOST_SOURCES:
                return 0  # so many sources at once are worth their rows
            found = self._sources[source] = _Source(now + _WINDOW)
        elif found.ends <= now:
            found.ends, found.let_through = now + _WINDOW, 0
        if found.let_through >= MOST_A_MINUTE:
            found.left_out += 1
            return None
        found.let_through += 1
        left_out, found.left_out = found.left_out, 0
        return left_out
