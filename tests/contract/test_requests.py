"""What the door refuses, in which order and in which words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from yarl import URL

from hivemind_gateway import cursors
from tests.conftest import Instance, Start

BOTS = "/api/v1/bots"
DRAFT = {"slug": "desk", "name": "Desk", "system_prompt": "You help."}


def problem(body: Any, code: str) -> dict[str, Any]:
    """Check the form of a problem document, and return it."""
    assert body["code"] == code
    assert body["type"] == f"/docs/errors#{code}"
    assert body["error"] == body["detail"]
    assert body["request_id"]
    assert body["title"]
    return dict(body)


@pytest.mark.parametrize(
    ("slug", "fault"),
    [
        ("ab", "too_short"),
        ("a" * 33, "too_long"),
        ("Desk", "malformed"),
        ("desk ", "malformed"),
        (" desk", "malformed"),
        ("de sk", "malformed"),
        ("-desk", "malformed"),
        ("desk-", "malformed"),
        ("dösk", "malformed"),
        ("desk_1", "malformed"),
        ("desk\n", "malformed"),
        ("d/k", "malformed"),
        ("٣٣٣", "malformed"),
        ("", "too_short"),
        ("new", "reserved"),
        (123, "wrong_type"),
        (None, "wrong_type"),
    ],
)
async def test_a_bad_slug_is_refused_at_its_place(instance: Instance, slug: object, fault: str) -> None:
    _, body, _ = await instance.call("POST", BOTS, json=DRAFT | {"slug": slug}, expect=422)

    assert problem(body, "validation_failed")["errors"][0] | {"message": ""} == {
        "path": "slug",
        "code": fault,
        "message": "",
    }


@pytest.mark.parametrize("slug", ["a--b", "123", "abc", "a" * 32, "0-0", "news"])
async def test_a_good_slug_is_kept_as_it_is(instance: Instance, slug: str) -> None:
    _, body, response = await instance.call("POST", BOTS, json=DRAFT | {"slug": slug}, expect=201)

    assert body["slug"] == slug
    assert response.headers["Location"] == f"{BOTS}/{slug}"


async def test_the_published_example_of_a_refusal(instance: Instance) -> None:
    _, body, _ = await instance.call("POST", BOTS, json=DRAFT | {"slug": "ab"}, expect=422)

    assert body["detail"] == "slug: must be 3 to 32 characters"
    assert body["title"] == "Unprocessable Content"
    assert body["errors"] == [{"path": "slug", "code": "too_short", "message": "must be 3 to 32 characters"}]


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"",
        b"nul",
        b"{} {}",
        b'{"slug":"desk","slug":"desk"}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"slug":"\xff"}',
        b"\xef\xbb\xbf{}",
        b"[" * 65 + b"]" * 65,
        b"[" * 100_000,
        b'{"a":' * 5_000,
        b"{'slug': 'desk'}",
        b'{"slug":"desk",}',
        b'{"slug":"de\x00sk"}',
    ],
)
async def test_bytes_that_are_not_one_json_value_are_malformed(instance: Instance, raw: bytes) -> None:
    headers = {"Content-Type": "application/json"}

    _, body, _ = await instance.call("POST", BOTS, data=raw, headers=headers, expect=400)

    problem(body, "malformed_json" if raw else "bad_request")


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"colour": "red"}, "colour"),
        ({"name": 5}, "name"),
        ({"name": ""}, "name"),
        ({"name": "   "}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"description": "x" * 501}, "description"),
        ({"system_prompt": ""}, "system_prompt"),
        ({"system_prompt": " \n"}, "system_prompt"),
        ({"system_prompt": "x" * 32_001}, "system_prompt"),
        ({"tier": "secret"}, "tier"),
        ({"tier": None}, "tier"),
        ({"provider": "nobody"}, "provider"),
        ({"fallbacks": [{"provider": "quote", "model": "m", "x": 1}]}, "fallbacks.0.x"),
        ({"fallbacks": [{"provider": "quote", "model": "m"}] * 4}, "fallbacks"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": 32_769}, "max_output_tokens"),
        ({"max_output_tokens": "5"}, "max_output_tokens"),
        ({"max_output_tokens": True}, "max_output_tokens"),
        ({"max_output_tokens": 1.5}, "max_output_tokens"),
        ({"max_output_tokens": 10**30}, "max_output_tokens"),
        ({"temperature": 2.1}, "temperature"),
        ({"cost_cap_day_micro_usd": -1}, "cost_cap_day_micro_usd"),
        ({"cost_cap_day_micro_usd": 10**12 + 1}, "cost_cap_day_micro_usd"),
        ({"rate_limit_per_minute": 0}, "rate_limit_per_minute"),
        ({"grounding": "maybe"}, "grounding"),
        ({"strictness": ""}, "strictness"),
        ({"knowledge_search_enabled": "true"}, "knowledge_search_enabled"),
        ({"knowledge_search_enabled": 1}, "knowledge_search_enabled"),
        ({"channel_reply_mode": "all"}, "channel_reply_mode"),
        ({"allowed_users": ["ada"]}, "allowed_users.0"),
        ({"allowed_origins": ["https://a.example/path"]}, "allowed_origins.0"),
        ({"allowed_origins": ["https://[::1]", "https://[0]"]}, "allowed_origins.1"),
        ({"retention_days": 3_651}, "retention_days"),
        ({"status": "paused"}, "status"),
        ({"id": "x"}, "id"),
    ],
)
async def test_a_wrong_member_is_refused_at_its_place(instance: Instance, changed: dict[str, Any], path: str) -> None:
    _, body, _ = await instance.call("POST", BOTS, json=DRAFT | changed, expect=422)

    assert path in {error["path"] for error in problem(body, "validation_failed")["errors"]}
    await instance.call("GET", f"{BOTS}/desk", expect=404)


async def test_numbers_that_are_whole_pass_as_such(instance: Instance) -> None:
    raw = b'{"slug":"desk","name":" Desk ","system_prompt":" You help. ","max_output_tokens":5.0,"temperature":1}'
    _, body, _ = await instance.call("POST", BOTS, data=raw, headers={"Content-Type": "application/json"}, expect=201)

    assert (body["max_output_tokens"], body["temperature"]) == (5, 1)
    assert (body["name"], body["system_prompt"]) == ("Desk", " You help. ")  # names are trimmed, texts kept


async def test_a_bot_has_every_member_with_its_default(instance: Instance) -> None:
    body = await instance.mint("desk")

    assert body | {"id": "", "created_at": "", "updated_at": ""} == {
        "id": "",
        "slug": "desk",
        "name": "desk",
        "description": "",
        "tier": "internal",
        "system_prompt": "You help.",
        "provider": None,
        "model": None,
        "fallbacks": [],
        "max_output_tokens": 1024,
        "temperature": None,
        "cost_cap_day_micro_usd": 5_000_000,
        "cost_cap_month_micro_usd": 50_000_000,
        "rate_limit_per_minute": 60,
        "user_rate_limit_per_minute": 20,
        "grounding": "grounded",
        "strictness": "normal",
        "knowledge_search_enabled": False,
        "channel_reply_mode": "dm_only",
        "allowed_users": [],
        "allowed_origins": [],
        "allow_hosted_provider": False,
        "retention_days": 90,
        "status": "active",
        "version": 1,
        "pinned_version": None,
        "effective": {"provider": "quote", "model": "quote"},
        "readiness": [{"code": "no_knowledge", "detail": "it was taught nothing: add a snippet"}],
        "snippet_count": 0,
        "created_at": "",
        "updated_at": "",
    }
    assert body["created_at"].endswith("Z")
    assert len(body["created_at"]) == len("2026-11-22T18:04:05.123Z")
    _, shown, _ = await instance.call("GET", f"{BOTS}/desk", expect=200)
    assert shown == body


async def test_without_a_template_name_and_prompt_are_needed(instance: Instance) -> None:
    _, body, _ = await instance.call("POST", BOTS, json={"slug": "desk"}, expect=422)

    assert [error["path"] for error in body["errors"]] == ["name", "system_prompt"]


async def test_a_template_is_overridden_by_what_is_sent(instance: Instance) -> None:
    draft = {"slug": "desk", "template": "customer-support", "tier": "internal", "system_prompt": "Mine."}
    _, body, _ = await instance.call("POST", BOTS, json=draft, expect=201)

    assert (body["tier"], body["system_prompt"]) == ("internal", "Mine.")
    _, templates, _ = await instance.call("GET", "/api/v1/templates", expect=200)
    assert body["name"] == templates["items"][0]["name"]
    assert body["snippet_count"] == len(templates["items"][0]["snippets"])


async def test_an_unknown_template_makes_nothing(instance: Instance) -> None:
    _, body, _ = await instance.call("POST", BOTS, json=DRAFT | {"template": "nope"}, expect=422)

    problem(body, "unknown_template")
    await instance.call("GET", f"{BOTS}/desk", expect=404)


async def test_a_slug_is_taken_once(instance: Instance) -> None:
    await instance.mint("desk")
    answers = await asyncio.gather(
        *(instance.call("POST", BOTS, json=DRAFT | {"slug": "race"}) for _ in range(10)),
        instance.call("POST", BOTS, json=DRAFT, expect=409),
    )

    assert sorted(status for status, _, _ in answers[:10]) == [201, *[409] * 9]
    problem(answers[-1][1], "slug_taken")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/setup", 404, "not_found"),
        ("GET", "/login", 404, "not_found"),
        ("GET", f"{BOTS}/", 404, "not_found"),
        ("GET", "/API/v1/bots", 404, "not_found"),
        ("GET", "//api/v1/bots", 404, "not_found"),
        ("GET", f"{BOTS}/nope", 404, "bot_not_found"),
        ("GET", f"{BOTS}/%00", 404, "bot_not_found"),
        ("GET", f"{BOTS}/desk%00", 404, "bot_not_found"),
        ("GET", f"{BOTS}/%ff%fe%fd", 404, "bot_not_found"),
        ("GET", f"{BOTS}/desk%2Fknowledge", 404, "bot_not_found"),
        ("GET", f"{BOTS}/DESK", 404, "bot_not_found"),
        ("GET", f"{BOTS}/desk/knowledge/%00", 404, "snippet_not_found"),
        ("GET", f"{BOTS}/nope/knowledge", 404, "bot_not_found"),
        ("GET", f"{BOTS}/nope/knowledge/not-an-id", 404, "bot_not_found"),
        ("GET", f"{BOTS}/desk/knowledge/not-an-id", 404, "snippet_not_found"),
        ("GET", f"{BOTS}/desk/knowledge/01a20f69-4c12-7000-a7a3-13a8a35faf98", 404, "snippet_not_found"),
        ("GET", f"{BOTS}/desk/knowledge/01A20F69-4C12-7000-A7A3-13A8A35FAF98", 404, "snippet_not_found"),
        ("DELETE", f"{BOTS}/desk/knowledge/01a20f69-4c12-7000-a7a3-13a8a35faf98", 404, "snippet_not_found"),
        ("PUT", BOTS, 405, "method_not_allowed"),
        ("DELETE", "/api/v1/health", 405, "method_not_allowed"),
        ("TRACE", BOTS, 405, "method_not_allowed"),
        ("DELETE", f"{BOTS}/desk/knowledge/search", 405, "method_not_allowed"),
        ("GET", f"{BOTS}?limt=5", 422, "validation_failed"),
        ("GET", f"{BOTS}?limit=0", 422, "validation_failed"),
        ("GET", f"{BOTS}?limit=201", 422, "validation_failed"),
        ("GET", f"{BOTS}?limit=x", 422, "validation_failed"),
        ("GET", f"{BOTS}?limit=5&limit=6", 422, "validation_failed"),
        ("GET", f"{BOTS}?limit=1_0", 422, "validation_failed"),
        ("GET", "/%6civez", 404, "not_found"),
        ("GET", "/livez/", 404, "not_found"),
        ("TRACE", "/nowhere", 404, "not_found"),
        ("GET", f"{BOTS}?status=gone", 422, "validation_failed"),
        ("GET", f"{BOTS}?cursor=abc", 422, "invalid_cursor"),
        ("GET", f"{BOTS}?cursor=%00", 422, "validation_failed"),
        ("GET", f"{BOTS}/desk?x=1", 422, "validation_failed"),
        ("GET", f"{BOTS}/desk/knowledge/search", 422, "validation_failed"),
        ("GET", f"{BOTS}/desk/knowledge/search?q=", 422, "validation_failed"),
        ("GET", f"{BOTS}/desk/knowledge/search?q={'x' * 1001}", 422, "validation_failed"),
        ("GET", f"{BOTS}/desk/knowledge/search?q=x&limit=51", 422, "validation_failed"),
        ("GET", "/metrics", 404, "not_found"),
    ],
)
async def test_what_is_not_there_or_not_so_is_refused(
    instance: Instance, method: str, path: str, status: int, code: str
) -> None:
    await instance.mint("desk")

    _, body, response = await instance.call(method, URL(path, encoded=True), expect=status)

    problem(body, code)
    assert response.content_type == "application/problem+json"
    if status == 405:
        assert "OPTIONS" in response.headers["Allow"]


async def test_the_place_of_a_wrong_parameter_is_named(instance: Instance) -> None:
    _, body, _ = await instance.call("GET", f"{BOTS}?limt=5", expect=422)

    assert body["errors"][0]["path"] == "query.limt"


async def test_head_and_options_work_wherever_get_does(instance: Instance) -> None:
    _, text, response = await instance.call("HEAD", BOTS, expect=200)
    assert (text or "", response.content_type) == ("", "application/json")

    _, _, response = await instance.call("OPTIONS", f"{BOTS}/desk/chat", key="", expect=204)
    assert response.headers["Allow"] == "OPTIONS, POST"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": ""}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "application/json; charset=latin-1"}, 415),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415),
        ({"Content-Type": "application/json; charset=utf-8"}, 201),
        ({"Content-Type": "APPLICATION/JSON"}, 201),
    ],
)
async def test_a_body_is_json_in_utf8(instance: Instance, headers: dict[str, str], status: int) -> None:
    raw = b'{"slug":"desk","name":"Desk","system_prompt":"You help."}'

    await instance.call("POST", BOTS, data=raw, headers=headers, expect=status)


async def test_a_body_over_the_limit_is_refused_by_its_announcement(instance: Instance) -> None:
    raw = b'{"slug":"desk","name":"Desk","system_prompt":"You help."}'
    json_type = {"Content-Type": "application/json"}
    fits = raw + b" " * (1_048_576 - len(raw))
    await instance.call("POST", BOTS, data=fits, headers=json_type, expect=201)

    _, body, response = await instance.call("POST", BOTS, data=fits + b" ", headers=json_type, expect=413)
    problem(body, "payload_too_large")
    assert response.headers["Connection"] == "close"


async def test_an_endless_body_is_refused_when_it_passes_the_limit(instance: Instance) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65_536

    with pytest.raises((AssertionError, ConnectionError, OSError)) as ended:
        status, _, _ = await instance.call("POST", BOTS, data=endless(), headers={"Content-Type": "application/json"})
        raise AssertionError(status)

    assert not isinstance(ended.value, AssertionError) or ended.value.args == (413,)


async def test_refusals_come_in_their_order(instance: Instance) -> None:
    junk: dict[str, Any] = {"data": b"{", "headers": {"Content-Type": "application/json"}}
    # 401 before 415, 415 before 404, 404 of the bot before 400 of the body.
    await instance.call(
        "POST", f"{BOTS}/nope/chat", data=b"x", headers={"Content-Type": "text/plain"}, key="", expect=401
    )
    await instance.call("POST", f"{BOTS}/nope/chat", data=b"x", headers={"Content-Type": "text/plain"}, expect=415)
    await instance.call("POST", f"{BOTS}/nope/chat", **junk, expect=404)
    await instance.call("POST", f"{BOTS}/nope/knowledge", **junk, expect=404)
    await instance.mint("desk")
    await instance.call("POST", f"{BOTS}/desk/chat", **junk, expect=400)


async def test_every_answer_carries_the_same_headers(instance: Instance) -> None:
    for path in ("/api/v1/health", BOTS, "/nowhere", "/livez", "/%6civez"):
        _, _, response = await instance.call("GET", path, headers={"X-Request-Id": "mine-1"})

        assert response.headers["X-Request-Id"] == "mine-1"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Server"] == "hivemind"

    for bad in ("", "a b", "x" * 129, "ü"):
        _, _, response = await instance.call("GET", "/livez", headers={"X-Request-Id": bad})
        assert response.headers["X-Request-Id"] != bad


async def test_lists_of_bots_go_by_slug_and_neither_skip_nor_repeat(instance: Instance) -> None:
    for number in range(7):
        await instance.mint(f"bot-{number}")
    _, page, _ = await instance.call("GET", f"{BOTS}?limit=3", expect=200)
    seen = [bot["slug"] for bot in page["items"]]
    await instance.mint("bot-0a")  # before the place: not seen again
    await instance.mint("bot-3a")  # behind it: seen
    while page["next"]:
        _, page, _ = await instance.call("GET", f"{BOTS}?limit=3&cursor={page['next']}", expect=200)
        seen += [bot["slug"] for bot in page["items"]]

    assert seen == ["bot-0", "bot-1", "bot-2", "bot-3", "bot-3a", "bot-4", "bot-5", "bot-6"]


async def test_a_list_of_snippets_survives_what_is_added_and_deleted_meanwhile(instance: Instance) -> None:
    await instance.mint("desk")
    path = f"{BOTS}/desk/knowledge"
    taught = [await instance.teach("desk", f"Snippet {number}", f"Text {number}.") for number in range(7)]
    _, page, _ = await instance.call("GET", f"{path}?limit=3", expect=200)
    seen = [snippet["title"] for snippet in page["items"]]
    await instance.teach("desk", "Newer", "It stands before the place.")
    for gone in (4, 3, 5):  # the place itself, the one behind it, and one that was seen
        await instance.call("DELETE", f"{path}/{taught[gone]['id']}", expect=204)
    while page["next"]:
        _, page, _ = await instance.call("GET", f"{path}?limit=3&cursor={page['next']}", expect=200)
        seen += [snippet["title"] for snippet in page["items"]]

    assert seen == [f"Snippet {number}" for number in (6, 5, 4, 2, 1, 0)]


async def test_a_thing_comes_with_a_tag_that_changes_with_it(instance: Instance) -> None:
    made = await instance.call("POST", BOTS, json=DRAFT, expect=201)
    _, _, shown = await instance.call("GET", f"{BOTS}/desk", expect=200)
    tag = shown.headers["ETag"]
    assert made[2].headers["ETag"] == tag
    assert tag.startswith('"')

    for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        for method in ("GET", "HEAD"):
            _, body, response = await instance.call(
                method, f"{BOTS}/desk", headers={"If-None-Match": known}, expect=304
            )
            assert (body or "", response.headers["ETag"]) == ("", tag)
            assert response.headers["X-Request-Id"]
    snippet = await instance.teach("desk", "Refunds", "Refunds take ten days.")

    _, body, response = await instance.call("GET", f"{BOTS}/desk", headers={"If-None-Match": tag}, expect=200)
    assert body["snippet_count"] == 1
    assert response.headers["ETag"] != tag
    _, _, shown = await instance.call("GET", f"{BOTS}/desk/knowledge/{snippet['id']}", expect=200)
    await instance.call(
        "GET",
        f"{BOTS}/desk/knowledge/{snippet['id']}",
        headers={"If-None-Match": shown.headers["ETag"]},
        expect=304,
    )


async def test_what_has_another_tag_is_not_deleted(instance: Instance) -> None:
    await instance.mint("desk")
    path = f"{BOTS}/desk/knowledge/{(await instance.teach('desk', 'Refunds', 'Ten days.'))['id']}"
    _, _, shown = await instance.call("GET", path, expect=200)
    tag = shown.headers["ETag"]

    for stale in ('"other"', f"W/{tag}", '"other", "another"'):
        _, body, _ = await instance.call("DELETE", path, headers={"If-Match": stale}, expect=412)
        assert problem(body, "precondition_failed")["current_etag"] == tag
    for wrong in ("other", "", '"'):
        _, body, _ = await instance.call("DELETE", path, headers={"If-Match": wrong}, expect=422)
        assert problem(body, "validation_failed")["errors"][0]["path"] == "header.If-Match"
    _, body, _ = await instance.call("DELETE", f"{path}?x=1", headers={"If-Match": '"other"'}, expect=422)
    problem(body, "validation_failed")
    await instance.call("GET", path, expect=200)

    await instance.call("DELETE", path, headers={"If-Match": f'"other", {tag}'}, expect=204)
    for known in (tag, "*", '"other"'):
        _, body, _ = await instance.call("DELETE", path, headers={"If-Match": known}, expect=404)
        problem(body, "snippet_not_found")


async def test_a_browser_elsewhere_gets_no_leave_to_read(instance: Instance) -> None:
    for method, path in (("GET", BOTS), ("OPTIONS", BOTS), ("GET", "/livez"), ("POST", "/auth/login")):
        headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        _, _, response = await instance.call(method, path, headers=headers)
        assert not [name for name in response.headers if name.lower().startswith("access-control-")], path


async def test_a_page_elsewhere_may_call_where_it_is_listed_with_a_key_and_without_a_cookie(start: Start) -> None:
    page = "https://app.example.org"
    async with start(HIVEMIND_CORS_ORIGINS=page) as instance:
        asked = {"Origin": page, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
        _, _, response = await instance.call("OPTIONS", BOTS, headers=asked, expect=204)
        assert response.headers["Access-Control-Allow-Origin"] == page
        assert "POST" in response.headers["Access-Control-Allow-Methods"]
        assert "x-api-key" in response.headers["Access-Control-Allow-Headers"]
        assert response.headers["Access-Control-Max-Age"] == "600"

        for path, status in ((BOTS, 401), ("/api/v1/health", 200), ("/api/v1/nowhere", 404)):
            _, _, response = await instance.call("GET", path, key="", headers={"Origin": page}, expect=status)
            assert response.headers["Access-Control-Allow-Origin"] == page
            assert response.headers["Vary"] == "Origin"
            assert "Access-Control-Allow-Credentials" not in response.headers

        for path, origin in (("/auth/me", page), (BOTS, f"{page}.evil.example"), (BOTS, f"{page}:444"), (BOTS, "null")):
            _, _, response = await instance.call("GET", path, key="", headers={"Origin": origin}, expect=401)
            assert "Access-Control-Allow-Origin" not in response.headers
            # What is answered to one page is kept for no other.
            assert response.headers.get("Vary") == (None if path == "/auth/me" else "Origin")
        _, _, response = await instance.call("OPTIONS", BOTS, headers=asked | {"Origin": "https://evil.example"})
        assert not [name for name in response.headers if name.lower().startswith("access-control-")]
        # A page of the list signs nobody in or out, whatever it sends.
        for path in ("/auth/login", "/auth/logout", "/auth/register"):
            _, body, _ = await instance.call("POST", path, json={}, headers={"Origin": page}, expect=403)
            problem(body, "csrf")


async def test_a_cursor_belongs_to_its_list(instance: Instance) -> None:
    for number in range(3):
        await instance.mint(f"bot-{number}")
    _, page, _ = await instance.call("GET", f"{BOTS}?limit=1", expect=200)

    for path in (f"{BOTS}?tier=public&cursor={page['next']}", f"{BOTS}/bot-0/knowledge?cursor={page['next']}"):
        _, body, _ = await instance.call("GET", path, expect=422)
        problem(body, "invalid_cursor")


@pytest.mark.parametrize("place", ["\0", "desk\0", "\n", "\x7f", "", "zz", "x" * 280, "É'--"])
async def test_a_cursor_that_somebody_made_leads_nowhere_else(instance: Instance, place: str) -> None:
    await instance.mint("desk")
    scope = "/api/v1/bots?status=None&tier=None&q=None"

    status, body, _ = await instance.call("GET", f"{BOTS}?cursor={cursors.write(scope, place)}")

    if place.isprintable():
        assert status == 200
        assert [bot["slug"] for bot in body["items"]] == (["desk"] if place < "desk" else [])
    else:
        assert (status, problem(body, "invalid_cursor")["status"]) == (422, 422)
    own = "/api/v1/bots/{}/knowledge".format((await instance.call("GET", f"{BOTS}/desk"))[1]["id"])
    for forged in (place, "not-an-id"):
        path = f"{BOTS}/desk/knowledge?cursor={cursors.write(own, forged)}"
        problem((await instance.call("GET", path, expect=422))[1], "invalid_cursor")


async def test_bots_are_found_by_status_tier_and_text(instance: Instance) -> None:
    await instance.mint("alpha", tier="public", description="Refunds and returns")
    await instance.mint("beta")

    for query, expected in (
        ("tier=public", ["alpha"]),
        ("q=REFUNDS", ["alpha"]),
        ("q=%25", []),
        ("status=paused", []),
        ("status=active", ["alpha", "beta"]),
    ):
        _, page, _ = await instance.call("GET", f"{BOTS}?{query}", expect=200)
        assert [bot["slug"] for bot in page["items"]] == expected, query
