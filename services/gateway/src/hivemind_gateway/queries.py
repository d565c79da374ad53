"""Queries: every parameter known, given once, and spelled in the one way."""

from __future__ import annotations

import re
from typing import Annotated, Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError

from hivemind_common.errors import ValidationFailedError
from hivemind_gateway.problems import of_validation, place

M = TypeVar("M", bound=BaseModel)

_DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]*)")


def _plain(value: str) -> str:
    if not _DECIMAL.fullmatch(value):
        raise PydanticCustomError("int_parsing", "must be a whole number")
    return value


Whole = Annotated[int, BeforeValidator(_plain)]
"""A number in plain decimal: `5`, and not `+5`, `05`, ` 5` or `1_0`, which the language would take."""


def _true_or_false(value: str) -> str:
    if value not in {"true", "false"}:
        raise PydanticCustomError("bool_parsing", "must be true or false")
    return value


Flag = Annotated[bool, BeforeValidator(_true_or_false)]
"""`true` or `false`, and not `1`, `yes` or `True`, which the language would take."""

Cursor = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "pattern": "^[A-Za-z0-9_-]{12,400}$",
            "description": "`next` of the page before, as it was, with the same filters; any other is `invalid_cursor`.",
        }
    ),
]
"""A place in a list. The form is told and not judged: whether it is one of ours is asked of `cursors`."""


class PageQuery(BaseModel):
    """Which part of a list."""

    model_config = ConfigDict(hide_input_in_errors=True)

    limit: Annotated[Whole, Field(ge=1, le=200)] = 50
    cursor: Cursor | None = None


def read(model: type[M], request: web.Request) -> M:
    """Return the query as a value; raises `ValidationFailedError` with each fault and its place."""
    given = _once(request)
    try:
        return model.model_validate_strings(given, extra="forbid")
    except ValidationError as fault:
        raise of_validation(fault, "query") from None


def refuse_any(request: web.Request) -> None:
    """Raise `ValidationFailedError` when there is a query, where none is read."""
    for name in _once(request):
        raise ValidationFailedError.at(place("query", name), "unknown_member", "is not known here")


def _once(request: web.Request) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in request.query.items():
        if not _is_text(name):
            raise ValidationFailedError.at("query", "unknown_member", "has a parameter that is not known here")
        if name in found:
            raise ValidationFailedError.at(place("query", name), "repeated", "must be given once")
        if not _is_text(value):
            raise ValidationFailedError.at(
                place("query", name), "bad_character", "holds a character that is not allowed"
            )
        found[name] = value
    return found


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in value
