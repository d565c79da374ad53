"""What each path of the table does with each method, and what a body may call itself."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import asyncpg
import pytest

from hivemind_common.ids import new_id
from hivemind_gateway import bodies
from hivemind_gateway.routing import Access, Route
from hivemind_gateway.service import ROUTES
from tests.conftest import PASSWORD, Instance
from tests.contract.raw_http import Line

ALL: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "BREW")

KNOWN: Final[dict[str, set[str]]] = {}
for route in ROUTES:
    KNOWN.setdefault(route.path, {"OPTIONS"}).update({"GET", "HEAD"} if route.method == "GET" else {route.method})


def path_of(pattern: str) -> str:
    filled = pattern.replace("{slug}", "desk").replace("{id}", str(new_id()))
    return filled.replace("{version}", "7").replace("{chapter}", "errors").replace("{name}", "no-such-name")


@pytest.mark.parametrize("pattern", KNOWN)
async def test_a_path_answers_its_methods_and_405_to_all_others(instance: Instance, pattern: str) -> None:
    path = path_of(pattern)
    line = await Line.to(instance)
    for method in ALL:
        if method in KNOWN[pattern] - {"OPTIONS"}:
            continue
        await line.send(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = await line.answer(has_body=method != "HEAD")
        assert answer is not None, method
        assert answer.headers["allow"] == ", ".join(sorted(KNOWN[pattern])), method
        assert (answer.status, answer.body) == (204, b"") if method == "OPTIONS" else answer.status == 405, method
        if answer.headers.get("connection") == "close":  # the parser does not know that method
            await line.close()
            line = await Line.to(instance)
    await line.close()


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method == "GET"], ids=lambda route: route.path)
async def test_head_answers_what_get_does_without_its_body(instance: Instance, route: Route) -> None:
    await instance.mint("desk")
    path = path_of(route.path)
    for key in ("", instance.key):
        got_status, body, got = await instance.call("GET", path, key=key)
        had_status, text, had = await instance.call("HEAD", path, key=key)

        assert (had_status, text or "") == (got_status, "")
        assert had.headers["Content-Type"] == got.headers["Content-Type"]
        assert had.headers.get("ETag") == got.headers.get("ETag")
        assert got_status != 200 or body


@pytest.mark.parametrize("route", [route for route in ROUTES if route.body or route.form], ids=lambda r: r.path)
async def test_a_body_calls_itself_what_its_route_takes(instance: Instance, route: Route) -> None:
    await instance.mint("desk")
    for kind, is_taken in (
        *((kind, True) for kind in route.medium.types),
        ("application/json", route.medium is not bodies.YAML),
        ("application/yaml", route.medium is bodies.YAML),
        ("application/merge-patch+json", route.method == "PATCH"),
        ("application/json-patch+json", False),
        ("application/problem+json", False),
        ("text/json", False),
        ("multipart/form-data; boundary=x", False),
    ):
        status, _, _ = await instance.call(
            route.method, path_of(route.path), data=b"[]", headers={"Content-Type": kind}
        )
        assert (status != 415) is is_taken, kind


async def test_ids_are_of_version_seven_and_the_same_in_sql(instance: Instance, owner: asyncpg.Connection[Any]) -> None:
    bot = await instance.mint("desk")
    snippet = await instance.teach("desk", "Refunds", "Refunds take ten days.")
    form = {"email": "ada@example.org", "password": PASSWORD}
    _, account, _ = await instance.call("POST", "/auth/login", json=form, key="", expect=200)
    _, page, _ = await instance.call("GET", "/api/v1/sessions", expect=200)
    _, answer, _ = await instance.call(
        "POST", "/api/v1/bots/desk/chat", json={"message": "How long do refunds take?"}, expect=200
    )

    ids = {
        "bots.bot": bot["id"],
        "knowledge.snippet": snippet["id"],
        "auth.account": account["id"],
        "auth.session": page["items"][0]["id"],
        "bots.conversation": answer["conversation_id"],
        "bots.message": answer["message_id"],
    }
    for table, text in ids.items():
        assert UUID(text).version == 7, table
        assert await owner.fetchval(f"SELECT id::text FROM {table} WHERE id = $1", UUID(text)) == text


def test_only_what_says_so_is_open_to_all() -> None:
    assert sorted({route.path for route in ROUTES if route.access is Access.OPEN}) == [
        "/api/v1/health",
        "/api/v1/openapi.json",
        "/auth/login",
        "/auth/logout",
        "/auth/register",
        "/docs",
        "/docs/{chapter}",
        "/livez",
        "/metrics",
        "/readyz",
        "/static/{name}",
    ]
