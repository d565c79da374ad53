"""The kinds of contracts: a question with one answer, a question with a stream of answers, and a hint.

A contract is a value. `subject` reads `<owner>.v<major>.<noun>.<verb>`; on the wire the bus puts the caller in front.
A new optional field stays v1; anything else is v2, served beside v1 until nobody asks v1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, PlainSerializer

from hivemind_common.clock import rfc3339
from hivemind_common.errors import HivemindError

_SUBJECT = re.compile(r"[a-z][a-z-]*\.v[1-9][0-9]*\.[a-z][a-z-]*\.[a-z][a-z-]*")

Instant = Annotated[datetime, PlainSerializer(rfc3339, return_type=str, when_used="json")]
"""A moment; on the wire RFC 3339 in UTC with milliseconds and `Z`."""


class Message(BaseModel):
    """A plain value on the wire. Unknown members are ignored, so that a newer peer can be understood."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Nothing(Message):
    """An answer without content."""


Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)
I = TypeVar("I", bound=Message)  # noqa: E741 - the item of a stream, beside Q and A


class _Named:
    subject: str

    def __post_init__(self) -> None:
        if not _SUBJECT.fullmatch(self.subject):
            raise ValueError(f"a subject reads owner.v1.noun.verb, not {self.subject!r}")

    @property
    def owner(self) -> str:
        """The service that answers."""
        return self.subject.partition(".")[0]


@dataclass(frozen=True)
class Rpc(_Named, Generic[Q, A]):
    """A question with one answer. Only the refusals in `errors`, and those of every call, can come back."""

    subject: str
    request: type[Q]
    reply: type[A]
    errors: tuple[type[HivemindError], ...] = ()
    timeout: timedelta = timedelta(seconds=5)


@dataclass(frozen=True)
class Stream(_Named, Generic[Q, I, A]):
    """A question answered by any number of items and one final answer."""

    subject: str
    request: type[Q]
    item: type[I]
    reply: type[A]
    errors: tuple[type[HivemindError], ...] = ()
    timeout: timedelta = timedelta(seconds=120)


@dataclass(frozen=True)
class Event(_Named, Generic[Q]):
    """Something that happened, told to whoever listens. Losing it loses nothing: it is a hint."""

    subject: str
    message: type[Q]
