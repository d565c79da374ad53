"""Edits of things that others may edit too: by whoever knows the state that they are in, or by whoever came last."""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import Field, StringConstraints

from hivemind_common.contracts.kinds import Message
from hivemind_common.errors import HivemindError, Kind

ANY_STATE = "*"

Tag = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Expected = Annotated[tuple[Tag, ...], Field(max_length=50)]
"""Tags of states, of which the thing has to be in one; `*` is every state."""


class PreconditionFailedError(HivemindError):
    """The thing is not as the caller knows it; `facts["current_etag"]` is its tag now, `facts["changed_by"]` who changed it."""

    code = "precondition_failed"
    kind = Kind.CONFLICT
    status = 412
    words = "it has changed since: look at it again"


def tag_of(shown: bytes) -> str:
    """Return the tag of a thing as it is shown, which is its JSON."""
    return hashlib.blake2b(shown, digest_size=16).hexdigest()


def check_expected(expected: Expected | None, shown: Message, changed_by: str = "") -> None:
    """Raise `PreconditionFailedError` unless a thing is in one of the states that the caller expects; None expects nothing."""
    if expected is None or ANY_STATE in expected:
        return
    tag = tag_of(shown.model_dump_json().encode())
    if tag not in expected:
        words = f"{changed_by} has changed it since: look at it again" if changed_by else ""
        facts = {"current_etag": f'"{tag}"'} | ({"changed_by": changed_by} if changed_by else {})
        raise PreconditionFailedError(words, facts=facts)
