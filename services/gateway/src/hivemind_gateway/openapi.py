"""The OpenAPI 3.1 document, made from the table of routes: what is dispatched and what is described cannot disagree."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from hivemind_common.errors import HivemindError, UnavailableError, ValidationFailedError
from hivemind_common.version import VERSION
from hivemind_gateway import bodies, problems
from hivemind_gateway.identity import COOKIE
from hivemind_gateway.links import PLACE, links
from hivemind_gateway.routing import Access, Route

PATH: Final = "/api/v1/openapi.json"
PROBLEM: Final = "application/problem+json"
_REFERENCE: Final = "#/components/schemas/{model}"
_SENT: Final = "Sent"
_SENT_REFERENCE: Final = _REFERENCE + _SENT

_PLACES: Final[dict[str, dict[str, Any]]] = {
    "slug": {"type": "string", "pattern": "^[a-z0-9-]{3,32}$", "description": "The bot's slug."},
    "version": {"type": "string", "pattern": "^[1-9][0-9]{0,8}$", "description": "The number of a version."},
    "id": {"type": "string", "format": "uuid", "description": "An id, in lower case with hyphens."},
}

_VERSIONED_SLUG: Final = {
    "type": "string",
    "pattern": "^[a-z0-9-]{3,32}(@[1-9][0-9]{0,8})?$",
    "description": "The bot's slug; `helpdesk@3` is the bot with version 3 of its prompt.",
}

_OPEN: Final = re.compile(r"\\S|\[\^")
"""Of a pattern that says what a text must have, or must not have: it may hold any other character beside that."""

_BOUNDS: Final = {"ge": "minimum", "le": "maximum"}
"""What pydantic calls a bound where a number is read from text first."""

_SCHEMES: Final[dict[str, dict[str, str]]] = {
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or the break-glass key."},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
}

_OF_EVERY_ROUTE: Final = (problems.BadRequestError, UnavailableError)
_OF_A_BODY: Final = (
    problems.PayloadTooLargeError,
    problems.UnsupportedMediaTypeError,
    ValidationFailedError,
)
_OF_A_CREDENTIAL: Final = (
    problems.MissingApiKeyError,
    problems.InvalidApiKeyError,
    problems.InvalidSessionError,
    problems.AmbiguousCredentialsError,
)


class FieldFault(BaseModel):
    """One member that is wrong."""

    path: str
    code: str
    message: str


class Problem(BaseModel):
    """A refusal (RFC 9457). `code` is for programs; further members belong to the code."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    error: str
    request_id: str
    errors: list[FieldFault] | None = None


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """Return the document."""
    rows = sorted((row for row in routes if _is_described(row)), key=lambda row: (row.path, row.method))
    schemas, parts = _schemas(rows)
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        item = paths.setdefault(row.path, {})
        item[row.method.lower()] = _operation(row, rows, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Hivemind",
            "version": VERSION,
            "summary": "Bots that answer from what they were taught.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in sorted({_tag(row) for row in rows})],
        "paths": paths,
        "components": {"schemas": parts, "securitySchemes": _SCHEMES},
    }


Schemas = dict[Any, dict[str, Any]]
"""By model and mode, as pydantic makes them."""


def _is_described(row: Route) -> bool:
    # Probes are for the machine that runs it, and no part of the API; the document does not describe itself.
    return row.path.startswith(("/api/", "/auth/")) and row.path != PATH


def _schemas(rows: Iterable[Route]) -> tuple[Schemas, dict[str, Any]]:
    """Return the schema of each model, and what they refer to. What is sent is strict, what is answered may grow."""
    replies = {Problem: None} | {reply: None for row in rows for reply in row.replies}
    forms = {model: None for row in rows for model in (row.form, row.exports) if model is not None}
    told, told_parts = models_json_schema([(model, "serialization") for model in replies], ref_template=_REFERENCE)
    sent, sent_parts = models_json_schema([(model, "validation") for model in forms], ref_template=_SENT_REFERENCE)
    parts = dict(told_parts["$defs"])
    for name, strict in sent_parts["$defs"].items():
        part = _without_nul(strict)
        parts[name + _SENT] = part | {"additionalProperties": False} if part.get("type") == "object" else part
    return {**told, **sent}, parts


def _operation(row: Route, rows: Iterable[Route], schemas: Any) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": row.handler.__name__,
        "summary": row.summary.rstrip("."),
        "tags": [_tag(row)],
        "security": [] if row.access is Access.OPEN else [{name: []} for name in _SCHEMES],
        "responses": _responses(row, rows, schemas),
    }
    if row.access is not Access.OPEN:
        operation["description"] = _who_may(row.access)
    parameters = [_place(name, row) for name in PLACE.findall(row.path)] + _queries(row)
    if row.is_conditional:
        parameters.append(_IF_MATCH)
    if parameters:
        operation["parameters"] = parameters
    if row.form is not None:
        content = {"schema": schemas[row.form, "validation"]}
        if row.example is not None:
            content["example"] = dict(row.example)
        operation["requestBody"] = {"required": True, "content": {row.medium.types[0]: content}}
    return operation


