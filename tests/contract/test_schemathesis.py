"""What the document says and what the product does agree: schemathesis finds nothing, whoever asks.

It runs as anybody would run it: the command, with the settings in schemathesis.toml, on a running instance's own document.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from hivemind_common.ids import new_id
from tests.conftest import Instance, Start
from tests.contract.schemathesis_hooks import SESSIONS

ROOT: Final = Path(__file__).resolve().parents[2]
FULL: Final = bool(os.environ.get("HIVEMIND_FULL"))
SEEDS: Final = (1, 2, 3) if FULL else (1,)
CAMPAIGNS: Final = (
    ("--phases", "examples,coverage,fuzzing", "--max-examples", "100" if FULL else "5"),
    ("--phases", "stateful", "--max-examples", "200" if FULL else "20"),
    *([("--phases", "stateful", "--max-examples", "200", "--mode", "all")] if FULL else []),
)
CHECKS: Final = {
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "positive_data_acceptance",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
    "ensure_resource_availability",
    "ignored_auth",
    "object_level_authorization",
    "valid_input_is_refused_for_nothing_else",
}
OPERATIONS: Final = {
    f"{method.upper()} {path}"
    for path, item in json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))["paths"].items()
    for method in item
}
MISSED: Final = {
    # The key changes the password at once, with which its account's sessions end.
    "admin": {"POST /auth/register", "DELETE /api/v1/sessions/{id}"},
    "session": {"POST /auth/register"},
}
"""What somebody who may do everything does not get done; the first admin is there before."""

OF_A_SNIPPET: Final = "/api/v1/bots/{slug}/knowledge/{id}"
OF_A_GAP: Final = "/api/v1/bots/{slug}/knowledge/gaps/{id}"
BY_LUCK: Final = {f"DELETE {OF_A_GAP}", f"POST {OF_A_GAP}/snippet", "DELETE /api/v1/bots/{slug}/prompt/pin"} | (
    set[str]()
    if FULL
    else {
        "DELETE /api/v1/sessions/{id}",
        f"PATCH {OF_A_SNIPPET}",
        f"DELETE {OF_A_SNIPPET}",
        f"GET {OF_A_GAP}",
    }
)
"""What a campaign may fail to meet: it takes an id that was told before, of a thing that is still there. Of gaps the first of a list
is linked alone, and each seed of a long campaign goes its own way from there: one of three does not dismiss any, or fills none. And a pin is
taken off only where one was set just before."""

KEYS: Final = {"admin": "hm_a-key-of-an-admin-and-of-nobody-else", "user": "hm_a-key-of-somebody-who-is-no-admin"}
GAPS: Final = 300 if FULL else 10
"""Questions without an answer that each bot begins with: one that is answered is gone."""

SPARE_SESSIONS: Final = 2_000 if FULL else 100
"""Each is of an account of its own, and lasts until it is revoked or signed out with."""

Findings = dict[str, Any]


@dataclass
class Caller:
    """Who asks, and what schemathesis is told for it."""

    arguments: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)


class People:
    """Accounts that the campaign may do anything with; none of them is the one that made them."""

    def __init__(self, owner: Any) -> None:
        self._owner = owner

    async def add(self, name: str, role: str) -> Any:
        """Add an account with ada's password."""
        account = new_id()
        await self._owner.execute(
            "INSERT INTO auth.account (id, username, email, role, password_hash, created_at)"
            " SELECT $1, $2, $2 || '@example.org', $3, password_hash, now() FROM auth.account WHERE username = 'ada'",
            account,
            name,
            role,
        )
        return account

    async def add_key(self, account: Any, key: str) -> None:
        await self._owner.execute(
            "INSERT INTO auth.api_key (id, account_id, digest, prefix, name, created_at)"
            " VALUES ($1, $2, $3, 'hm_a-key', 'fuzzing', now())",
            new_id(),
            account,
            hashlib.sha256(key.encode()).digest(),
        )

    async def add_session(self, account: Any, token: str) -> None:
        await self._owner.execute(
            "INSERT INTO auth.session (id, account_id, digest, created_at, last_seen_at, expires_at, address, user_agent)"
            " VALUES ($1, $2, $3, now(), now(), now() + interval '7 days', '127.0.0.1', 'a browser')",
            new_id(),
            account,
            hashlib.sha256(token.encode()).digest(),
        )


