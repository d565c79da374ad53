"""`hivemind contracts`: the map of who asks whom, and the JSON schemas of everything that crosses the bus.

Both are made from what the services declare. The schemas and the map in the docs are committed, so that a changed wire
is a changed file; `--check` says what differs, `--write` brings the files up to date.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from hivemind_common.contracts.kinds import Event, Rpc, Stream
from hivemind_common.runtime import Service
from hivemind_gateway import openapi
from hivemind_gateway.service import ROUTES
from hivemind_server.services import SERVICES

Contract = Rpc[Any, Any] | Stream[Any, Any, Any] | Event[Any]

SCHEMAS: Final = Path(str(files("hivemind_common.contracts"))) / "schemas"
ARCHITECTURE: Final = Path(__file__).resolve().parents[4] / "docs" / "architecture.md"
OPENAPI: Final = ARCHITECTURE.with_name("openapi.json")
BEGIN: Final = "<!-- map: made by `./hivemind contracts --write` -->"
END: Final = "<!-- end of map -->"


def run(arguments: list[str]) -> int:
    """Print the map, a subject's schema, or compare or rewrite the committed files; 1 when something differs."""
    parser = argparse.ArgumentParser(prog="hivemind contracts", description="Who asks whom, and in what words.")
    parser.add_argument("subject", nargs="?", help="print the JSON schema of one contract, such as bots.v1.bot.get")
    parser.add_argument("--json", action="store_true", help="print all schemas as one JSON document")
    parser.add_argument("--check", action="store_true", help="compare the committed schemas and map with the code")
    parser.add_argument("--write", action="store_true", help="rewrite the committed schemas and map")
    options = parser.parse_args(arguments)
    schemas = {contract.subject: schema_of(contract) for contract in contracts_of(SERVICES)}
    if options.write:
        write(schemas)
        return 0
    if options.check:
        differing = differences(schemas)
        for line in differing:
            print(line, file=sys.stderr)
        return 1 if differing else 0
    if options.json:
        print(json.dumps(schemas, indent=2))
        return 0
    if options.subject is None:
        print(system_map(SERVICES), end="")
        return 0
    if options.subject not in schemas:
        print(f"error: there is no contract {options.subject}; `hivemind contracts` lists them", file=sys.stderr)
        return 2
    print(json.dumps(schemas[options.subject], indent=2))
    return 0


def contracts_of(services: Iterable[Service]) -> tuple[Contract, ...]:
    """Return every contract that is served or told, by subject."""
    found = {contract.subject: contract for service in services for contract in (*service.serves, *service.emits)}
    return tuple(found[subject] for subject in sorted(found))


def schema_of(contract: Contract) -> dict[str, Any]:
    """Describe one contract: its messages as JSON schemas, what it may refuse, how long it may take."""
    if isinstance(contract, Event):
        return {"subject": contract.subject, "kind": "event", "message": _schema(contract.message)}
    described: dict[str, Any] = {
        "subject": contract.subject,
        "kind": "stream" if isinstance(contract, Stream) else "rpc",
        "timeout_ms": round(contract.timeout.total_seconds() * 1000),
        "errors": sorted(f"{error.code} ({error.status or error.kind})" for error in contract.errors),
        "request": _schema(contract.request),
        "reply": _schema(contract.reply),
    }
    if isinstance(contract, Stream):
        described["item"] = _schema(contract.item)
    return described


def _schema(model: Any) -> dict[str, Any]:
    schema: dict[str, Any] = model.model_json_schema(mode="serialization")
    return schema


def system_map(services: tuple[Service, ...]) -> str:
    """Draw who asks whom as a Mermaid graph, and list each contract with its owner and its callers."""
    callers: dict[str, list[str]] = {}
    arrows = set()
    for service in services:
        for contract in service.calls:
            callers.setdefault(contract.subject, []).append(service.name)
            arrows.add((service.name, contract.owner))
    lines = ["```mermaid", "graph LR"]
    lines += [f"    {caller} --> {owner}" for caller, owner in sorted(arrows)]
    lines += [f"    {service.name} --> postgres[({service.schema})]" for service in services if service.schema]
    lines += ["```", "", "| contract | kind | answered by | asked by |", "| --- | --- | --- | --- |"]
    for each in contracts_of(services):
        asked = ", ".join(callers.get(each.subject, [])) or "–"
        lines.append(f"| `{each.subject}` | {schema_of(each)['kind']} | {each.owner} | {asked} |")
    return "\n".join(lines) + "\n"


def differences(schemas: Mapping[str, Any]) -> list[str]:
    """Name each committed file that does not say what the code says."""
    told = []
    committed = {path.stem: path for path in SCHEMAS.glob("*.json")}
    for subject, schema in schemas.items():
        if subject not in committed:
            told.append(f"{subject}: its schema is not committed; run ./hivemind contracts --write")
        elif committed[subject].read_text(encoding="utf-8") != _text(schema):
            told.append(f"{subject}: the committed schema differs; a changed wire is v2, an addition is --write")
    told += [f"{subject}: nobody serves it any more" for subject in committed if subject not in schemas]
    if OPENAPI.exists() and OPENAPI.read_text(encoding="utf-8") != _text(openapi.document(ROUTES)):
        told.append(f"{OPENAPI.name}: the document differs; run ./hivemind contracts --write")
    if ARCHITECTURE.exists() and _with_map(ARCHITECTURE.read_text(encoding="utf-8")) != ARCHITECTURE.read_text(
        encoding="utf-8"
    ):
        told.append(f"{ARCHITECTURE.name}: the map differs; run ./hivemind contracts --write")
    return told


def write(schemas: Mapping[str, Any]) -> None:
    """Bring the committed files up to date."""
    SCHEMAS.mkdir(exist_ok=True)
    for path in SCHEMAS.glob("*.json"):
        if path.stem not in schemas:
            path.unlink()
    for subject, schema in schemas.items():
        (SCHEMAS / f"{subject}.json").write_text(_text(schema), encoding="utf-8")
    if OPENAPI.parent.exists():
        OPENAPI.write_text(_text(openapi.document(ROUTES)), encoding="utf-8")
    if ARCHITECTURE.exists():
        ARCHITECTURE.write_text(_with_map(ARCHITECTURE.read_text(encoding="utf-8")), encoding="utf-8")


def _text(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def _with_map(text: str) -> str:
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{system_map(SERVICES)}\n{END}{after}" if begin and end else text
