"""Bodies: read up to a limit, one JSON value, and nothing in it that was not asked for."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson
from aiohttp import HttpVersion11, hdrs, web
from pydantic import BaseModel, ValidationError

from hivemind_common import yaml_text
from hivemind_common.errors import ValidationFailedError
from hivemind_gateway.problems import (
    MOST_FAULTS,
    BadRequestError,
    BrokenRequestError,
    CrowdedError,
    MalformedJsonError,
    MalformedYamlError,
    PayloadTooLargeError,
    UnsupportedMediaTypeError,
    of_validation,
    place,
)

M = TypeVar("M", bound=BaseModel)

MAX_BODY: Final = 1024 * 1024
MAX_AT_ONCE = 64 * MAX_BODY
"""So much of all bodies that are being read may be held, beside the first `ALWAYS_HELD` of each."""

ALWAYS_HELD: Final = 64 * 1024
"""So much of a body always fits, so that who fills the room with large ones keeps no small one out."""

MAX_DEPTH: Final = 64
MAX_VALUES: Final = 10_000
"""Far more than any form has members, and few enough that naming what is wrong with each costs next to nothing."""

MAX_DIGITS: Final = 400
"""A number with more digits than any double has is out of range, whatever it says."""

PATIENCE_SECONDS: float = 30.0
"""So long may a body take from its first byte to its last."""


@dataclass(frozen=True)
class Medium:
    """A kind of body that a route takes: the names of its type, the first one being its usual one, and its size."""

    types: tuple[str, ...]
    most: int
    name: str


JSON: Final = Medium(("application/json",), MAX_BODY, "JSON")
PATCH: Final = Medium((*JSON.types, "application/merge-patch+json"), MAX_BODY, "JSON")
YAML: Final = Medium(("application/yaml", "application/x-yaml", "text/yaml"), 16 * MAX_BODY, "YAML")


class Room:
    """Memory for the bodies that are being read: whoever sends slowly holds what has arrived."""

    def __init__(self) -> None:
        self._left = MAX_AT_ONCE

    @contextmanager
    def share(self) -> Iterator[Share]:
        """Open the share of one body; what it has taken is given back at the end."""
        share = Share()
        try:
            yield share
        finally:
            self._left += share.taken

    def take(self, share: Share, size: int) -> None:
        """Let a share grow to what a body of `size` needs; raises `CrowdedError`."""
        more = max(0, size - ALWAYS_HELD) - share.taken
        if more > self._left:
            raise CrowdedError(retry_after=1, facts={"service": "gateway"})
        self._left -= more
        share.taken += more


@dataclass
class Share:
    """What one body has taken of the room."""

    taken: int = 0


def check_head(request: web.Request, medium: Medium) -> None:
    """Judge a body before it is read: 413 by its announced length, 415 by its type."""
    length = request.content_length
    if length is not None and length > medium.most:
        raise PayloadTooLargeError(f"the body may have {medium.most} bytes at most")
    if not request.can_read_body:
        return
    if hdrs.CONTENT_ENCODING in request.headers:
        raise UnsupportedMediaTypeError("bodies are not read compressed: send it without Content-Encoding")
    if request.content_type not in medium.types:
        raise UnsupportedMediaTypeError(f"send the body with Content-Type: {medium.types[0]}")
    if (request.charset or "utf-8").lower() not in {"utf-8", "utf8"}:
        raise UnsupportedMediaTypeError("send the body in UTF-8")


async def read(request: web.Request, room: Room, share: Share, medium: Medium) -> bytes:
    """Read a body; raises `PayloadTooLargeError` as soon as the limit is passed, `BrokenRequestError` when it stops."""
    if hdrs.EXPECT in request.headers and request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # that was no part of the answer
    pieces = []
    size = 0
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for piece in request.content.iter_any():
                size += len(piece)
                if size > medium.most:
                    raise PayloadTooLargeError(f"the body may have {medium.most} bytes at most")
                room.take(share, size)
                pieces.append(piece)
    except TimeoutError:
        raise BrokenRequestError(f"the body did not arrive within {PATIENCE_SECONDS:g} seconds") from None
    except web.RequestPayloadError:
        raise BrokenRequestError("the body's chunks cannot be read") from None
    return b"".join(pieces)


def parse(body: bytes) -> Any:
    """Return the one JSON value that the bytes are; raises `MalformedJsonError`, or `BadRequestError` for no bytes.

    A member named twice, NaN, bad UTF-8 and nesting over 64 are malformed. `5.0` is the whole number 5.
    """
    if not body:
        raise BadRequestError("a JSON body is needed here")
    try:
        text = body.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_int=_whole,
            parse_float=_number,
        )
    except UnicodeDecodeError:
        raise MalformedJsonError("the body is not UTF-8") from None
    except json.JSONDecodeError as fault:
        raise MalformedJsonError(
            f"the body is not JSON: {fault.msg.lower()} at line {fault.lineno}, column {fault.colno}"
        ) from None
    except RecursionError:
        raise MalformedJsonError(f"the body is nested deeper than {MAX_DEPTH} levels") from None
    return value


def parse_documents(body: bytes) -> list[Any]:
    """Return the YAML documents that the bytes are; raises `MalformedYamlError`, or `BadRequestError` for no bytes."""
    if not body:
        raise BadRequestError("a YAML body is needed here")
    try:
        return yaml_text.read(body.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise MalformedYamlError("the body is not UTF-8") from None
    except yaml_text.NotYamlError as fault:
        raise MalformedYamlError(f"the body is not YAML: {fault}") from None


def validate(model: type[M], value: Any, *, at: str = "", most_values: int = MAX_VALUES) -> M:
    """Return the value as a message; raises `ValidationFailedError` with each fault and its place below `at`."""
    _check_texts(value, at, most_values)
    try:
        return model.model_validate_json(orjson.dumps(value), strict=True, extra="forbid")
    except ValidationError as fault:
        raise of_validation(fault, at, read_only=getattr(model, "READ_ONLY", frozenset())) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedJsonError("the body names a member twice")
    return members


def _refuse_constant(name: str) -> Any:
    raise MalformedJsonError(f"the body holds {name}, which JSON does not know")


def _whole(text: str) -> int | float:
    return int(text) if len(text) <= MAX_DIGITS else math.inf


def _number(text: str) -> int | float:
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _check_texts(value: Any, at: str, most_values: int) -> None:
    """Refuse nesting and numbers of values over the limit, and what no column can hold: NUL, lone surrogates, 2**63."""
    faults: list[dict[str, str]] = []
    waiting: list[tuple[str, Any, int]] = [(at, value, 1)]
    left = most_values
    while waiting and len(faults) < MOST_FAULTS:
        path, found, depth = waiting.pop()
        if not isinstance(found, (dict, list)):
            faults += _faults_of(path, found)
            continue
        if depth > MAX_DEPTH:
            raise MalformedJsonError(f"the body is nested deeper than {MAX_DEPTH} levels")
        left -= len(found)
        if left < 0:
            raise ValidationFailedError.at(path, "too_long", f"the body holds more than {most_values:,} values")
        for name, member in found.items() if isinstance(found, dict) else enumerate(found):
            if isinstance(name, str) and _fault_of(name):
                faults.append({"path": path, "code": "unknown_member", "message": "has a member that is not known"})
            else:
                waiting.append((place(path, name) if path else place(name), member, depth + 1))
    if faults:
        raise ValidationFailedError.of(faults[:MOST_FAULTS])


def _faults_of(path: str, found: object) -> Iterator[dict[str, str]]:
    if isinstance(found, str):
        fault = _fault_of(found)
        if fault:
            yield {"path": path, "code": "bad_character", "message": fault}
    elif _is_out_of_range(found):
        yield {"path": path, "code": "too_large", "message": "is out of range"}


def _is_out_of_range(value: object) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    return isinstance(value, int) and abs(value) >= 2**63


def _fault_of(text: str) -> str:
    if "\0" in text:
        return "must not hold the character U+0000"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "must not hold half of a surrogate pair"
    return ""
