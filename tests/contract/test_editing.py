"""Snippets are edited by whoever knows what they say now, cleared of a tag, and found as they are at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hivemind_common.ids import new_id
from tests.conftest import Instance

KNOWLEDGE = "/api/v1/bots/desk/knowledge"


@pytest.fixture
async def desk(instance: Instance) -> Instance:
    """An instance with a bot that was taught nothing."""
    await instance.mint("desk")
    return instance


async def found(instance: Instance, query: str) -> list[str]:
    _, body, _ = await instance.call("GET", f"{KNOWLEDGE}/search", params={"q": query}, expect=200)
    return [hit["id"] for hit in body["items"]]


async def edit(instance: Instance, snippet_id: str, *, expect: int = 200, **more: Any) -> Any:
    _, body, response = await instance.call("PATCH", f"{KNOWLEDGE}/{snippet_id}", expect=expect, **more)
    return body, response.headers.get("ETag")


async def test_an_edit_is_found_by_the_next_search_and_what_it_said_is_not(desk: Instance) -> None:
    snippet = await desk.teach("desk", "Refunds", "They take ten days.", tags=["money"], source="faq.md")

    changed, tag = await edit(desk, snippet["id"], json={"body": "Parcels are tracked.", "title": "Deliveries"})

    assert changed == snippet | {
        "title": "Deliveries",
        "body": "Parcels are tracked.",
        "updated_at": changed["updated_at"],
    }
    assert changed["updated_at"] > snippet["updated_at"]
    assert await found(desk, "tracked parcel") == [snippet["id"]]
    assert await found(desk, "refund") == []
    _, shown, response = await desk.call("GET", f"{KNOWLEDGE}/{snippet['id']}", expect=200)
    assert (shown, response.headers["ETag"]) == (changed, tag)


async def test_what_is_absent_stays_and_null_clears(desk: Instance) -> None:
    snippet = await desk.teach("desk", "Refunds", "They take ten days.", tags=["a", "b"], source="x", language="de")

    assert (await edit(desk, snippet["id"], json={}))[0] == snippet
    changed, _ = await edit(desk, snippet["id"], json={"tags": None, "source": None, "language": None})

    # A language that nobody says any more is detected again.
    assert (changed["tags"], changed["source"], changed["language"]) == ([], None, "en")
    changed, _ = await edit(desk, snippet["id"], json={"tags": ["c"], "source": "y"})
    assert (changed["tags"], changed["source"], changed["title"]) == (["c"], "y", "Refunds")


async def test_what_changes_nothing_leaves_the_state_and_no_entry(desk: Instance, owner: Any) -> None:
    snippet = await desk.teach("desk", "Refunds", "They take ten days.")
    _, _, before = await desk.call("GET", f"{KNOWLEDGE}/{snippet['id']}", expect=200)

    same, tag = await edit(desk, snippet["id"], json={"title": "Refunds", "body": "They take ten days."})

    assert (same, tag) == (snippet, before.headers["ETag"])
    entries = "SELECT count(*) FROM audit.entry WHERE action = 'snippet.changed' AND target = $1"
    assert await owner.fetchval(entries, snippet["id"]) == 0
    await edit(desk, snippet["id"], json={"title": "Refund", "tags": ["x"]})
    said = "SELECT details -> 'changed' FROM audit.entry WHERE action = 'snippet.changed' AND target = $1"
    assert await owner.fetchval(said, snippet["id"]) == '["title", "tags"]'


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_whoever_knows_an_old_state_is_refused_and_told_who_changed_it(desk: Instance, method: str) -> None:
    snippet = await desk.teach("desk", "Refunds", "They take ten days.")
    path = f"{KNOWLEDGE}/{snippet['id']}"
    _, _, response = await desk.call("GET", path, expect=200)
    old = response.headers["ETag"]
    _, new = await edit(desk, snippet["id"], json={"body": "Eight days."}, headers={"If-Match": old})
    more: dict[str, Any] = {"json": {"body": "Nine days."}} if method == "PATCH" else {}

    for sent in (old, f"W/{new}", '"x"', f'"x", {old}'):
        _, refusal, _ = await desk.call(method, path, headers={"If-Match": sent}, expect=412, **more)
        assert (refusal["code"], refusal["current_etag"], refusal["changed_by"]) == (
            "precondition_failed",
            new,
            "ada",
        )
    _, refusal, _ = await desk.call(method, path, headers={"If-Match": "x"}, expect=422, **more)
    assert refusal["errors"][0]["path"] == "header.If-Match"
    await desk.call(method, path, headers={"If-Match": f'"x", {new}'}, expect=200 if more else 204, **more)
    gone = f"{KNOWLEDGE}/{new_id()}"
    for sent in ("*", new, "x"):
        _, refusal, _ = await desk.call(method, gone, headers={"If-Match": sent}, expect=404, **more)
        assert refusal["code"] == "snippet_not_found"


async def test_of_many_who_edit_one_state_at_once_one_succeeds(desk: Instance) -> None:
    snippet = await desk.teach("desk", "Refunds", "They take ten days.")
    _, _, response = await desk.call("GET", f"{KNOWLEDGE}/{snippet['id']}", expect=200)
    headers = {"If-Match": response.headers["ETag"]}

    answers = await asyncio.gather(
        *(
            desk.call("PATCH", f"{KNOWLEDGE}/{snippet['id']}", json={"body": f"{number} days."}, headers=headers)
            for number in range(20)
        )
    )

    assert sorted(status for status, _, _ in answers) == [200, *[412] * 19]
    (winner,) = [body for status, body, _ in answers if status == 200]
    _, shown, _ = await desk.call("GET", f"{KNOWLEDGE}/{snippet['id']}", expect=200)
    assert shown == winner


@pytest.mark.parametrize(
    ("body", "path", "code"),
    [
        ({"id": str(new_id())}, "id", "read_only"),
        ({"created_at": "2026-01-01T00:00:00.000Z"}, "created_at", "read_only"),
        ({"updated_at": None}, "updated_at", "read_only"),
        ({"title": None}, "title", "wrong_type"),
        ({"body": None}, "body", "wrong_type"),
        ({"body": "  "}, "body", "blank"),
        ({"title": "x" * 201}, "title", "too_long"),
        ({"tags": ["x"] * 21}, "tags", "too_long"),
        ({"language": "tlh"}, "language", "unknown"),
        ({"colour": "red"}, "colour", "unknown_member"),
        ({"title": "a\u0000b"}, "title", "bad_character"),
        ([], "", "wrong_type"),
    ],
)
async def test_a_wrong_edit_is_refused_at_its_place_and_changes_nothing(
    desk: Instance, body: Any, path: str, code: str
) -> None:
    snippet = await desk.teach("desk", "Refunds", "They take ten days.")

    refusal, _ = await edit(desk, snippet["id"], json=body, expect=422)

    assert (refusal["errors"][0]["path"], refusal["errors"][0]["code"]) == (path, code)
    _, shown, _ = await desk.call("GET", f"{KNOWLEDGE}/{snippet['id']}", expect=200)
    assert shown == snippet
    missing, _ = await edit(desk, str(new_id()), json=body, expect=404)
    assert missing["code"] == "snippet_not_found"


async def test_all_that_has_a_tag_is_forgotten_at_once(desk: Instance, owner: Any) -> None:
    gone = [
        (await desk.teach("desk", f"Old {number}", "Refunds of old.", tags=["old", "x"]))["id"] for number in range(5)
    ]
    kept = (await desk.teach("desk", "New", "Refunds of today.", tags=["older"]))["id"]

    _, body, _ = await desk.call("DELETE", KNOWLEDGE, params={"tag": "old"}, expect=200)

    assert body == {"deleted": 5}
    assert await found(desk, "refunds") == [kept]
    _, bot, _ = await desk.call("GET", "/api/v1/bots/desk", expect=200)
    assert bot["snippet_count"] == 1
    audited = await owner.fetch("SELECT target FROM audit.entry WHERE action = 'snippet.removed'")
    assert set(gone) <= {row["target"] for row in audited}
    _, body, _ = await desk.call("DELETE", KNOWLEDGE, params={"tag": "old"}, expect=200)
    assert body == {"deleted": 0}


@pytest.mark.parametrize("query", ["", "tag=", "tag=a&tag=b", f"tag={'x' * 41}", "tags=a", "tag=a&all=true"])
async def test_nothing_is_forgotten_of_a_query_that_is_wrong(desk: Instance, query: str) -> None:
    snippet = await desk.teach("desk", "Refunds", "They take ten days.", tags=["a"])

    await desk.call("DELETE", f"{KNOWLEDGE}?{query}", expect=422)

    assert await found(desk, "refunds") == [snippet["id"]]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Refunds take ten days after the return reached us.", "en"),
        ("Rückerstattungen dauern zehn Tage, nachdem die Rücksendung bei uns ist.", "de"),
        ("Les remboursements prennent dix jours après la réception du retour.", "fr"),
        ("Los reembolsos tardan diez días desde que recibimos la devolución.", "es"),
        ("I rimborsi richiedono dieci giorni dal ricevimento del reso.", "it"),
        ("Os reembolsos demoram dez dias após a receção da devolução.", "pt"),
        ("Terugbetalingen duren tien dagen nadat de retourzending is ontvangen.", "nl"),
        ("返金は返品が届いてから十日かかります。", None),
    ],
)
async def test_the_language_of_a_text_is_detected_and_can_be_said(
    desk: Instance, text: str, language: str | None
) -> None:
    snippet = await desk.teach("desk", "x", text)

    assert snippet["language"] == language
    changed, _ = await edit(desk, snippet["id"], json={"language": "sv"})
    assert changed["language"] == "sv"
    changed, _ = await edit(desk, snippet["id"], json={"body": f"{text} {text}"})
    assert changed["language"] == "sv"
