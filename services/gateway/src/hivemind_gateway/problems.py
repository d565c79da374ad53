"""Refusals as the door tells them: problem documents (RFC 9457)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
from aiohttp import web
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hivemind_common.errors import WORTH_RETRYING, HivemindError, Kind, ValidationFailedError

TITLES: Final = {413: "Content Too Large", 422: "Unprocessable Content"}
"""Where RFC 9110 names a status otherwise than the standard library."""

MOST_FAULTS: Final = 20
"""So many of them are told at once; who mends these hears of the rest."""

LONGEST_PLACE: Final = 200


class MalformedJsonError(HivemindError):
    """The bytes are not one JSON value."""

    code = "malformed_json"
    kind = Kind.INVALID
    status = 400


class MalformedYamlError(HivemindError):
    """The bytes are no YAML documents."""

    code = "malformed_yaml"
    kind = Kind.INVALID
    status = 400


class BadRequestError(HivemindError):
    """Something about the request itself cannot be."""

    code = "bad_request"
    kind = Kind.INVALID
    status = 400


class BrokenRequestError(BadRequestError):
    """The request cannot be read, or not to its end: where the next one would begin is not known either."""


class AmbiguousCredentialsError(HivemindError):
    """Two valid credentials of different principals."""

    code = "ambiguous_credentials"
    kind = Kind.INVALID
    status = 400
    words = "two credentials disagree; send one"


class MissingApiKeyError(HivemindError):
    """No credential at all. The words are published: scripts look for them."""

    code = "missing_api_key"
    kind = Kind.UNAUTHENTICATED
    words = "missing X-API-Key header"


class InvalidApiKeyError(HivemindError):
    """A key or token that nobody has. The words are published."""

    code = "invalid_api_key"
    kind = Kind.UNAUTHENTICATED
    words = "invalid or inactive API key"


class InvalidSessionError(HivemindError):
    """A session that has ended."""

    code = "invalid_session"
    kind = Kind.UNAUTHENTICATED
    words = "session is not valid; sign in again"


class InsufficientScopeError(HivemindError):
    """The credential does not reach so far; `facts["scope"]` says what is missing."""

    code = "insufficient_scope"
    kind = Kind.FORBIDDEN


class CsrfError(HivemindError):
    """The request was made by a page of another origin."""

    code = "csrf"
    kind = Kind.FORBIDDEN
    words = "a page of another origin made this request"


class SetupTokenRequiredError(HivemindError):
    """The first admin is registered from this machine, or with the setup token."""

    code = "setup_token_required"
    kind = Kind.FORBIDDEN
    words = "the first admin needs the setup token; it stands in the file setup-token of the data folder"


class NotFoundError(HivemindError):
    """No such path, or nothing there."""

    code = "not_found"
    kind = Kind.NOT_FOUND
    words = "there is nothing at this path"


class InvalidCursorError(HivemindError):
    """A cursor that this list did not hand out."""

    code = "invalid_cursor"
    kind = Kind.INVALID
    words = "cursor: use the `next` of the page before, unchanged, with the same filters"


class EdgeError(HivemindError):
    """A refusal that only the door makes and that never crosses the bus; it has a status instead of a kind's."""

    kind = Kind.INVALID


class CrowdedError(HivemindError):
    """So many large bodies are being sent at once that a further one would not fit into memory."""

    code = "unavailable"
    kind = Kind.UNAVAILABLE
    words = "too much is being sent at once; try again shortly"


class MethodNotAllowedError(EdgeError):
    """The path is there; the method is not."""

    code = "method_not_allowed"
    status = 405
    words = "this path does not know that method"

    def __init__(self, allow: str) -> None:
        super().__init__()
        self.allow = allow


class NotAcceptableError(EdgeError):
    """The caller accepts none of what there is."""

    code = "not_acceptable"
    status = 406
    words = "this path answers application/json or text/event-stream"


class PayloadTooLargeError(EdgeError):
    """The body is larger than is read."""

    code = "payload_too_large"
    status = 413


class UnsupportedMediaTypeError(EdgeError):
    """The body is of a type that is not read here."""

    code = "unsupported_media_type"
    status = 415


_OF_A_LIMIT: Final = frozenset({"limit", "remaining", "reset_secs"})
"""Facts that headers tell; in the document they stand only where the limit is what refuses."""


