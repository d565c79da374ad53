"""The client against the document of the API: it asks what is there, in its form, and knows every member that it reads."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import subprocess
import sys
import sysconfig
import types
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from hivemind_client import HivemindClient, models
from hivemind_client.testing import KEY, GatewayDouble, gateway_double
from hivemind_client.wire import Reply, Request

ROOT: Final = Path(__file__).parents[2]
DOCUMENT: Final = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
OPERATIONS: Final = {
    (method.upper(), path): operation for path, item in DOCUMENT["paths"].items() for method, operation in item.items()
}
NOT_ASKED: Final = {
    ("GET", "/api/v1/bots/{slug}/knowledge/gaps/{id}"): "the list tells all of it",
}
SCHEMAS: Final = {
    "Account": "Me",
    "Choice": "Effective",
    "Readiness": "ReadinessNote",
    "Changes": "ChangeList",
    "Change": "BotChange",
    "Deleted": "SnippetsRemoved",
    "OpenSession": "Session",
    "FieldProblem": "FieldFault",
}
"""What the document calls a model otherwise."""

NOT_OF_THE_API: Final = {
    *("Document", "Session", "Registration", "Start", "Delta", "Done", "Health", "Component", "Problem"),
}
"""Events of a stream, refusals, and what is told before anybody is signed in: the double's suite compares those."""


class AskedError(Exception):
    """A request was about to be sent."""


class Recorder:
    """Takes the place of the wire, and remembers what would have been sent."""

    def __init__(self) -> None:
        self.url = "http://127.0.0.1:1"
        self.requests: list[Request] = []
        self.waiting_since: float | None = None

    async def send(self, request: Request, *, deadline: float) -> Reply:  # the wire's own signature
        self.requests.append(request)
        raise AskedError

    @asynccontextmanager
    async def stream(self, request: Request, *, deadline: float) -> AsyncIterator[Any]:  # as above
        self.requests.append(request)
        if self.requests:
            raise AskedError
        yield


METHODS: Final = {
    name: method
    for name, method in inspect.getmembers(HivemindClient, inspect.isfunction)
    if not name.startswith("_") and name != "url"
}


def value_for(annotation: str) -> Any:
    kinds = {"int": 1, "Mapping": {"x": 1}, "bool": True, "Iterable": ["x"]}
    return next((value for kind, value in kinds.items() if annotation.startswith(kind)), "abc")


async def asked_by(name: str, *, fully: bool) -> Request:
    """What a method sends, with all of its arguments or only those that it needs."""
    client = HivemindClient("http://127.0.0.1:1", api_key=KEY)
    recorder = Recorder()
    client._wire = recorder  # type: ignore[assignment]  # a stand-in that sends nothing
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for parameter in list(inspect.signature(METHODS[name]).parameters.values())[1:]:
        if parameter.default is inspect.Parameter.empty or fully:
            value = value_for(str(parameter.annotation))
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                named[parameter.name] = value
            else:
                positional.append(value)
    with suppress(AskedError):
        found = METHODS[name](client, *positional, **named)
        if inspect.isasyncgen(found) or hasattr(found, "__anext__"):
            async for _ in found:
                pass
        else:
            await found
    [request] = recorder.requests
    return request


def operation_of(request: Request) -> tuple[str, str]:
    found = [
        (method, path)
        for method, path in OPERATIONS
        if method == request.method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), request.path)
    ]
    # Of `…/knowledge/search` and `…/knowledge/{id}` the one that is spelled out.
    return min(found, key=lambda operation: operation[1].count("{"))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("fully", [False, True])
async def test_a_method_asks_what_the_document_knows(name: str, fully: bool) -> None:
    request = await asked_by(name, fully=fully)
    operation = OPERATIONS[operation_of(request)]
    known = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"}
    assert set(request.query) <= known
    taken = next(iter(operation.get("requestBody", {}).get("content", {})), None)
    sent = None if request.body is None else "application/yaml" if isinstance(request.body, str) else "application/json"
    assert sent == taken


async def test_every_operation_has_its_method() -> None:
    asked = {operation_of(await asked_by(name, fully=fully)) for name in METHODS for fully in (False, True)}
    assert set(OPERATIONS) - asked == set(NOT_ASKED)


MODELS: Final = {
    name: model
    for name, model in vars(models).items()
    if inspect.isclass(model) and issubclass(model, models.Document) and name not in NOT_OF_THE_API
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_reads_what_the_document_tells(name: str) -> None:
    schema = DOCUMENT["components"]["schemas"][SCHEMAS.get(name, name)]
    for member, field in MODELS[name].model_fields.items():
        assert member in schema["properties"], member
        told = schema["properties"][member]
        may_be_null = any(each.get("type") == "null" for each in told.get("anyOf", ()))
        assert not may_be_null or _may_be_none(field.annotation), f"{member} may be null"
        assert not field.is_required() or member in schema["required"], f"{member} may be missing"
        kinds = {each["type"] for each in told.get("anyOf", [told]) if "type" in each} - {"null"}
        assert kinds <= _kinds(field.annotation) or not kinds, member


def _may_be_none(annotation: Any) -> bool:
    return annotation is Any or type(None) in get_args(annotation)


def _kinds(annotation: Any) -> set[str]:
    if get_origin(annotation) in {Union, types.UnionType}:
        return set().union(*(_kinds(each) for each in get_args(annotation)))
    plain = {str: {"string"}, int: {"integer"}, float: {"number"}, bool: {"boolean"}, type(None): set()}
    if annotation in plain:
        return plain[annotation]
    if get_origin(annotation) is list:
        return {"array"}
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return {"object"} if is_model or get_origin(annotation) is dict else set()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """What the client's wheel installs, and nothing else of ours."""
    program = "import sys; from flit_core import buildapi; print(buildapi.build_wheel(sys.argv[1]))"
    made = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT / "libs" / "client",
        capture_output=True,
        text=True,
        check=True,
    )
    with zipfile.ZipFile(tmp_path / made.stdout.strip()) as wheel:
        wheel.extractall(tmp_path / "site")
    return tmp_path / "site"


async def test_the_wheel_alone_is_hm_and_imports_nothing_of_the_server(site: Path) -> None:
    # Other packages come from here; ours are links there, which only `site` follows.
    places = f"{site}:{sysconfig.get_path('purelib')}:{sysconfig.get_path('platlib')}"

    async def run(double: GatewayDouble, *arguments: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys._base_executable, "-s", *arguments),  # type: ignore[attr-defined]  # the one below the environment
            env={"PYTHONPATH": places, "HIVEMIND_URL": double.url, "HIVEMIND_API_KEY": KEY, "HOME": str(site)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=site,
        )
        out, _ = await process.communicate()
        return process.returncode or 0, out.decode()

    async with gateway_double() as double:
        double.add_bot("helpdesk")
        assert (await run(double, "-c", "import hivemind_common"))[0] == 1
        assert await run(double, "-m", "hivemind_client", "bot", "list", "-q") == (0, "helpdesk\n")
