"""Every route for every kind of asker, and chat for every tier: docs/who-may.md is what is promised, cell by cell."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from hivemind_common.ids import new_id
from hivemind_gateway.service import ROUTES
from tests.conftest import PASSWORD, Instance, Start

PAGE: Final = (Path(__file__).resolve().parents[2] / "docs" / "who-may.md").read_text(encoding="utf-8")
BREAK_GLASS: Final = "a-break-glass-key-of-more-than-24-characters"
USER_KEY: Final = "hm_a-key-of-somebody-who-is-no-admin"

Credential = dict[str, str]


def table_under(heading: str) -> dict[str, dict[str, str]]:
    """Read a table of the page: cells by row and column, without the marks of code."""
    _, _, rest = PAGE.partition(f"## {heading}\n")
    lines = [line for line in rest.partition("\n## ")[0].splitlines() if line.startswith("|")]
    heads, _, *rows = ([cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines)
    return {row[0]: dict(zip(heads[1:], row[1:], strict=True)) for row in rows}


ROUTE_TABLE: Final = table_under("Routes")
TIER_TABLE: Final = table_under("Chat, by the tier of the bot")


@dataclass(frozen=True)
class Askers:
    """An instance with a bot, and credentials of each kind."""

    instance: Instance
    by_name: dict[str, list[Credential]]
    user_id: str

    async def ask(self, credential: Credential, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        sent: dict[str, Any] = {} if body is None else {"json": body}
        if body is not None and path == "/api/v1/apply":
            sent = {"data": json.dumps(body)}  # JSON is YAML too
            credential = credential | {"Content-Type": "application/yaml"}
        status, answer, _ = await self.instance.call(method, path, key="", headers=credential, **sent)
        return status, answer


async def session_of(instance: Instance, email: str) -> Credential:
    form = {"email": email, "password": PASSWORD}
    _, _, response = await instance.call("POST", "/auth/login", json=form, key="", expect=200)
    return {"Cookie": response.headers["Set-Cookie"].partition(";")[0]}


async def add_key(owner: Any, username: str, key: str, scopes: list[str] | None) -> Credential:
    await owner.execute(
        "INSERT INTO auth.api_key (id, account_id, digest, prefix, name, scopes, created_at)"
        " SELECT $1, id, $2, 'hm_test', 'test', $3, now() FROM auth.account WHERE username = $4",
        new_id(),
        hashlib.sha256(key.encode()).digest(),
        scopes,
        username,
    )
    return {"X-API-Key": key}


@pytest_asyncio.fixture
async def askers(start: Start, owner: Any) -> AsyncIterator[Askers]:
    await owner.execute("TRUNCATE bots.bot, auth.account, auth.sign_in_tries CASCADE")
    async with start(ADMIN_API_KEY=BREAK_GLASS) as instance:
        await instance.register()
        user_id = new_id()
        await owner.execute(
            "INSERT INTO auth.account (id, username, email, role, password_hash, created_at)"
            " SELECT $1, 'bob', 'bob@example.org', 'user', password_hash, now() FROM auth.account",
            user_id,
        )
        by_name: dict[str, list[Credential]] = {
            "nobody": [{}],
            "admin": [{"X-API-Key": instance.key}, await session_of(instance, "ada@example.org")],
            "user": [await add_key(owner, "bob", USER_KEY, None), await session_of(instance, "bob@example.org")],
            "break-glass": [{"Authorization": f"Bearer {BREAK_GLASS}"}],
        }
        for scope in ("chat", "bots:read", "bots:write", "knowledge:read", "knowledge:write"):
            by_name[f"{scope} key"] = [await add_key(owner, "ada", f"hm_a-key-with-the-scope-{scope}", [scope])]
        await instance.mint("support")
        yield Askers(instance, by_name, str(user_id))


def test_every_route_has_its_row_and_every_row_its_route() -> None:
    assert list(ROUTE_TABLE) == [f"{route.method} {route.path}" for route in ROUTES]
    assert {cell for row in ROUTE_TABLE.values() for cell in row.values()} <= {"yes", "401", "403", "session"}


def expected(cell: str, credential: Credential) -> str:
    if cell == "session":
        return "yes" if "Cookie" in credential else "403"
    return cell


@pytest.mark.parametrize("row", ROUTE_TABLE)
async def test_each_cell_is_what_the_gateway_does(askers: Askers, row: str) -> None:
    method, _, pattern = row.partition(" ")
    path = pattern.replace("{slug}", "support").replace("{id}", str(new_id())).replace("{version}", "99")
    assert set(ROUTE_TABLE[row]) == set(askers.by_name)

    for name, cell in ROUTE_TABLE[row].items():
        for credential in askers.by_name[name]:
            status, answer = await askers.ask(
                credential, method, path, {} if method in {"POST", "PATCH", "PUT"} else None
            )
            told = "yes" if status not in {401, 403} else str(status)
            assert told == expected(cell, credential), (name, status, answer)
            if status == 403:
                assert answer["code"] == "insufficient_scope"
            if status == 401:
                assert answer["code"] == "missing_api_key"


@pytest.mark.parametrize("row", TIER_TABLE)
async def test_each_tier_talks_to_whom_it_should(askers: Askers, row: str) -> None:
    tier, _, place = row.partition(", ")
    allowed: list[str] = []
    if place == "on its list":
        _, me, _ = await askers.instance.call("GET", "/auth/me")
        allowed = [me["id"], askers.user_id]
    await askers.instance.mint("tiered", tier=tier, allowed_users=allowed)

    for name, cell in TIER_TABLE[row].items():
        if cell == "–":
            continue  # the break-glass key is no account, so no list can hold it
        for credential in askers.by_name[name]:
            status, answer = await askers.ask(credential, "POST", "/api/v1/bots/tiered/chat", {"message": "Hello?"})
            assert ("yes" if status == 200 else str(status)) == cell, (name, answer)


UNSAFE: Final = [route for route in ROUTES if route.method not in {"GET", "HEAD"}]
FOREIGN: Final[tuple[Credential, ...]] = (
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "nonsense"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1.evil.example"},
    {"Origin": "http://localhost:1"},
    {"Origin": "http://evil@127.0.0.1"},
    {"Origin": "https://evil.example", "Host": "evil.example"},
)


@pytest.mark.parametrize("route", UNSAFE, ids=lambda route: f"{route.method} {route.path}")
async def test_no_page_of_another_origin_acts_for_whoever_is_signed_in(askers: Askers, owner: Any, route: Any) -> None:
    _, cookie = askers.by_name["admin"]
    path = route.path.replace("{slug}", "support").replace("{id}", str(new_id())).replace("{version}", "99")
    before = await owner.fetchval("SELECT count(*) FROM audit.entry")

    for headers in FOREIGN:
        status, answer = await askers.ask(cookie | headers, route.method, path, {})
        assert (status, answer["code"]) == (403, "csrf"), headers

    assert await owner.fetchval("SELECT count(*) FROM audit.entry") == before
    status, _ = await askers.ask(cookie, route.method, path, {})
    assert status != 403, "neither header: no browser made it"
