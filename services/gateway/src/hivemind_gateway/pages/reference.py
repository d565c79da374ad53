"""The reference page, made from the OpenAPI document."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from markupsafe import Markup, escape

from hivemind_gateway.pages import shapes
from hivemind_gateway.pages.shapes import Member

Schemas = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Answer:
    """What may come back with one status: a thing, or refusals, each by its code."""

    status: str
    text: str
    kind: Markup | None
    codes: tuple[str, ...]


@dataclass(frozen=True)
class Operation:
    """One thing that can be asked."""

    id: str
    method: str
    path: str
    summary: str
    who_may: Markup
    parameters: list[Member]
    body: list[Member]
    answers: list[Answer]
    command: str


@dataclass(frozen=True)
class Shape:
    """An object or an enumeration that answers and bodies share."""

    id: str
    name: str
    text: str
    members: list[Member]
    values: Markup | None


def operations(document: Mapping[str, Any]) -> dict[str, list[Operation]]:
    """Return what can be asked, by its group."""
    schemas: Schemas = document["components"]["schemas"]
    found: dict[str, list[Operation]] = {tag["name"]: [] for tag in document["tags"]}
    for path, item in document["paths"].items():
        for method, told in item.items():
            found[told["tags"][0]].append(_operation(path, method, told, schemas))
    return found


def all_shapes(document: Mapping[str, Any]) -> list[Shape]:
    """Return the objects that are named."""
    return [
        Shape(
            name,
            name.removesuffix("Sent"),
            schema.get("description", ""),
            shapes.members(schema),
            shapes.kind(schema) if "enum" in schema else None,
        )
        for name, schema in document["components"]["schemas"].items()
    ]


def _operation(path: str, method: str, told: Mapping[str, Any], schemas: Schemas) -> Operation:
    form = told.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    body = _resolved(form, schemas) if form is not None else {}
    return Operation(
        told["operationId"],
        method.upper(),
        path,
        told["summary"],
        _with_code(told.get("description", "For anybody.")),
        [
            shapes.member(
                each["name"], each["schema"], is_needed=each.get("required", False), text=each.get("description", "")
            )
            for each in told.get("parameters", ())
        ],
        shapes.members(body),
        [_answer(status, answer) for status, answer in told["responses"].items()],
        _command(path, method.upper(), body, is_open=not told["security"], schemas=schemas),
    )


def _with_code(text: str) -> Markup:
    """Let what stands between backticks be code."""
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if at % 2 else escape(part) for at, part in enumerate(text.split("`"))
    )


def _resolved(schema: Mapping[str, Any], schemas: Schemas) -> Mapping[str, Any]:
    return schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def _answer(status: str, told: Mapping[str, Any]) -> Answer:
    codes = tuple(re.findall(r"`(\w+)`", told["description"])) if int(status) >= 400 else ()
    content = told.get("content", {}).get("application/json")
    kind = shapes.kind(content["schema"]) if content is not None else None
    return Answer(status, told["description"] if not codes else "", kind, codes)


def _command(path: str, method: str, body: Mapping[str, Any], *, is_open: bool, schemas: Schemas) -> str:
    """Return a line for a shell: whoever fills in what is in braces can run it."""
    lines = [f'curl {"" if method == "GET" else f"-X {method} "}"$HIVEMIND_URL{path}"']
    if not is_open:
        lines.append('-H "X-API-Key: $HIVEMIND_API_KEY"')
    if body:
        lines += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(_example(body, schemas))}"]
    return " \\\n  ".join(lines)


def _example(body: Mapping[str, Any], schemas: Schemas) -> str:
    needed: Iterable[str] = body.get("required", ()) or list(body.get("properties", {}))[:1]
    return orjson.dumps({name: _value(name, body["properties"][name], schemas) for name in needed}).decode()


def _value(name: str, schema: Mapping[str, Any], schemas: Schemas) -> Any:
    schema = _resolved(schema, schemas)
    if "enum" in schema:
        return schema["enum"][0]
    return {"integer": schema.get("minimum", 1), "number": 1, "boolean": True, "array": []}.get(
        schema.get("type", "string"), f"{{{name}}}"
    )
