"""Cursors of lists: the place behind the last item, bound to the list that it was handed out by."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final
from uuid import UUID

from hivemind_gateway.problems import InvalidCursorError

_CHECK: Final = 8
_MOST: Final = 400


def write(scope: str, place: str) -> str:
    """Return the cursor for what comes after `place`; `scope` is the list's path with its filters."""
    return base64.urlsafe_b64encode(_check(scope, place) + place.encode()).rstrip(b"=").decode()


def read(scope: str, cursor: str) -> str:
    """Return the place; raises `InvalidCursorError` for one of another list, or of none.

    The check is no secret: who makes a cursor by hand comes to a place of a list that they may read anyway.
    """
    if len(cursor) > _MOST or not cursor.isascii():
        raise InvalidCursorError
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = raw[_CHECK:].decode()
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidCursorError from None
    # Compared as written, so that no second spelling of a cursor passes.
    if write(scope, place) != cursor or not place.isprintable():
        raise InvalidCursorError
    return place


def place_of(scope: str, cursor: str | None) -> str | None:
    """Return the place that a cursor names, or None where a list begins."""
    return read(scope, cursor) if cursor is not None else None


def id_of(scope: str, cursor: str | None) -> UUID | None:
    """Return the id that a cursor names, of a list that goes by ids."""
    place = place_of(scope, cursor)
    try:
        return UUID(place) if place is not None else None
    except ValueError:
        raise InvalidCursorError from None


def number_of(scope: str, cursor: str | None) -> int | None:
    """Return the number that a cursor names, of a list that goes by numbers."""
    place = place_of(scope, cursor)
    if place is not None and not (place.isascii() and place.isdecimal() and len(place) < 10):
        raise InvalidCursorError
    return int(place) if place is not None else None


def _check(scope: str, place: str) -> bytes:
    return hashlib.blake2b(f"{scope}\n{place}".encode(), digest_size=_CHECK).digest()
