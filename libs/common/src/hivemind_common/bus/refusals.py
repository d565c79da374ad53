"""How a refusal crosses the bus: ADR-32 headers for everybody, a JSON body for us."""

from __future__ import annotations

from typing import Any

import orjson

from hivemind_common.bus.envelope import ERROR_CODE_HEADER, ERROR_HEADER
from hivemind_common.errors import (
    HivemindError,
    Kind,
    RemoteBugError,
    UnavailableError,
    ValidationFailedError,
)

EVERYWHERE: tuple[type[HivemindError], ...] = (ValidationFailedError, UnavailableError)
"""Refusals that any call may meet, so that no contract has to list them."""


def to_wire(error: HivemindError) -> tuple[dict[str, str], bytes]:
    """Write a refusal: its headers and its body."""
    headers = {ERROR_HEADER: error.code, ERROR_CODE_HEADER: str(error.http_status)}
    body: dict[str, Any] = {"code": error.code, "kind": error.kind, "message": error.message, "facts": error.facts}
    if error.retry_after is not None:
        body["retry_after"] = error.retry_after
    return headers, orjson.dumps(body, default=str)


BUG_HEADERS = {ERROR_HEADER: "internal", ERROR_CODE_HEADER: "500"}
BUG_BODY = b'{"code":"internal"}'


def from_wire(body: bytes, known: tuple[type[HivemindError], ...]) -> Exception:
    """Read a refusal as the error class of that code; one that the contract does not list keeps its code and kind."""
    try:
        told: dict[str, Any] = orjson.loads(body)
        code = str(told["code"])
        if code == "internal":
            return RemoteBugError("the far side failed")
        kind = Kind(told["kind"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return RemoteBugError("the far side's refusal cannot be read")
    classes = {error.code: error for error in (*EVERYWHERE, *known)}
    error_class: type[HivemindError] = classes.get(code) or type(
        "ForeignError", (HivemindError,), {"code": code, "kind": kind}
    )
    retry_after, facts = told.get("retry_after"), told.get("facts")
    return error_class(
        str(told.get("message", "")),
        retry_after=retry_after if isinstance(retry_after, int) else None,
        facts=facts if isinstance(facts, dict) else None,
    )