def limit_headers(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return what is left of a limit, as limited routes tell it."""
    return {
        "RateLimit-Limit": str(facts["limit"]),
        "RateLimit-Remaining": str(facts["remaining"]),
        "RateLimit-Reset": str(facts["reset_secs"]),
    }


def document(error: HivemindError, request_id: str) -> dict[str, Any]:
    """Write a refusal as its problem document."""
    status = error.http_status
    facts = {
        name: value
        for name, value in error.facts.items()
        if (name != "errors" or status in {400, 422})
        and (name not in _OF_A_LIMIT or status == HTTPStatus.TOO_MANY_REQUESTS)
    }
    return {
        "type": f"/docs/errors#{error.code}",
        "title": TITLES.get(status) or HTTPStatus(status).phrase,
        "status": status,
        "code": error.code,
        "detail": error.message,
        "error": error.message,
        "request_id": request_id,
        **facts,
    }


def bug_document(request_id: str) -> dict[str, Any]:
    """Write a bug: that it happened, and under which id the log has it."""
    return {
        "type": "/docs/errors#internal",
        "title": "Internal Server Error",
        "status": 500,
        "code": "internal",
        "detail": "internal error",
        "error": "internal error",
        "request_id": request_id,
    }


def retry_after(error: HivemindError) -> int | None:
    """Return after how many seconds asking again makes sense, where that is said."""
    if error.kind in WORTH_RETRYING or error.retry_after is not None:
        return max(1, error.retry_after or 1)
    return None


def response(error: HivemindError, request_id: str) -> web.Response:
    """Render a refusal."""
    headers: dict[str, str] = {}
    if error.http_status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="hivemind"'
    seconds = retry_after(error)
    if seconds is not None:
        headers["Retry-After"] = str(seconds)
    if "limit" in error.facts:
        headers |= limit_headers({"remaining": 0, "reset_secs": seconds or 0} | error.facts)
    if isinstance(error, MethodNotAllowedError):
        headers["Allow"] = error.allow
    told = problem_response(document(error, request_id), headers)
    if isinstance(error, (BrokenRequestError, PayloadTooLargeError)):
        told.force_close()
    return told


def problem_response(body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> web.Response:
    """Render a problem document."""
    return web.Response(
        body=orjson.dumps(body, default=str),
        status=int(body["status"]),
        content_type="application/problem+json",
        headers=headers,
    )


def of_validation(
    fault: ValidationError, prefix: str = "", *, read_only: Collection[str] = ()
) -> ValidationFailedError:
    """Write what pydantic found as our refusal: where, what, in words for people; never the value."""
    found = fault.errors(include_url=False, include_input=False)
    return ValidationFailedError.of([_entry(entry, prefix, read_only) for entry in found[:MOST_FAULTS]])


def place(*parts: object) -> str:
    """Return where a fault stands, dotted; cut, because names are the caller's and may be long."""
    return ".".join(str(part) for part in parts)[:LONGEST_PLACE]


_CODES: Final[Mapping[str, tuple[str, str]]] = {
    "missing": ("missing", "is required"),
    "extra_forbidden": ("unknown_member", "is not known here"),
    "string_type": ("wrong_type", "must be a string"),
    "int_type": ("wrong_type", "must be a whole number"),
    "int_from_float": ("wrong_type", "must be a whole number"),
    "int_parsing": ("wrong_type", "must be a whole number"),
    "int_parsing_size": ("too_large", "is out of range"),
    "float_type": ("wrong_type", "must be a number"),
    "float_parsing": ("wrong_type", "must be a number"),
    "finite_number": ("wrong_type", "must be a finite number"),
    "bool_type": ("wrong_type", "must be true or false"),
    "bool_parsing": ("wrong_type", "must be true or false"),
    "tuple_type": ("wrong_type", "must be a list"),
    "list_type": ("wrong_type", "must be a list"),
    "dict_type": ("wrong_type", "must be an object"),
    "model_type": ("wrong_type", "must be an object"),
    "model_attributes_type": ("wrong_type", "must be an object"),
    "uuid_type": ("wrong_type", "must be an id"),
    "uuid_parsing": ("malformed", "must be an id"),
    "string_pattern_mismatch": ("malformed", "has characters or a form that are not allowed here"),
}


def _entry(found: ErrorDetails, prefix: str, read_only: Collection[str]) -> dict[str, str]:
    path = place(*([prefix] if prefix else []), *found["loc"])
    kind, context = found["type"], found.get("ctx", {})
    if kind == "extra_forbidden" and path in read_only:
        code, message = "read_only", "cannot be changed"
    elif kind in _CODES:
        code, message = _CODES[kind]
    else:
        bounded = _bounded(kind, context)
        code, message = bounded if bounded is not None else (kind, found["msg"])
    return {"path": path, "code": code, "message": message}


def _bounded(kind: str, context: Mapping[str, Any]) -> tuple[str, str] | None:
    match kind:
        case "string_too_short":
            least = context["min_length"]
            return "too_short", "must not be empty" if least == 1 else f"must be at least {least} characters long"
        case "string_too_long":
            return "too_long", f"must be at most {context['max_length']} characters long"
        case "too_long" if "max_length" in context:
            return "too_long", f"must have at most {context['max_length']} entries"
        case "too_short" if "min_length" in context:
            return "too_short", f"must have at least {context['min_length']} entries"
        case "greater_than_equal":
            return "too_small", f"must be at least {_plain(context['ge'])}"
        case "less_than_equal":
            return "too_large", f"must be at most {_plain(context['le'])}"
        case "enum" | "literal_error":
            return "unknown", f"must be one of {context['expected']}"
    return None


def _plain(number: object) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)


def joined(codes: Iterable[str]) -> str:
    """Write names for a header."""
    return ", ".join(sorted(codes))
