"""Where an answer leads: the links of the document, drawn from the table of routes like the rest of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, get_args

from pydantic import BaseModel

from hivemind_gateway.routing import Route

PLACE: Final = re.compile(r"\{([a-z_]+)\}")

Link = dict[str, Any]


def links(row: Route, rows: Iterable[Route]) -> dict[str, Link]:
    """Return what can be asked next with what this answer tells, each under the name of its operation."""
    known = {place: f"$request.path.{place}" for place in PLACE.findall(row.path)}
    found = {**dict(_further_pages(row, known)), **dict(_going_on(row, known))}
    for target in rows:
        parameters = _parameters(row, target, known)
        if parameters is not None and target.handler is not row.handler:
            found[target.handler.__name__] = _link(target, parameters)
    return found


def _link(target: Route, parameters: Mapping[str, str]) -> Link:
    link: Link = {"operationId": target.handler.__name__}
    return link | {"parameters": dict(parameters)} if parameters else link


def _further_pages(row: Route, known: Mapping[str, str]) -> Iterator[tuple[str, Link]]:
    """A list that goes on is asked for with its own cursor, and with the filters that the cursor belongs to."""
    if row.query is not None and "cursor" in row.query.model_fields:
        filters = {name: f"$request.query.{name}" for name in row.query.model_fields}
        yield "next", _link(row, {**known, **filters, "cursor": "$response.body#/next"})


def _going_on(row: Route, known: Mapping[str, str]) -> Iterator[tuple[str, Link]]:
    """What begins something, and tells its id, goes on with it: the same question once more, with that id."""
    fields = row.form.model_fields if row.form is not None else {}
    told = {name: place for name, place in _told(row) if name in fields and name.endswith("_id")}
    if told:
        needed = {name: f"$request.body#/{name}" for name, member in fields.items() if member.is_required()}
        yield "go_on", _link(row, known) | {"requestBody": needed | told}


def _parameters(row: Route, target: Route, known: Mapping[str, str]) -> Mapping[str, str] | None:
    """Return the places of the target's path; None where this answer does not lead there."""
    if target.path in row.leads_to and target.method == "GET":
        return {}
    below = target.path.removeprefix(row.path)
    if not row.replies or not known.keys() <= set(PLACE.findall(target.path)) or below[:1] not in {"", "/"}:
        return None
    # 1. What stands at this very path, or below it without naming anything more: the place is known.
    places = PLACE.findall(below)
    if not places:
        return known or None
    # 2. One of the things that are listed or made here, and what stands below it: the answer names it.
    name = places[0]
    told = dict(_told(row))
    is_one_of_these = below.startswith(f"/{{{name}}}") and len(places) == 1 and name in told
    return {**known, name: told[name]} if is_one_of_these else None


def _told(row: Route) -> Iterator[tuple[str, str]]:
    """What an answer names, and where: it, or the first of its list."""
    for reply in row.replies:
        items = reply.model_fields.get("items")
        things = [reply] if items is None else list(_models(items.annotation))
        for name in (name for thing in things for name in thing.model_fields):
            yield name, f"$response.body#/{name}" if items is None else f"$response.body#/items/0/{name}"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        yield from _models(each)
