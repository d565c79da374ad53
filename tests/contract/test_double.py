"""The double that ships with the client and the door itself: the same requests, the same statuses, members and codes.

What `hm` and other people's tests learn from the double holds at the door; where a test here fails for one of the two, the
double is wrong, or the door has changed.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from hivemind_client import ApiError, Done, HivemindClient
from hivemind_client.testing import gateway_double
from tests.conftest import PASSWORD, Instance

EMAIL = "ada@example.org"
NEW_PASSWORD = "another battery staple"
NOBODY = "0192c7f0-0000-7000-8000-ffffffffffff"
KNOWLEDGE = "/api/v1/bots/desk/knowledge"
PROBLEM = {"type", "title", "status", "code", "detail", "error", "request_id"}
REGISTRATION = {"username": "ada", "email": EMAIL, "password": PASSWORD}
ACCOUNT = {"id", "username", "email", "role"}
ME = {*ACCOUNT, "auth", "scopes"}
SESSION = {"id", "created_at", "last_seen_at", "expires_at", "address", "user_agent", "current"}
SNIPPET = {"id", "title", "body", "tags", "source", "language", "created_at", "updated_at"}
HIT = {"id", "title", "score", "excerpt", "highlights"}
BOT = {
    "allow_hosted_provider", "allowed_origins", "allowed_users", "channel_reply_mode", "cost_cap_day_micro_usd",
    "cost_cap_month_micro_usd", "created_at", "description", "effective", "fallbacks", "grounding", "id",
    "knowledge_search_enabled", "max_output_tokens", "model", "name", "pinned_version", "provider",
    "rate_limit_per_minute", "readiness", "retention_days", "slug", "snippet_count", "status", "strictness",
    "system_prompt", "temperature", "tier", "updated_at", "user_rate_limit_per_minute", "version",
}  # fmt: skip
ANSWER = {
    "conversation_id", "message_id", "reply", "citations", "provider", "model", "version", "grounded", "finish_reason",
    "fallback_used", "usage", "created_at",
}  # fmt: skip


@pytest_asyncio.fixture(params=["double", "gateway"])
async def empty(request: pytest.FixtureRequest, owner: Any) -> AsyncIterator[Instance]:
    """One of the two, before its first admin."""
    if request.param == "double":
        async with gateway_double() as double, aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            yield Instance(double.url, http, {})
    else:
        await owner.execute("TRUNCATE bots.bot, auth.account, auth.sign_in_tries CASCADE")
        async with request.getfixturevalue("start")() as opened:
            yield opened


@pytest_asyncio.fixture
async def door(empty: Instance) -> Instance:
    """One of the two, with an admin whose key the client shows."""
    await empty.register()
    return empty


@pytest_asyncio.fixture
async def desk(door: Instance) -> Instance:
    """The same with a bot that was taught one thing."""
    await door.mint("desk")
    await door.teach("desk", "Refunds", "Refunds take ten days.")
    return door


async def refusal(
    door: Instance,
    method: str,
    path: str,
    status: int,
    code: str,
    *paths: str,
    more: frozenset[str] = frozenset(),
    **options: Any,
) -> aiohttp.ClientResponse:
    """Ask for something that is refused: so, with these members, and at these places."""
    found, body, response = await door.call(method, path, **options)
    assert (found, body.get("code")) == (status, code), body
    assert set(body) == PROBLEM | ({"errors"} if paths else set()) | more
    assert {each["path"] for each in body.get("errors", [])} == set(paths)
    assert all(set(each) == {"path", "code", "message"} for each in body.get("errors", []))
    assert (body["status"], body["type"], body["error"]) == (status, f"/docs/errors#{code}", body["detail"])
    assert body["title"] == {413: "Content Too Large", 422: "Unprocessable Content"}.get(status, body["title"])
    assert response.content_type == "application/problem+json"
    assert response.headers["X-Request-Id"] == body["request_id"]
    assert ("WWW-Authenticate" in response.headers) == (status == 401)
    return response


async def sign_in(door: Instance, password: str = PASSWORD, email: str = EMAIL) -> dict[str, str]:
    """Open a session; the header that shows it."""
    form = {"email": email, "password": password}
    _, _, response = await door.call("POST", "/auth/login", json=form, key="", expect=200)
    return {"Cookie": response.headers["Set-Cookie"].partition(";")[0]}


def attributes_of(response: aiohttp.ClientResponse) -> list[str]:
    return response.headers["Set-Cookie"].split("; ")[1:]


async def test_the_first_admin_is_registered_and_nobody_after_it(empty: Instance) -> None:
    status, body, response = await empty.call("POST", "/auth/register", json=REGISTRATION, key="")

    assert (status, set(body)) == (201, {*ACCOUNT, "api_key"})
    assert (body["username"], body["email"], body["role"]) == ("ada", EMAIL, "admin")
    assert body["api_key"].startswith("hm_")
    assert response.headers["Location"] == "/auth/me"
    await refusal(empty, "POST", "/auth/register", 409, "already_registered", json=REGISTRATION, key="")
    await refusal(empty, "POST", "/auth/register", 409, "already_registered", json={}, key="")


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"username": "a"}, "username"),
        ({"username": "-ada"}, "username"),
        ({"email": "ada"}, "email"),
        ({"email": "a@b@c"}, "email"),
        ({"email": f"{'a' * 250}@b.de"}, "email"),
        ({"password": "elevenchars"}, "password"),
        ({"password": "x" * 257}, "password"),
        ({"role": "admin"}, "role"),
    ],
)
async def test_a_wrong_registration_is_refused_at_its_place(
    empty: Instance, changed: dict[str, str], path: str
) -> None:
    form = REGISTRATION | changed
    await refusal(empty, "POST", "/auth/register", 422, "validation_failed", path, json=form, key="")
    await refusal(
        empty, "POST", "/auth/register", 422, "validation_failed", "username", "email", "password", json={}, key=""
    )


async def test_a_setup_token_that_is_wrong_is_refused(empty: Instance) -> None:
    form = REGISTRATION | {"setup_token": "wrong"}
    await refusal(empty, "POST", "/auth/register", 403, "setup_token_required", json=form, key="")


async def test_what_is_no_json_is_refused_before_it_is_judged(door: Instance) -> None:
    await refusal(door, "POST", "/auth/login", 400, "bad_request", key="")
    await refusal(door, "POST", "/auth/login", 415, "unsupported_media_type", data="email=x", key="")
    malformed: dict[str, Any] = {"data": b"{", "headers": {"Content-Type": "application/json"}, "key": ""}
    await refusal(door, "POST", "/auth/login", 400, "malformed_json", **malformed)


async def test_whoever_shows_no_valid_credential_hears_which_one_was_wrong(door: Instance) -> None:
    for method, path in (
        ("GET", "/auth/me"),
        ("PATCH", "/auth/me"),
        ("GET", "/api/v1/sessions"),
        ("DELETE", f"/api/v1/sessions/{NOBODY}"),
        ("GET", "/api/v1/bots"),
        ("POST", "/api/v1/bots"),
        ("GET", "/api/v1/bots/desk"),
        ("POST", KNOWLEDGE),
        ("GET", f"{KNOWLEDGE}/search"),
        ("POST", "/api/v1/bots/desk/chat"),
    ):
        await refusal(door, method, path, 401, "missing_api_key", key="")
        await refusal(door, method, path, 401, "invalid_api_key", key="hm_wrong")
        await refusal(door, method, path, 401, "invalid_session", key="", headers={"Cookie": "hm_session=dead"})


async def test_a_path_or_a_method_that_is_not_there(door: Instance) -> None:
    await refusal(door, "GET", "/api/v1/nothing", 404, "not_found")
    await refusal(door, "GET", "/api/v1/bots/", 404, "not_found")
    response = await refusal(door, "PUT", "/auth/login", 405, "method_not_allowed")
    assert response.headers["Allow"] == "OPTIONS, POST"


async def test_every_answer_says_what_it_is(door: Instance) -> None:
    for path in ("/auth/me", "/api/v1/health", "/api/v1/bots", "/api/v1/sessions"):
        _, _, response = await door.call("GET", path, expect=200)
        assert response.content_type == "application/json"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["X-Request-Id"]


async def test_one_is_who_the_credential_says(door: Instance) -> None:
    _, body, _ = await door.call("GET", "/auth/me", expect=200)
    assert (set(body), body["auth"], body["username"]) == (ME, "api_key", "ada")
    _, by_session, _ = await door.call("GET", "/auth/me", key="", headers=await sign_in(door), expect=200)
    assert by_session == body | {"auth": "session"}
    _, beside, _ = await door.call("GET", "/auth/me", headers={"Cookie": "hm_session=dead"}, expect=200)
    assert beside == body


async def test_a_password_opens_a_session_whose_token_is_in_the_cookie_alone(door: Instance) -> None:
    form = {"email": EMAIL.upper(), "password": PASSWORD}
    _, body, response = await door.call("POST", "/auth/login", json=form, key="", expect=200)

    assert set(body) == {*ACCOUNT, "expires_at"}
    assert attributes_of(response) == ["Path=/", "HttpOnly", "SameSite=Lax", "Max-Age=604800"]
    assert response.cookies["hm_session"].value not in str(body)


async def test_a_wrong_password_an_unknown_address_and_a_wrong_form(door: Instance) -> None:
    wrong, unknown = {"email": EMAIL, "password": "wrong"}, {"email": "bob@example.org", "password": PASSWORD}
    await refusal(door, "POST", "/auth/login", 401, "invalid_credentials", json=wrong, key="")
    await refusal(door, "POST", "/auth/login", 401, "invalid_credentials", json=unknown, key="")
    await refusal(door, "POST", "/auth/login", 422, "validation_failed", "email", "password", json={}, key="")
    await refusal(door, "POST", "/auth/login", 422, "validation_failed", "", json=[], key="")


async def test_after_ten_wrong_passwords_the_address_waits(door: Instance) -> None:
    wrong: dict[str, Any] = {"json": {"email": EMAIL, "password": "wrong"}, "key": ""}
    for _ in range(10):
        await refusal(door, "POST", "/auth/login", 401, "invalid_credentials", **wrong)

    limited = frozenset({"scope", "limit"})
    response = await refusal(door, "POST", "/auth/login", 429, "rate_limited", more=limited, **wrong)

    assert 1 <= int(response.headers["Retry-After"]) <= 900
    form = {"password": NEW_PASSWORD, "current_password": PASSWORD}
    await refusal(door, "PATCH", "/auth/me", 429, "rate_limited", more=limited, json=form)


async def test_signing_out_ends_the_session_and_is_204_without_one(door: Instance) -> None:
    session = await sign_in(door)
    for headers in (session, session, {"Cookie": "hm_session=dead"}, {}):
        _, body, response = await door.call("POST", "/auth/logout", key="", headers=headers, expect=204)
        assert body == ""
        assert attributes_of(response) == ["Path=/", "HttpOnly", "SameSite=Lax", "Max-Age=0"]
    await refusal(door, "GET", "/auth/me", 401, "invalid_session", key="", headers=session)


async def test_sessions_are_listed_and_ended_by_whose_they_are(door: Instance) -> None:
    first, second = await sign_in(door), await sign_in(door)
    _, by_key, _ = await door.call("GET", "/api/v1/sessions", expect=200)
    assert [each["current"] for each in by_key["items"]] == [False, False]

    _, body, _ = await door.call("GET", "/api/v1/sessions", key="", headers=second, expect=200)

    assert (set(body), body["next"]) == ({"items", "next"}, None)
    assert [set(each) for each in body["items"]] == [SESSION, SESSION]
    (other,) = [each["id"] for each in body["items"] if not each["current"]]
    assert [each["current"] for each in body["items"]] == [True, False], "newest first"
    _, page, _ = await door.call("GET", "/api/v1/sessions?limit=1", key="", headers=second, expect=200)
    rest = f"/api/v1/sessions?limit=1&cursor={page['next']}"
    _, last, _ = await door.call("GET", rest, key="", headers=second, expect=200)
    assert (page["items"] + last["items"], last["next"]) == (body["items"], None)
    await refusal(door, "GET", "/api/v1/sessions?limit=0", 422, "validation_failed", "query.limit")
    await door.call("DELETE", f"/api/v1/sessions/{other}", key="", headers=second, expect=204)
    for gone in (other, NOBODY, "nonsense"):
        await refusal(door, "DELETE", f"/api/v1/sessions/{gone}", 404, "not_found", key="", headers=second)
    await refusal(door, "GET", "/auth/me", 401, "invalid_session", key="", headers=first)


async def test_a_new_password_ends_the_other_sessions(door: Instance) -> None:
    here, there = await sign_in(door), await sign_in(door)
    form = {"password": NEW_PASSWORD, "current_password": PASSWORD}

    _, body, _ = await door.call("PATCH", "/auth/me", json=form, key="", headers=here, expect=200)

    assert (set(body), body["auth"]) == (ME, "session")
    await door.call("GET", "/auth/me", key="", headers=here, expect=200)
    await refusal(door, "GET", "/auth/me", 401, "invalid_session", key="", headers=there)
    await sign_in(door, NEW_PASSWORD)


@pytest.mark.parametrize(
    ("form", "paths"),
    [
        ({"password": NEW_PASSWORD, "current_password": "wrong"}, ["current_password"]),
        ({"password": "short", "current_password": PASSWORD}, ["password"]),
        ({"password": NEW_PASSWORD, "current_password": PASSWORD, "role": "user"}, ["role"]),
        ({}, ["password", "current_password"]),
    ],
)
async def test_a_change_of_password_is_refused_at_its_place(
    door: Instance, form: dict[str, str], paths: list[str]
) -> None:
    await refusal(door, "PATCH", "/auth/me", 422, "validation_failed", *paths, json=form)
    await sign_in(door)


async def test_health_names_the_same_parts(empty: Instance) -> None:
    _, body, _ = await empty.call("GET", "/api/v1/health", expect=200)

    assert set(body) == {"status", "version", "time", "components"}
    assert set(body["components"]) == {"gateway", "auth", "bots", "knowledge", "db", "nats", "llm"}
    assert all(set(each) == {"status", "detail"} for each in body["components"].values())


async def test_a_bot_is_minted_shown_and_listed_whole(door: Instance) -> None:
    draft = {
        "slug": "desk",
        "name": " Desk ",
        "system_prompt": "You help.",
        "tier": "public",
        "description": "It helps.",
    }
    _, bot, response = await door.call("POST", "/api/v1/bots", json=draft, expect=201)

    assert set(bot) == BOT
    assert {name: bot[name] for name in draft} == draft | {"name": "Desk"}
    assert (bot["status"], bot["version"], bot["snippet_count"], bot["provider"]) == ("active", 1, 0, None)
    assert bot["effective"] == {"provider": "quote", "model": "quote"}
    assert [each["code"] for each in bot["readiness"]] == ["no_knowledge"]
    assert response.headers["Location"] == "/api/v1/bots/desk"
    _, shown, _ = await door.call("GET", "/api/v1/bots/desk", expect=200)
    assert shown == bot
    _, page, _ = await door.call("GET", "/api/v1/bots", expect=200)
    assert page == {"items": [bot], "next": None}
    await refusal(door, "POST", "/api/v1/bots", 409, "slug_taken", json=draft)
    await refusal(door, "GET", "/api/v1/bots/nobody", 404, "bot_not_found")
    await refusal(door, "GET", "/api/v1/bots/No", 404, "bot_not_found")


async def test_a_template_brings_what_it_teaches(door: Instance) -> None:
    draft = {"slug": "desk", "template": "customer-support"}
    _, bot, _ = await door.call("POST", "/api/v1/bots", json=draft, expect=201)
    _, page, _ = await door.call("GET", KNOWLEDGE, expect=200)

    assert [note["code"] for note in bot["readiness"]] == ["placeholders_left"]
    assert bot["knowledge_search_enabled"] is True
    assert bot["snippet_count"] == len(page["items"]) > 0
    unknown = {"slug": "two", "template": "x"}
    await refusal(door, "POST", "/api/v1/bots", 422, "unknown_template", "template", json=unknown)


@pytest.mark.parametrize(
    ("changed", "paths"),
    [
        ({"slug": "ab"}, ["slug"]),
        ({"slug": "x" * 33}, ["slug"]),
        ({"slug": "Desk"}, ["slug"]),
        ({"slug": "-desk"}, ["slug"]),
        ({"slug": "new"}, ["slug"]),
        ({"slug": 5}, ["slug"]),
        ({"name": ""}, ["name"]),
        ({"name": " "}, ["name"]),
        ({"name": "x" * 81}, ["name"]),
        ({"name": None, "system_prompt": None}, ["name", "system_prompt"]),
        ({"system_prompt": ""}, ["system_prompt"]),
        ({"system_prompt": " \n"}, ["system_prompt"]),
        ({"system_prompt": "x" * 32_001}, ["system_prompt"]),
        ({"description": "x" * 501}, ["description"]),
        ({"tier": "secret"}, ["tier"]),
        ({"provider": "No!"}, ["provider"]),
        ({"model": ""}, ["model"]),
        ({"slug": "ab", "tier": "secret", "colour": "red"}, ["slug", "tier", "colour"]),
    ],
)
async def test_a_wrong_bot_is_refused_at_its_places(door: Instance, changed: dict[str, Any], paths: list[str]) -> None:
    draft = {"slug": "desk", "name": "Desk", "system_prompt": "You help."} | changed
    await refusal(door, "POST", "/api/v1/bots", 422, "validation_failed", *paths, json=draft)


async def test_bots_come_by_slug_a_page_at_a_time(door: Instance) -> None:
    for slug, tier in (("ccc", "public"), ("aaa", "internal"), ("bbb", "public")):
        await door.mint(slug, tier=tier)
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        _, page, _ = await door.call("GET", f"/api/v1/bots?limit=1{cursor and f'&cursor={cursor}'}", expect=200)
        seen += [bot["slug"] for bot in page["items"]]
        cursor = page["next"]
    assert seen == ["aaa", "bbb", "ccc"]
    _, public, _ = await door.call("GET", "/api/v1/bots?tier=public&status=active", expect=200)
    assert [bot["slug"] for bot in public["items"]] == ["bbb", "ccc"]
    _, paused, _ = await door.call("GET", "/api/v1/bots?status=paused", expect=200)
    assert paused == {"items": [], "next": None}


@pytest.mark.parametrize("path", ["/api/v1/bots", KNOWLEDGE])
@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "limit=05", "limt=1"])
async def test_a_list_refuses_what_it_does_not_know(desk: Instance, path: str, query: str) -> None:
    name = query.partition("=")[0]
    await refusal(desk, "GET", f"{path}?{query}", 422, "validation_failed", f"query.{name}")
    await refusal(desk, "GET", f"{path}?cursor=forged", 422, "invalid_cursor")


@pytest.mark.parametrize("query", ["tier=secret", "status=asleep"])
async def test_bots_are_chosen_by_what_there_is(desk: Instance, query: str) -> None:
    name = query.partition("=")[0]
    await refusal(desk, "GET", f"/api/v1/bots?{query}", 422, "validation_failed", f"query.{name}")


async def test_a_snippet_is_added_shown_listed_and_forgotten(desk: Instance) -> None:
    draft = {"title": " Hours ", "body": " We open at nine. ", "tags": ["time"], "source": "hours.md"}
    _, snippet, response = await desk.call("POST", KNOWLEDGE, json=draft, expect=201)

    at = f"{KNOWLEDGE}/{snippet['id']}"
    assert response.headers["Location"] == at
    assert set(snippet) == SNIPPET
    assert {name: snippet[name] for name in draft} == draft | {"title": "Hours"}
    assert snippet["language"] == "en"
    _, shown, _ = await desk.call("GET", at, expect=200)
    assert shown == snippet
    _, page, _ = await desk.call("GET", KNOWLEDGE, expect=200)
    assert ([each["title"] for each in page["items"]], page["next"]) == (["Hours", "Refunds"], None)
    _, first, _ = await desk.call("GET", f"{KNOWLEDGE}?limit=1", expect=200)
    _, second, _ = await desk.call("GET", f"{KNOWLEDGE}?limit=1&cursor={first['next']}", expect=200)
    assert first["items"] + second["items"] == page["items"]
    _, body, _ = await desk.call("DELETE", at, expect=204)
    assert body == ""
    await refusal(desk, "DELETE", at, 404, "snippet_not_found")
    await refusal(desk, "GET", at, 404, "snippet_not_found")
    await refusal(desk, "GET", f"{KNOWLEDGE}/nonsense", 404, "snippet_not_found")
    _, bot, _ = await desk.call("GET", "/api/v1/bots/desk", expect=200)
    assert (bot["snippet_count"], bot["knowledge_search_enabled"]) == (1, True)


@pytest.mark.parametrize(
    ("changed", "paths"),
    [
        ({"title": ""}, ["title"]),
        ({"title": " "}, ["title"]),
        ({"title": "x" * 201}, ["title"]),
        ({"title": 5}, ["title"]),
        ({"body": ""}, ["body"]),
        ({"body": "\n "}, ["body"]),
        ({"body": "x" * 20_001}, ["body"]),
        ({"tags": ["x"] * 21}, ["tags"]),
        ({"tags": ["ok", "", "x" * 41]}, ["tags.1", "tags.2"]),
        ({"tags": "time"}, ["tags"]),
        ({"source": ""}, ["source"]),
        ({"source": "x" * 501}, ["source"]),
        ({"id": NOBODY}, ["id"]),
    ],
)
async def test_a_wrong_snippet_is_refused_at_its_places(
    desk: Instance, changed: dict[str, Any], paths: list[str]
) -> None:
    draft = {"title": "Hours", "body": "We open at nine."} | changed
    await refusal(desk, "POST", KNOWLEDGE, 422, "validation_failed", *paths, json=draft)
    await refusal(desk, "POST", KNOWLEDGE, 422, "validation_failed", "title", "body", json={})


async def test_a_snippet_is_edited_by_whoever_knows_its_state(desk: Instance) -> None:
    draft = {"title": "Hours", "body": "We open at nine.", "tags": ["time"], "source": "hours.md"}
    _, snippet, response = await desk.call("POST", KNOWLEDGE, json=draft, expect=201)
    at, tag = f"{KNOWLEDGE}/{snippet['id']}", response.headers["ETag"]

    change = {"title": "Opening hours", "tags": None, "source": None}
    _, edited, response = await desk.call("PATCH", at, json=change, headers={"If-Match": tag}, expect=200)

    assert edited == snippet | {
        "title": "Opening hours",
        "tags": [],
        "source": None,
        "updated_at": edited["updated_at"],
    }
    _, same, again = await desk.call("PATCH", at, json={}, headers={"If-Match": "*"}, expect=200)
    assert (same, again.headers["ETag"]) == (edited, response.headers["ETag"])
    changes: tuple[tuple[str, dict[str, Any]], ...] = (("PATCH", {"json": change}), ("DELETE", {}))
    for method, more in changes:
        _, problem, _ = await desk.call(method, at, headers={"If-Match": tag}, expect=412, **more)
        assert problem["code"] == "precondition_failed"
        assert (problem["current_etag"], problem["changed_by"]) == (response.headers["ETag"], "ada")
    await refusal(desk, "PATCH", at, 422, "validation_failed", "id", json={"id": NOBODY})
    await refusal(desk, "PATCH", at, 422, "validation_failed", "title", json={"title": None})
    await refusal(desk, "PATCH", at, 422, "validation_failed", "colour", json={"colour": "red"})
    await refusal(desk, "PATCH", f"{KNOWLEDGE}/{NOBODY}", 404, "snippet_not_found", json={"colour": "red"})


async def test_all_with_a_tag_are_forgotten(desk: Instance) -> None:
    for number in range(3):
        draft = {"title": f"Sale {number}", "body": "Summer sale.", "tags": ["sale"]}
        await desk.call("POST", KNOWLEDGE, json=draft, expect=201)

    _, body, _ = await desk.call("DELETE", f"{KNOWLEDGE}?tag=sale", expect=200)
    assert body == {"deleted": 3}
    _, body, _ = await desk.call("DELETE", f"{KNOWLEDGE}?tag=sale", expect=200)
    assert body == {"deleted": 0}
    await refusal(desk, "DELETE", KNOWLEDGE, 422, "validation_failed", "query.tag")


async def test_gaps_that_are_not_there(desk: Instance) -> None:
    _, page, _ = await desk.call("GET", f"{KNOWLEDGE}/gaps", expect=200)
    assert page == {"items": [], "next": None}
    await refusal(desk, "POST", f"{KNOWLEDGE}/gaps/{NOBODY}/snippet", 404, "gap_not_found", json={})
    await refusal(desk, "DELETE", f"{KNOWLEDGE}/gaps/{NOBODY}", 404, "gap_not_found")


async def test_of_a_bot_that_is_not_there_nothing_else_is_judged(door: Instance) -> None:
    base = "/api/v1/bots/nobody"
    await refusal(door, "POST", f"{base}/knowledge", 404, "bot_not_found", json={})
    await refusal(door, "GET", f"{base}/knowledge?limit=0", 404, "bot_not_found")
    await refusal(door, "GET", f"{base}/knowledge/search", 404, "bot_not_found")
    await refusal(door, "GET", f"{base}/knowledge/{NOBODY}", 404, "bot_not_found")
    await refusal(door, "DELETE", f"{base}/knowledge/{NOBODY}", 404, "bot_not_found")
    await refusal(door, "POST", f"{base}/chat", 404, "bot_not_found", json={})


async def test_a_search_finds_words_and_refuses_what_is_no_question(desk: Instance) -> None:
    _, found, _ = await desk.call("GET", f"{KNOWLEDGE}/search?q=refunds&limit=1", expect=200)
    assert [set(hit) for hit in found["items"]] == [HIT]
    assert (found["items"][0]["title"], found["items"][0]["excerpt"]) == ("Refunds", "Refunds take ten days.")
    _, nothing, _ = await desk.call("GET", f"{KNOWLEDGE}/search?q=weather", expect=200)
    assert nothing == {"items": [], "next": None}
    for query, path in (
        ("", "q"),
        ("?q=", "q"),
        (f"?q={'x' * 1_001}", "q"),
        ("?q=x&limit=51", "limit"),
        ("?q=x&n=1", "n"),
    ):
        await refusal(desk, "GET", f"{KNOWLEDGE}/search{query}", 422, "validation_failed", f"query.{path}")


@pytest.mark.parametrize(("message", "grounded"), [("refunds?", True), ("weather?", False)])
async def test_an_answer_says_on_which_grounds(desk: Instance, message: str, grounded: bool) -> None:
    _, answer, _ = await desk.call("POST", "/api/v1/bots/desk/chat", json={"message": message}, expect=200)

    assert set(answer) == ANSWER
    assert answer["grounded"] is grounded
    assert answer["finish_reason"] == ("stop" if grounded else "refused")
    assert [set(each) for each in answer["citations"]] == [{"snippet_id", "title", "quote", "verified"}] * grounded
    assert (answer["provider"], answer["model"], answer["fallback_used"]) == ("quote", "quote", False)
    assert answer["usage"] == {"input_tokens": 0, "output_tokens": 0, "cost_micro_usd": 0}
    going_on = {"message": message, "conversation_id": answer["conversation_id"]}
    _, second, _ = await desk.call("POST", "/api/v1/bots/desk/chat", json=going_on, expect=200)
    assert second["conversation_id"] == answer["conversation_id"]


async def test_a_streamed_answer_is_a_start_its_pieces_and_the_whole(desk: Instance) -> None:
    _, text, response = await desk.call(
        "POST",
        "/api/v1/bots/desk/chat",
        json={"message": "refunds?"},
        headers={"Accept": "text/event-stream"},
        expect=200,
    )

    assert response.content_type == "text/event-stream"
    events = [
        dict(line.split(": ", 1) for line in block.split("\n"))
        for block in text.split("\n\n")
        if block[:1] != ":" and block
    ]
    told = [(event["event"], json.loads(event["data"])) for event in events]
    (_, start), *deltas, (_, done) = told
    assert [name for name, _ in told] == ["start", *["delta"] * len(deltas), "done"]
    assert set(start) == {"conversation_id", "message_id", "provider", "model"}
    assert set(done) == ANSWER
    assert "".join(delta["text"] for _, delta in deltas) == done["reply"]
    assert [event["id"] for event in events] == [f"{done['message_id']}.{number}" for number in range(len(events))]


@pytest.mark.parametrize(
    ("form", "paths"),
    [
        ({}, ["message"]),
        ({"message": ""}, ["message"]),
        ({"message": " \n"}, ["message"]),
        ({"message": "x" * 8_001}, ["message"]),
        ({"message": "x", "conversation_id": "nonsense"}, ["conversation_id"]),
        ({"message": "x", "model": "y"}, ["model"]),
    ],
)
async def test_what_is_no_message_is_refused_at_its_place(
    desk: Instance, form: dict[str, str], paths: list[str]
) -> None:
    for accept in ("application/json", "text/event-stream"):
        options: dict[str, Any] = {"json": form, "headers": {"Accept": accept}}
        await refusal(desk, "POST", "/api/v1/bots/desk/chat", 422, "validation_failed", *paths, **options)


async def test_a_conversation_that_is_not_there(desk: Instance) -> None:
    form = {"message": "refunds?", "conversation_id": NOBODY}
    await refusal(desk, "POST", "/api/v1/bots/desk/chat", 404, "conversation_not_found", json=form)


async def test_the_client_understands_both(desk: Instance) -> None:
    async with HivemindClient(desk.url) as nobody:
        assert (await nobody.health()).status == "ok"
        token = (await nobody.login(EMAIL, PASSWORD)).token
        await nobody.login(EMAIL, PASSWORD)
    async with HivemindClient(desk.url, session=token) as ada:
        assert (await ada.whoami()).auth == "session"
        (other,) = [session for session in await ada.sessions() if not session.current]
        await ada.revoke_session(other.id)
        assert (await ada.change_password(PASSWORD, NEW_PASSWORD)).username == "ada"
        await ada.create_bot("two", {"tier": "public"}, template="customer-support")
        assert [bot.slug async for bot in ada.bots(tier="public")] == ["two"]
        snippet = await ada.add_snippet("desk", "Hours", "We open at nine.", tags=["time"])
        assert [each.id async for each in ada.snippets("desk", at_most=1)] == [snippet.id]
        assert (await ada.snippet("desk", snippet.id)).raw == snippet.raw
        await ada.delete_snippet("desk", snippet.id)
        assert [hit.title for hit in await ada.search("desk", "refunds")] == ["Refunds"]
        answer = await ada.ask("desk", "refunds?")
        events = [event async for event in ada.ask_streaming("desk", "refunds?")]
        assert isinstance(events[-1], Done)
        assert events[-1].answer.reply == answer.reply
        await ada.logout()
        with pytest.raises(ApiError) as refused:
            await ada.bot("desk")
        assert (refused.value.status, refused.value.code) == (401, "invalid_session")
