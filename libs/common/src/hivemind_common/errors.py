"""What can be refused, and how a refusal is told.

Code branches on `kind`; `code` is API; the words are for the person asking. `detail` is for our log and never
crosses a wire. Whatever is not a `HivemindError` is a bug: logged in full, told as "internal" and nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, ClassVar


class Kind(StrEnum):
    """The seven ways to refuse. A kind decides the HTTP status and whether asking again is worth it."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    EXHAUSTED = "exhausted"
    UNAVAILABLE = "unavailable"


STATUS_OF: Mapping[Kind, int] = {
    Kind.INVALID: 422,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.EXHAUSTED: 429,
    Kind.UNAVAILABLE: 503,
}
WORTH_RETRYING = frozenset({Kind.EXHAUSTED, Kind.UNAVAILABLE})


class HivemindError(Exception):
    """A refusal that a caller may see. `facts` become members of the problem document, beside `code`."""

    code: ClassVar[str]
    kind: ClassVar[Kind]
    status: ClassVar[int | None] = None
    words: ClassVar[str] = ""

    def __init__(
        self,
        message: str = "",
        *,
        detail: str = "",
        retry_after: int | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message or self.words or self.code)
        self.message = message or self.words or self.code
        self.detail = detail
        self.retry_after = retry_after
        self.facts = dict(facts or {})

    @property
    def http_status(self) -> int:
        """The status of the problem document that tells this."""
        return self.status or STATUS_OF[self.kind]


class ValidationFailedError(HivemindError):
    """What was sent parses but is wrong; `facts["errors"]` says where."""

    code = "validation_failed"
    kind = Kind.INVALID

    @classmethod
    def at(cls, path: str, code: str, message: str) -> ValidationFailedError:
        """Refuse one member: `path` is dotted, as in `tags.0`."""
        return cls.of([{"path": path, "code": code, "message": message}])

    @classmethod
    def of(cls, errors: Sequence[Mapping[str, str]]) -> ValidationFailedError:
        """Refuse several members at once; the first one is the headline."""
        first = errors[0]
        headline = f"{first['path']}: {first['message']}" if first["path"] else first["message"]
        return cls(headline, facts={"errors": list(errors)})


class UnavailableError(HivemindError):
    """Something that is needed does not answer; `facts["service"]` names it: `db`, `nats` or a service."""

    code = "unavailable"
    kind = Kind.UNAVAILABLE

    @classmethod
    def of(cls, service: str, *, detail: str = "") -> UnavailableError:
        """Name what does not answer."""
        words = {"db": "the database does not answer", "nats": "the message bus does not answer"}
        message = words.get(service, f"the service {service} does not answer")
        return cls(message, detail=detail, retry_after=1, facts={"service": service})


class RemoteBugError(Exception):
    """The far side failed on a bug of ours. Its log has the whole of it; here it is only "internal"."""
