"""Whether an answer is what the OpenAPI document says of it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

from jsonschema import Draft202012Validator

from hivemind_common import yaml_text
from hivemind_gateway import openapi
from hivemind_gateway.service import ROUTES

DOCUMENT: Final = openapi.document(ROUTES)

_EDGE: Final = frozenset({400, 404, 405, 413, 415, 500})
"""What may be told of any request before its route is known, or because of a bug."""


@lru_cache
def _patterns() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    found = []
    for path, item in DOCUMENT["paths"].items():
        pattern = re.sub(r"\\\{[a-z_]+\\\}", "[^/]+", re.escape(path))
        found.append((re.compile(pattern), item))
    # Literal paths before those with places in them.
    return sorted(found, key=lambda each: "[^/]" in each[0].pattern)


def _operation(method: str, path: str) -> dict[str, Any] | None:
    for pattern, item in _patterns():
        if pattern.fullmatch(path):
            operation: dict[str, Any] | None = item.get(method.lower())
            return operation
    return None


@lru_cache(maxsize=512)
def _validator(method: str, path: str, status: str, media: str) -> Draft202012Validator | None:
    operation = _operation(method, path)
    schema = operation and operation["responses"].get(status, {}).get("content", {}).get(media, {}).get("schema")
    if not schema:
        return None
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def check(method: str, path: str, status: int, media: str, body: Any) -> None:
    """Compare an answer with the document; what is not described at all is passed over."""
    path = path.partition("?")[0]
    operation = _operation(method, path)
    if operation is None:
        return
    described = operation["responses"]
    assert str(status) in described or status in _EDGE, f"{method} {path}: {status} is not described"
    validator = _validator(method, path, str(status), media)
    if validator is not None:
        if media == "application/yaml":
            [body] = yaml_text.read(body)
        faults = [f"{'.'.join(map(str, fault.path))}: {fault.message[:200]}" for fault in validator.iter_errors(body)]
        assert not faults, f"{method} {path} {status}: {faults}"
    if media == "application/problem+json" and str(status) in described and status not in _EDGE:
        assert f"`{body['code']}`" in described[str(status)]["description"], f"{method} {path}: {body['code']}"