_IF_MATCH: Final = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of the state that the thing has to be in, or `*`",
    "schema": {"type": "string", "pattern": r'^(\*|"[0-9a-f]{32}")$'},
}


def _place(name: str, row: Route) -> dict[str, Any]:
    schema = dict(_VERSIONED_SLUG if name == "slug" and row.is_versioned else _PLACES[name])
    return {"name": name, "in": "path", "required": True, "description": schema.pop("description"), "schema": schema}


def _queries(row: Route) -> list[dict[str, Any]]:
    if row.query is None:
        return []
    schema = row.query.model_json_schema(ref_template=_REFERENCE)
    kinds = schema.get("$defs", {})
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "schema": _without_nul(_without_null(_inlined(member, kinds))),
        }
        for name, member in schema["properties"].items()
    ]


def _inlined(schema: dict[str, Any], kinds: dict[str, Any]) -> dict[str, Any]:
    """Put what `$ref` names in its place: a query's kinds are few, and used nowhere else."""
    if "$ref" in schema:
        return _inlined(kinds[schema["$ref"].rpartition("/")[2]], kinds)
    return {
        _BOUNDS.get(key, key): [_inlined(each, kinds) for each in value] if key == "anyOf" else value
        for key, value in schema.items()
        if key != "title"
    }


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """In a query what is not there is left out; there is no null."""
    choices: list[dict[str, Any]] = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if len(choices) != 1:
        return schema
    return {key: value for key, value in schema.items() if key not in {"anyOf", "default"}} | choices[0]


def _without_nul(schema: Any) -> Any:
    """Say of a text that may hold any other character that it holds no U+0000, which no column could keep."""
    if isinstance(schema, list):
        return [_without_nul(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: _without_nul(each) for key, each in schema.items()}
    is_closed = "enum" in schema or schema.get("format") == "uuid" or not _OPEN.search(schema.get("pattern", r"\S"))
    return schema | {"not": {"pattern": r"\u0000"}} if schema.get("type") == "string" and not is_closed else schema


def _responses(row: Route, rows: Iterable[Route], schemas: Any) -> dict[str, Any]:
    success: dict[str, Any] = {"description": HTTPStatus(row.status).phrase}
    if row.replies:
        told = [schemas[reply, "serialization"] for reply in row.replies]
        success["content"] = {"application/json": {"schema": told[0] if len(told) == 1 else {"anyOf": told}}}
        if row.streams:
            success["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    elif row.exports is not None:
        success["content"] = {bodies.YAML.types[0]: {"schema": schemas[row.exports, "validation"]}}
    leads_to = links(row, rows)
    if leads_to:
        success["links"] = leads_to
    found = {str(row.status): success}
    if row.is_tagged:
        success["headers"] = {"ETag": {"required": True, "schema": {"type": "string"}}}
        if row.method == "GET":
            found["304"] = {"description": "Nothing has changed since the `ETag` that `If-None-Match` names"}
    by_status: dict[int, list[str]] = {}
    for refusal in _refusals(row):
        codes = by_status.setdefault(refusal.status or refusal().http_status, [])
        if refusal.code not in codes:
            codes.append(refusal.code)
    problem = {PROBLEM: {"schema": schemas[Problem, "serialization"]}}
    for status, codes in sorted(by_status.items()):
        found[str(status)] = {"description": ", ".join(f"`{code}`" for code in codes), "content": problem}
    return found


def _refusals(row: Route) -> Iterable[type[HivemindError]]:
    yield from _OF_EVERY_ROUTE
    if row.form is not None:
        yield problems.MalformedYamlError if row.medium is bodies.YAML else problems.MalformedJsonError
        yield from _OF_A_BODY
    if row.query is not None or row.path.startswith("/api/v1/"):
        yield ValidationFailedError
    if row.access is not Access.OPEN:
        yield from _OF_A_CREDENTIAL
    if row.access not in {Access.OPEN, Access.SIGNED_IN}:
        yield problems.InsufficientScopeError
    if row.method not in {"GET", "HEAD"}:
        yield problems.CsrfError
    yield from row.refuses


def _who_may(access: Access) -> str:
    if access is Access.SIGNED_IN:
        return "For whoever shows a credential."
    if access is Access.OWN_ACCOUNT:
        return "For a session, or a key with the scope `admin`."
    if access is Access.BOTS_INSPECT:
        return "Needs the scope `bots:read` and the role `admin`."
    return f"Needs the scope `{'` and the scope `'.join(access.scopes)}`."


def _tag(row: Route) -> str:
    if row.path.startswith("/auth/") or row.path.startswith("/api/v1/sessions"):
        return "accounts"
    if "/knowledge" in row.path:
        return "knowledge"
    return {"chat": "chat", "health": "health"}.get(row.path.rpartition("/")[2], "bots")
