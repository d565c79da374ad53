"""JSON Schema in words, for the reference page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from markupsafe import Markup

Schema = Mapping[str, Any]
_PREFIX: Final = "#/components/schemas/"
_FORMS: Final = {"uuid": "an id", "date-time": "a time", "email": "an e-mail address", "password": "kept secret"}
_COUNTED: Final = (("Length", "character"), ("Items", "item"), ("Properties", "member"))


@dataclass(frozen=True)
class Member:
    """A row of a table: a member of an object, or a parameter."""

    name: str
    kind: Markup
    limits: str
    is_needed: bool
    default: str | None
    text: str


def members(schema: Schema) -> list[Member]:
    """Return the members of an object."""
    needed = schema.get("required", ())
    return [member(name, part, is_needed=name in needed) for name, part in schema.get("properties", {}).items()]


def member(name: str, schema: Schema, *, is_needed: bool, text: str = "") -> Member:
    """Return one member."""
    default = orjson.dumps(schema["default"]).decode() if "default" in schema else None
    return Member(
        name, kind(schema), ", ".join(_limits(schema)), is_needed, default, text or schema.get("description", "")
    )


def kind(schema: Schema) -> Markup:
    """Say what a value is; what stands elsewhere is linked."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_PREFIX)
        return Markup('<a href="#{}">{}</a>').format(name, name.removesuffix("Sent"))
    if "anyOf" in schema:
        return Markup(" or ").join(kind(each) for each in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return Markup(" or ").join(Markup("<code>{}</code>").format(orjson.dumps(each).decode()) for each in values)
    if schema.get("type") == "array":
        return Markup("list of {}").format(kind(schema.get("items", {})))
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return Markup("names, each with {}").format(kind(schema["additionalProperties"]))
    return Markup("{}").format(_FORMS.get(schema.get("format", ""), schema.get("type", "anything")))


def _limits(schema: Schema) -> Iterable[str]:
    for part in (schema, *schema.get("anyOf", ())):
        for measure, unit in _COUNTED:
            yield from _between(part.get(f"min{measure}"), part.get(f"max{measure}"), f" {unit}s")
        yield from _between(part.get("minimum"), part.get("maximum"), "")
        if "exclusiveMinimum" in part:
            yield f"more than {part['exclusiveMinimum']}"
        if "pattern" in part:
            yield f"matches {part['pattern']}"
    for part in (schema.get("items", {}),) if isinstance(schema.get("items"), Mapping) else ():
        yield from (f"each {limit}" for limit in _limits(part))


def _between(least: float | None, most: float | None, unit: str) -> Iterable[str]:
    if least is not None and most is not None:
        yield f"{least:,} to {most:,}{unit}" if least != most else f"{least:,}{unit}"
    elif most is not None:
        yield f"at most {most:,}{unit}"
    elif least is not None:
        yield f"at least {least:,}{unit}"
