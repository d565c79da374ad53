"""The document that the gateway shows is the one that is committed, and it describes every route of the API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from hivemind_gateway.service import ROUTES
from tests import described
from tests.conftest import Instance

COMMITTED = json.loads((Path(__file__).resolve().parents[2] / "docs" / "openapi.json").read_text(encoding="utf-8"))
OPERATIONS = [
    (path, method, operation) for path, item in COMMITTED["paths"].items() for method, operation in item.items()
]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


async def test_anybody_may_read_the_document_and_it_is_the_committed_one(instance: Instance) -> None:
    _, shown, response = await instance.call("GET", "/api/v1/openapi.json", key="", expect=200)

    assert shown == COMMITTED
    assert response.content_type == "application/json"


def test_every_route_of_the_api_is_described_once() -> None:
    api = {(route.path, route.method.lower()) for route in ROUTES if route.path.startswith(("/api/", "/auth/"))}

    assert {(path, method) for path, method, _ in OPERATIONS} == api - {("/api/v1/openapi.json", "get")}
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(names) == len(set(names))


def test_every_reference_leads_somewhere_and_every_schema_is_one() -> None:
    schemas = COMMITTED["components"]["schemas"]

    assert {name.removeprefix("#/components/schemas/") for name in references(COMMITTED)} <= set(schemas)
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=lambda value: str(value)[:60])
def test_an_operation_says_what_it_does_takes_answers_and_refuses(
    path: str, method: str, operation: dict[str, Any]
) -> None:
    assert operation["summary"]
    assert {str(status) for status in (200, 201, 204)} & set(operation["responses"])
    places = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"}
    assert places == set(re.findall(r"\{([a-z_]+)\}", path))
    assert "503" in operation["responses"]
    if operation["security"]:
        assert "401" in operation["responses"]
    if "requestBody" in operation:
        assert {"413", "415", "422"} <= set(operation["responses"]), method
        [content] = operation["requestBody"]["content"].values()
        reference = content["schema"]["$ref"]
        form = COMMITTED["components"]["schemas"][reference.rpartition("/")[2]]
        assert form["additionalProperties"] is False


def test_an_answer_that_the_document_does_not_know_is_noticed() -> None:
    with pytest.raises(AssertionError, match="418 is not described"):
        described.check("GET", "/api/v1/bots", 418, "application/json", {})
    with pytest.raises(AssertionError, match="next"):
        described.check("GET", "/api/v1/bots?limit=1", 200, "application/json", {"items": []})
