"""A constraint's name becomes an error: nothing is checked first and inserted after."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import asyncpg

from hivemind_common.errors import HivemindError


@contextmanager
def refusing(by_constraint: Mapping[str, Callable[[], HivemindError]]) -> Iterator[None]:
    """Raise the error that belongs to the constraint which the database found violated."""
    try:
        yield
    except asyncpg.IntegrityConstraintViolationError as fault:
        make = by_constraint.get(fault.constraint_name or "")
        if make is None:
            raise
        raise make() from fault
