"""Whether what an answer holds is spelled as every answer spells it: times, ids, durations, money."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def check(body: Any) -> None:
    """Raise where a member is spelled otherwise than its name promises; the document of the API is none of ours."""
    if isinstance(body, dict) and "openapi" in body:
        return
    faults = [f"{name}: {value!r}" for name, value in _members(body) if value is not None and not _is_good(name, value)]
    assert not faults, faults


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list):
        for each in value:
            yield from _members(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            yield name, each
            yield from _members(each)


def _is_good(name: str, value: Any) -> bool:
    if name.endswith("_at"):
        return isinstance(value, str) and _TIME.fullmatch(value) is not None
    if name == "id" or (name.endswith("_id") and name != "request_id"):  # which is the caller's
        return isinstance(value, str) and _ID.fullmatch(value) is not None
    if name.endswith(("_secs", "_micro_usd")):
        return type(value) is int
    return True
