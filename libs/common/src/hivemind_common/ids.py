"""Ids are UUIDv7, made by us: in order of creation, the same in JSON, SQL and logs."""

import os
import threading
import time
from collections.abc import Callable
from typing import NewType
from uuid import UUID

AccountId = NewType("AccountId", UUID)
SessionId = NewType("SessionId", UUID)
KeyId = NewType("KeyId", UUID)
BotId = NewType("BotId", UUID)
SnippetId = NewType("SnippetId", UUID)
GapId = NewType("GapId", UUID)
GoldenQuestionId = NewType("GoldenQuestionId", UUID)
ConversationId = NewType("ConversationId", UUID)
MessageId = NewType("MessageId", UUID)

IdMaker = Callable[[], UUID]
"""Asked for an id that nobody has had before."""

_COUNTER_BITS = 12
_lock = threading.Lock()
_last = 0


def new_id() -> UUID:
    """Make a UUIDv7 (RFC 9562, section 6.2, method 1): ids made by one process sort in the order of their making."""
    global _last  # noqa: PLW0603 - the counter of the process is what keeps two ids of one millisecond in order
    with _lock:
        stamp = (time.time_ns() // 1_000_000) << _COUNTER_BITS
        _last = max(stamp, _last + 1)
        tick = _last
    milliseconds, counter = tick >> _COUNTER_BITS, tick & ((1 << _COUNTER_BITS) - 1)
    random = int.from_bytes(os.urandom(8)) & ((1 << 62) - 1)
    return UUID(int=(milliseconds << 80) | (0x7 << 76) | (counter << 64) | (0b10 << 62) | random)
