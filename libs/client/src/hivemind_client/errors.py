"""Everything that this client raises. Words are for the person asking; code branches on the class, `status` and `code`."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hivemind_client.models import Problem


class ClientError(Exception):
    """Something did not work. `hint` says what to do about it, where that is known."""

    code: str = "client_error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def document(self) -> Mapping[str, Any]:
        """This failure as a problem document: the server's own, or one of the same form."""
        return {
            "type": "about:blank",
            "title": "Not sent",
            "status": None,
            "code": self.code,
            "detail": self.message,
            "error": self.message,
            "request_id": None,
        }


class InvalidInputError(ClientError):
    """What was handed in cannot be sent at all; nothing was."""

    code = "invalid_input"


class UnreachableError(ClientError):
    """No whole answer came. Of a request that changes something it is not known whether it was carried out."""

    code = "unreachable"


class TimedOutError(UnreachableError):
    """The answer took longer than it was given."""

    code = "timed_out"


class NotHivemindError(ClientError):
    """An answer came, but none that this client understands: another server, a proxy's page, or a newer API."""

    code = "not_hivemind"


class ApiError(ClientError):
    """The server refused. `document` is its problem document, with all its members."""

    def __init__(
        self, status: int, document: Mapping[str, Any], *, retry_after: int | None = None, hint: str = ""
    ) -> None:
        super().__init__(_words(status, document), hint=hint)
        self.status = status
        self.code = str(document.get("code") or f"http_{status}")
        self.retry_after = retry_after
        self._document = dict(document)

    @property
    def document(self) -> Mapping[str, Any]:
        """The server's problem document as it came; when somebody else answered, one of the same form."""
        return self._document

    @property
    def problem(self) -> Problem:
        """The problem document, typed."""
        from hivemind_client.models import Problem

        return Problem.read(self._document)

    @classmethod
    def without_document(cls, status: int, message: str, *, hint: str = "") -> ApiError:
        """An error status without a problem document, as proxies send them."""
        return cls(
            status,
            {
                "type": "about:blank",
                "title": phrase_of(status),
                "status": status,
                "code": f"http_{status}",
                "detail": message,
                "error": message,
                "request_id": None,
            },
            hint=hint,
        )


def phrase_of(status: int) -> str:
    """The usual name of a status, as in `Bad Gateway`."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown Status"


def _words(status: int, document: Mapping[str, Any]) -> str:
    # Of several wrong members the document's `detail` names only the first, but a person wants to mend all of them at once.
    errors = document.get("errors")
    if isinstance(errors, list) and len(errors) > 1:
        return "; ".join(f"{e.get('path')}: {e.get('message')}" for e in errors if isinstance(e, dict))
    return str(document.get("detail") or document.get("error") or phrase_of(status))
