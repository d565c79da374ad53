"""Teaching, showing, finding and forgetting, as an operator sees it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.conftest import Instance

KNOWLEDGE = "/api/v1/bots/desk/knowledge"


@pytest.fixture
async def desk(instance: Instance) -> Instance:
    """An instance with a bot that was taught nothing."""
    await instance.mint("desk")
    return instance


async def found(instance: Instance, query: str, **more: Any) -> list[dict[str, Any]]:
    _, body, _ = await instance.call("GET", f"{KNOWLEDGE}/search", params={"q": query, **more}, expect=200)
    assert body["next"] is None
    return list(body["items"])


async def test_a_snippet_is_found_by_the_search_after_it_and_not_after_its_deletion(desk: Instance) -> None:
    snippet = await desk.teach("desk", "Refunds", "They take ten days.", tags=["money"], source="faq.md")
    assert set(snippet) == {"id", "title", "body", "tags", "source", "language", "created_at", "updated_at"}

    hits = await found(desk, "how long do refunds take")
    assert [hit["id"] for hit in hits] == [snippet["id"]]
    _, shown, _ = await desk.call("GET", f"{KNOWLEDGE}/{snippet['id']}", expect=200)
    assert shown == snippet

    _, body, _ = await desk.call("DELETE", f"{KNOWLEDGE}/{snippet['id']}", expect=204)
    assert body == ""
    assert await found(desk, "refunds") == []
    await desk.call("DELETE", f"{KNOWLEDGE}/{snippet['id']}", expect=404)
    await desk.call("GET", f"{KNOWLEDGE}/{snippet['id']}", expect=404)


async def test_the_search_stays_on_after_the_last_snippet_is_gone(desk: Instance) -> None:
    snippet = await desk.teach("desk", "Refunds", "They take ten days.")
    await desk.call("DELETE", f"{KNOWLEDGE}/{snippet['id']}", expect=204)

    _, bot, _ = await desk.call("GET", "/api/v1/bots/desk", expect=200)
    assert (bot["knowledge_search_enabled"], bot["snippet_count"]) == (True, 0)


async def test_a_bot_never_finds_what_another_bot_was_taught(desk: Instance) -> None:
    await desk.mint("sales")
    snippet = await desk.teach("sales", "Margins", "Our margin on refunds is 12 %.")

    assert await found(desk, "refunds") == []
    await desk.call("GET", f"{KNOWLEDGE}/{snippet['id']}", expect=404)
    await desk.call("DELETE", f"{KNOWLEDGE}/{snippet['id']}", expect=404)
    _, page, _ = await desk.call("GET", KNOWLEDGE, expect=200)
    assert page == {"items": [], "next": None}


@pytest.mark.parametrize(
    ("language", "text", "query"),
    [
        (None, "Deliveries are tracked.", "delivery tracking"),
        ("de", "Die Rückgaben dauern zehn Tage.", "Rückgabe"),
        ("fr", "Les remboursements prennent dix jours.", "remboursement"),
        ("es", "Los reembolsos tardan diez días.", "reembolso"),
        ("it", "I rimborsi richiedono dieci giorni.", "rimborso"),
        ("nl", "Terugbetalingen duren tien dagen.", "terugbetaling"),
        ("pt", "Os reembolsos demoram dez dias.", "reembolso"),
        ("ru", "Возвраты занимают десять дней.", "возврат"),
    ],
)
async def test_inflections_are_understood_in_the_snippets_language(
    desk: Instance, language: str | None, text: str, query: str
) -> None:
    await desk.teach("desk", "x", "Something else entirely.")
    snippet = await desk.teach("desk", "y", text, language=language)

    assert [hit["id"] for hit in await found(desk, query)] == [snippet["id"]]


async def test_any_word_is_enough_and_the_better_match_comes_first(desk: Instance) -> None:
    title = await desk.teach("desk", "Rotating the admin key", "Run the command and store what it prints.")
    body = await desk.teach("desk", "Backups", "The archive does not hold the admin password.")
    await desk.teach("desk", "Ports", "It listens on 8585.")

    hits = await found(desk, "how can I rotate my admin key please")

    assert [hit["id"] for hit in hits] == [title["id"], body["id"]]
    assert hits[0]["score"] > hits[1]["score"] > 0


@pytest.mark.parametrize("query", ["the", "how is it that", "?!", "…", "' | & ! ( ) :*", "%", "\\"])
async def test_a_query_that_says_nothing_finds_nothing(desk: Instance, query: str) -> None:
    await desk.teach("desk", "How is it that the bot", "It is that the how of it.")

    assert await found(desk, query) == []


async def test_highlights_are_places_in_the_excerpt(desk: Instance) -> None:
    await desk.teach(
        "desk", "x", "Ünïcode 🎉 first. " * 40 + "A refund takes ten days; refunds are free. " + "Last. " * 200
    )

    (hit,) = await found(desk, "refunds")

    assert len(hit["excerpt"]) <= 300
    assert [hit["excerpt"][start:end] for start, end in hit["highlights"]] == ["refund", "refunds"]


async def test_limits_of_a_search(desk: Instance) -> None:
    for number in range(12):
        await desk.teach("desk", f"Refund {number}", "Ten days.")

    assert len(await found(desk, "refund")) == 10
    assert len(await found(desk, "refund", limit="12")) == 12
    assert len(await found(desk, "refund", limit="1")) == 1


async def test_the_same_question_has_the_same_order(desk: Instance) -> None:
    for number in range(20):
        await desk.teach("desk", f"Refund {number}", "All the same words.")

    first = await found(desk, "refund words")
    assert all([await found(desk, "refund words") == first for _ in range(3)])


async def test_snippets_are_listed_newest_first_without_skips_or_repeats(desk: Instance) -> None:
    made = [(await desk.teach("desk", f"T{number}", "x"))["id"] for number in range(7)]
    _, page, _ = await desk.call("GET", f"{KNOWLEDGE}?limit=3", expect=200)
    seen = [item["id"] for item in page["items"]]
    await desk.teach("desk", "newer", "x")
    await desk.call("DELETE", f"{KNOWLEDGE}/{made[2]}", expect=204)
    await desk.call("DELETE", f"{KNOWLEDGE}/{seen[-1]}", expect=204)
    while page["next"]:
        _, page, _ = await desk.call("GET", f"{KNOWLEDGE}?limit=3&cursor={page['next']}", expect=200)
        seen += [item["id"] for item in page["items"]]

    assert seen == [made[number] for number in (6, 5, 4, 3, 1, 0)]


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"title": ""}, "title"),
        ({"title": " "}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"body": ""}, "body"),
        ({"body": "\n\t "}, "body"),
        ({"body": "x" * 20_001}, "body"),
        ({"body": "a\0"}, "body"),
        ({"tags": ["x"] * 21}, "tags"),
        ({"tags": ["ok", ""]}, "tags.1"),
        ({"tags": ["x" * 41]}, "tags.0"),
        ({"tags": "money"}, "tags"),
        ({"source": ""}, "source"),
        ({"source": "x" * 501}, "source"),
        ({"language": "klingon"}, "language"),
        ({"id": "x"}, "id"),
    ],
)
async def test_a_wrong_snippet_is_refused_at_its_place(desk: Instance, changed: dict[str, Any], path: str) -> None:
    _, body, _ = await desk.call("POST", KNOWLEDGE, json={"title": "t", "body": "b"} | changed, expect=422)

    assert body["errors"][0]["path"] == path
    _, page, _ = await desk.call("GET", KNOWLEDGE, expect=200)
    assert page["items"] == []


async def test_a_text_is_kept_as_it_was_sent(desk: Instance) -> None:
    text = "  two  blanks\r\n\ttab \ue000 private \u202e right-to-left 漢字 'quotes' \\ \"x\" \x1b[31m "
    snippet = await desk.teach("desk", " title ", text)

    assert (snippet["title"], snippet["body"]) == ("title", text)
    _, shown, _ = await desk.call("GET", f"{KNOWLEDGE}/{snippet['id']}", expect=200)
    assert shown["body"] == text
    assert await found(desk, "blanks quotes")


async def test_the_largest_snippet_passes_and_a_page_of_them_too(desk: Instance) -> None:
    for _ in range(30):
        await desk.teach("desk", "Large", "ü" * 9_999 + " " + "x" * 10_000)

    _, page, _ = await desk.call("GET", f"{KNOWLEDGE}?limit=200", expect=200)
    assert sum(len(item["body"]) for item in page["items"]) == 30 * 20_000


async def test_many_who_teach_at_once_lose_nothing(desk: Instance, owner: Any) -> None:
    await asyncio.gather(*(desk.teach("desk", f"Fact {number}", f"Number {number}.") for number in range(40)))

    _, bot, _ = await desk.call("GET", "/api/v1/bots/desk", expect=200)
    corpus = await owner.fetchrow("SELECT version, snippet_count FROM knowledge.corpus")
    assert (bot["snippet_count"], corpus["snippet_count"], corpus["version"]) == (40, 40, 40)


async def test_an_index_that_is_behind_can_see_what_changed(desk: Instance, owner: Any) -> None:
    first = await desk.teach("desk", "First", "x")
    await desk.teach("desk", "Second", "x")
    await desk.call("DELETE", f"{KNOWLEDGE}/{first['id']}", expect=204)

    versions = await owner.fetch("SELECT corpus_version FROM knowledge.snippet ORDER BY 1")
    graves = await owner.fetch("SELECT id, corpus_version FROM knowledge.tombstone")
    assert [row["corpus_version"] for row in versions] == [2]
    assert [(str(row["id"]), row["corpus_version"]) for row in graves] == [(first["id"], 3)]
