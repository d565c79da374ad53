"""How long a message was under way: what a frozen service finds in its socket when it wakes is old, and must not count as new.

Clocks of hosts differ and are set, so none is compared with another. A sender writes its monotonic clock into each
message; the smallest difference to ours that was ever seen from it is what an undelayed message shows, and anything
above that is delay. (The rule of LEDBAT, RFC 6817 section 4.2, for the one-way delay.)
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

MOST_SENDERS: Final = 1_024

_DRIFT: Final = 200e-6
"""Two monotonic clocks drift apart by less than this, so what counts as undelayed may rise by as much."""


class Transit:
    """What is known of the clocks of those who ask."""

    def __init__(self) -> None:
        self._undelayed: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def delay_ms(self, sender: str, sent_ms: int, now_ms: float) -> float:
        """Return how long a message was under way beyond the fastest from this sender, in milliseconds.

        The first message of a sender tells nothing: its delay is 0.
        """
        shown = now_ms - sent_ms
        known = self._undelayed.pop(sender, None)
        least = shown
        if known is not None:
            at, before = known
            least = min(shown, before + (now_ms - at) * _DRIFT)
        self._undelayed[sender] = (now_ms, least)
        if len(self._undelayed) > MOST_SENDERS:
            self._undelayed.popitem(last=False)
        return shown - least
