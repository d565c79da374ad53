"""How long a message was under way: what a frozen service finds in its socket when it wakes is old, and must not count as new.

Clocks of hosts differ and are set, so none is compared with another. A sender writes its monotonic clock into each
message; the smallest difference to ours that was seen from it lately is what an undelayed message shows, and anything
above that is delay. (The rule of LEDBAT, RFC 6817 section 4.2, for the one-way delay, with its history of minima: a
sender whose clock stood still, as in a paused machine, looks late until the minima from before are forgotten.)
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

MOST_SENDERS: Final = 1_024

WINDOW_MS: Final = 10_000
"""For how long messages have to come until the minimum of those before them is forgotten. Silence forgets nothing."""

_DRIFT: Final = 200e-6
"""Two monotonic clocks drift apart by less than this, so what counts as undelayed may rise by as much."""


@dataclass(slots=True)
class _Sender:
    began: float
    least: float
    """Since then."""
    before: float
    """In the window before."""
    at: float


class Transit:
    """What is known of the clocks of those who ask."""

    def __init__(self) -> None:
        self._senders: OrderedDict[str, _Sender] = OrderedDict()

    def delay_ms(self, sender: str, sent_ms: int, now_ms: float) -> float:
        """Return how long a message was under way beyond the fastest from this sender, in milliseconds.

        The first message of a sender tells nothing: its delay is 0.
        """
        shown = now_ms - sent_ms
        known = self._senders.pop(sender, None)
        if known is None:
            known = _Sender(now_ms, shown, shown, now_ms)
        drift = (now_ms - known.at) * _DRIFT
        known.least, known.before, known.at = known.least + drift, known.before + drift, now_ms
        if now_ms - known.began > WINDOW_MS:
            known.began, known.before, known.least = now_ms, known.least, shown
        known.least = min(known.least, shown)
        self._senders[sender] = known
        if len(self._senders) > MOST_SENDERS:
            self._senders.popitem(last=False)
        return shown - min(known.least, known.before)