async def caller_of(who: str, owner: Any, folder: Path) -> Caller:
    """Make the accounts of a campaign."""
    people = People(owner)
    for name in ("one", "two", "three", "four"):
        await people.add(name, "user")  # they sign in
    if who in KEYS:
        account = await people.add(who, who)
        await people.add_key(account, KEYS[who])
        return Caller(arguments=["-H", f"X-API-Key: {KEYS[who]}"])
    tokens = []
    for number in range(SPARE_SESSIONS):
        account = await people.add(f"clerk{number}", "admin")
        for place in ("desk", "phone"):
            tokens.append(f"{number}-at-the-{place}".ljust(43, "."))
            await people.add_session(account, tokens[-1])
    file = folder / "sessions"
    file.write_text("\n".join(tokens[::2]), encoding="utf-8")
    return Caller(variables={SESSIONS: str(file)})


async def furnish(instance: Instance) -> None:
    """Make what can be found without having been made in the same campaign."""
    for slug in ("help-desk", "shop"):
        await instance.mint(slug)
        for number in range(3):
            await instance.teach(slug, f"Refunds {number}", f"Refunds take {number} days after the return reached us.")
        for number in range(GAPS):
            question = {"message": f"Is the moon of planet{number} inhabited?"}
            await instance.call("POST", f"/api/v1/bots/{slug}/chat", json=question, expect=200)


async def campaign(
    instance: Instance, caller: Caller, folder: Path, seed: int, *arguments: str
) -> tuple[Findings, list[Findings]]:
    """Run the command; the value is its report, and everything that it asked."""
    folder.mkdir()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-m", "schemathesis.cli", "--config-file", str(ROOT / "schemathesis.toml")),
        *("run", f"{instance.url}/api/v1/openapi.json", *arguments),
        *("--seed", str(seed), "--generation-database", "none"),
        *("--report", "json,ndjson", "--report-json-path", "report.json", "--report-ndjson-path", "asked.ndjson"),
        *("--no-color", "--output-sanitize", "false", "--continue-on-failure", *caller.arguments),
        cwd=folder,
        env={
            "HOME": str(folder),
            "NO_PROXY": "*",
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.contract.schemathesis_hooks",
            **caller.variables,
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode()[-20_000:]
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    with (folder / "asked.ndjson").open(encoding="utf-8") as lines:
        finished = [json.loads(line).get("ScenarioFinished") for line in lines]
    return report, [each["recorder"] for each in finished if each is not None]


def answered(recorded: list[Findings], *, through_a_link: bool = False) -> Iterator[str]:
    """Yield the operation of each request that was done what it asks for."""
    for scenario in recorded:
        for name, case in scenario.get("cases", {}).items():
            response = scenario["interactions"].get(name, {}).get("response")
            if response and response["status_code"] < 300 and (case["is_transition_applied"] or not through_a_link):
                yield f"{case['value']['method']} {case['value']['path']}"


def checked(recorded: list[Findings]) -> set[str]:
    """Return the names of all checks that judged an answer."""
    return {check["name"] for scenario in recorded for found in scenario.get("checks", {}).values() for check in found}


@pytest.mark.processes
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("who", ["admin", "user", "session", "nobody"])
async def test_schemathesis_finds_nothing(who: str, seed: int, start: Start, owner: Any, tmp_path: Path) -> None:
    await owner.execute("TRUNCATE bots.bot, auth.account, auth.sign_in_tries CASCADE")
    async with start() as instance:
        caller = Caller()
        # Nobody comes before everybody else: the one who registers then is the first admin.
        if who != "nobody":
            await instance.register()
            await furnish(instance)
            caller = await caller_of(who, owner, tmp_path)
        told = [
            await campaign(instance, caller, tmp_path / str(place), seed, *arguments)
            for place, arguments in enumerate(CAMPAIGNS)
        ]

    done, followed = set[str](), set[str]()
    for (report, recorded), (_, phases, *_) in zip(told, CAMPAIGNS, strict=True):
        assert report["failures"] == report["errors"] == []
        assert {name for name, phase in report["phases"].items() if phase["status"] == "success"} == set(
            phases.split(",")
        )
        assert checked(recorded) == CHECKS
        done.update(answered(recorded))
        followed.update(answered(recorded, through_a_link=True))
    assert told[0][0]["operations"]["tested"] == len(OPERATIONS)
    # And it was more than knocking at doors.
    if who == "nobody":
        assert done >= {"POST /auth/register", "GET /api/v1/health"}
        return
    assert followed
    if who in MISSED:
        assert OPERATIONS - done <= MISSED[who] | BY_LUCK
