"""Every save of a prompt is a version: noted, restored, pinned, called by its number."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest

from tests.conftest import Instance

DESK: Final = "/api/v1/bots/desk"
PROMPT: Final = f"{DESK}/prompt"


@pytest.fixture
async def desk(instance: Instance) -> Instance:
    """An instance with a bot."""
    await instance.mint("desk", system_prompt="First.")
    return instance


async def save(instance: Instance, text: str, *, expect: int = 200, **more: Any) -> Any:
    form = {"system_prompt": text} | more.pop("members", {})
    _, body, _ = await instance.call("PUT", PROMPT, json=form, expect=expect, **more)
    return body


async def get(instance: Instance, path: str = "") -> Any:
    _, body, _ = await instance.call("GET", f"{PROMPT}{path}", expect=200)
    return body


async def act(instance: Instance, path: str, method: str = "POST", expect: int = 200) -> Any:
    _, body, _ = await instance.call(method, f"{PROMPT}{path}", expect=expect)
    return body


async def chat_version(instance: Instance, slug: str, expect: int = 200) -> Any:
    _, body, _ = await instance.call(
        "POST", f"/api/v1/bots/{slug}/chat", json={"message": "Hello there?"}, expect=expect
    )
    return body["version"] if expect == 200 else body["code"]


async def test_a_save_is_the_next_version_with_its_author_and_note(desk: Instance) -> None:
    first = await get(desk)
    assert {name: first[name] for name in ("version", "system_prompt", "note", "author", "live", "pinned")} == {
        "version": 1,
        "system_prompt": "First.",
        "note": "",
        "author": "ada",
        "live": True,
        "pinned": False,
    }
    second = await save(desk, "Second.", members={"note": "shorter"})
    assert (second["version"], second["note"], second["author"], second["live"]) == (2, "shorter", "ada", True)
    assert await get(desk) == second
    assert await get(desk, "/versions/1") == first | {"live": False}
    _, bot, _ = await desk.call("GET", DESK, expect=200)
    assert (bot["version"], bot["system_prompt"], bot["pinned_version"]) == (2, "Second.", None)


async def test_the_same_text_is_no_new_version(desk: Instance) -> None:
    first = await get(desk)
    assert await save(desk, "First.", members={"note": "again"}) == first
    _, bot, _ = await desk.call("PATCH", DESK, json={"system_prompt": "First."}, expect=200)
    assert bot["version"] == 1
    assert (await get(desk, "/versions"))["items"] == [first]


async def test_an_edit_of_the_bot_saves_a_version_with_its_note(desk: Instance) -> None:
    form = {"system_prompt": "Second.", "note": "by the bot", "tier": "public"}
    _, bot, _ = await desk.call("PATCH", DESK, json=form, expect=200)
    assert (bot["version"], bot["tier"], bot["system_prompt"]) == (2, "public", "Second.")
    assert (await get(desk))["note"] == "by the bot"


async def test_versions_are_listed_newest_first_and_paged(desk: Instance) -> None:
    for number in range(2, 8):
        await save(desk, f"Text {number}.")
    seen: list[int] = []
    cursor = ""
    while True:
        page = await get(desk, f"/versions?limit=3{cursor}")
        seen += [each["version"] for each in page["items"]]
        if page["next"] is None:
            break
        await save(desk, f"Meanwhile {len(seen)}.")  # what comes meanwhile makes nothing appear twice
        cursor = f"&cursor={page['next']}"
    assert seen == [7, 6, 5, 4, 3, 2, 1]


async def test_a_restored_version_is_a_new_one_with_the_old_text(desk: Instance) -> None:
    await save(desk, "Second.")
    third = await act(desk, "/versions/1/restore")
    assert (third["version"], third["system_prompt"], third["note"]) == (3, "First.", "restored from version 1")
    assert await act(desk, "/versions/1/restore") == third
    assert await chat_version(desk, "desk") == 3


async def test_a_pinned_version_stays_live_whatever_is_saved(desk: Instance) -> None:
    await save(desk, "Second.")
    pinned = await act(desk, "/versions/1/pin")
    assert (pinned["version"], pinned["live"], pinned["pinned"]) == (1, True, True)
    assert await act(desk, "/versions/1/pin") == pinned

    third = await save(desk, "Third.")
    assert (third["version"], third["live"]) == (3, False)
    assert await save(desk, "Third.") == third
    assert await save(desk, "First.") == await get(desk)
    _, bot, _ = await desk.call("GET", DESK, expect=200)
    assert (bot["version"], bot["pinned_version"], bot["system_prompt"]) == (1, 1, "First.")
    assert await chat_version(desk, "desk") == 1
    await act(desk, "/pin", "DELETE", 204)
    assert await chat_version(desk, "desk") == 3
    assert await act(desk, "/pin", "DELETE", 404) | {"request_id": ""} == {
        "type": "/docs/errors#version_not_found",
        "title": "Not Found",
        "status": 404,
        "code": "version_not_found",
        "detail": "no version of this prompt is pinned",
        "error": "no version of this prompt is pinned",
        "request_id": "",
    }


async def test_an_old_version_is_called_by_its_number(desk: Instance) -> None:
    await save(desk, "Second.")
    assert [await chat_version(desk, slug) for slug in ("desk", "desk@1", "desk@2", "desk%401")] == [2, 1, 2, 1]
    assert await chat_version(desk, "desk@3", 404) == "version_not_found"
    for slug in ("desk@0", "desk@01", "desk@", "desk@x", "desk@1@2", "desk@-1", "desk@9999999999", "nobody@1"):
        assert await chat_version(desk, slug, 404) == "bot_not_found"
    # A version is something to be talked to: no other path has one.
    for path in ("", "/prompt", "/knowledge"):
        await desk.call("GET", f"/api/v1/bots/desk@1{path}", expect=404)
    _, refused, _ = await desk.call("POST", "/api/v1/bots/desk@1/chat", json={}, expect=422)
    assert refused["errors"][0]["path"] == "message"


async def test_who_knows_an_old_prompt_is_refused(desk: Instance) -> None:
    _, _, response = await desk.call("GET", PROMPT, expect=200)
    known = {"If-Match": response.headers["ETag"]}
    await save(desk, "Second.", headers=known)
    refused = await save(desk, "Third.", headers=known, expect=412)
    assert (refused["code"], refused["changed_by"]) == ("precondition_failed", "ada")
    assert (await get(desk))["system_prompt"] == "Second."
    await save(desk, "Third.", headers={"If-Match": "*"})
    _, _, response = await desk.call("GET", PROMPT, headers={"If-None-Match": refused["current_etag"]})
    assert response.status == 200


async def test_saves_at_once_are_versions_one_after_another(desk: Instance) -> None:
    saved = await asyncio.gather(*(save(desk, f"Text {number}.") for number in range(12)))
    assert sorted(each["version"] for each in saved) == list(range(2, 14))
    newest = max(saved, key=lambda each: each["version"])
    assert (await get(desk))["system_prompt"] == newest["system_prompt"]


NONE: Final[list[tuple[Any, str]]] = [
    ({}, "system_prompt"),
    ({"system_prompt": None}, "system_prompt"),
    ({"system_prompt": ""}, "system_prompt"),
    ({"system_prompt": " \n"}, "system_prompt"),
    ({"system_prompt": "x" * 32_001}, "system_prompt"),
    ({"system_prompt": 5}, "system_prompt"),
    ({"system_prompt": "a\x00b"}, "system_prompt"),
    ({"system_prompt": "x", "note": "x" * 501}, "note"),
    ({"system_prompt": "x", "note": None}, "note"),
    ({"system_prompt": "x", "version": 7}, "version"),
]


async def test_what_is_no_prompt_is_refused(desk: Instance) -> None:
    for form, path in NONE:
        _, refused, _ = await desk.call("PUT", PROMPT, json=form, expect=422)
        assert [error["path"] for error in refused["errors"]] == [path], form
    assert (await get(desk))["version"] == 1


async def test_a_version_that_is_not_there_is_not_found(desk: Instance) -> None:
    for version in ("0", "2", "01", "x", "1.0", "-1", "99999999999"):
        for method, path in (("GET", ""), ("POST", "/restore"), ("POST", "/pin")):
            refused = await act(desk, f"/versions/{version}{path}", method, 404)
            assert refused["code"] == "version_not_found", version


async def test_a_prompt_is_shown_to_admins_only_and_what_is_done_to_it_is_in_the_audit_log(
    desk: Instance, owner: Any
) -> None:
    await save(desk, "Second.")
    await act(desk, "/versions/1/pin")
    await act(desk, "/pin", "DELETE", 204)
    _, bot, _ = await desk.call("GET", DESK, expect=200)
    said = "SELECT action, details::text FROM audit.entry WHERE target = $1 AND action LIKE 'prompt.%' ORDER BY seq"
    entries = [tuple(row) for row in await owner.fetch(said, bot["id"])]
    assert [action for action, _ in entries] == ["prompt.saved", "prompt.pinned", "prompt.unpinned"]
    assert not any("Second" in details for _, details in entries)
