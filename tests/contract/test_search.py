"""Questions as people type them, and as nobody should."""

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


async def hits(instance: Instance, query: str, slug: str = "desk", **more: Any) -> list[dict[str, Any]]:
    path = f"/api/v1/bots/{slug}/knowledge/search"
    _, body, _ = await instance.call("GET", path, params={"q": query, **more}, expect=200)
    return list(body["items"])


async def titles(instance: Instance, query: str) -> list[str]:
    return [hit["title"] for hit in await hits(instance, query)]


@pytest.mark.parametrize(
    ("body", "language", "query"),
    [
        ("The refund takes ten days.", "en", "refudn"),
        ("The refund takes ten days.", "en", "refnd"),
        ("The cancellation is free.", "en", "cancelaltoin"),
        ("Deliveries are tracked.", "en", "how are delivries traked"),
        ("Les paramètres sont modifiés ici.", "fr", "parametres modifies"),
        ("La devolución es gratis.", "es", "devolucion"),
        ("Die Rückerstattung dauert zehn Tage. Die Frist beginnt am Montag.", "de", "Rückerstattungsfrist"),
        ("Die Rückerstattungsfrist beträgt zehn Tage.", "de", "Frist"),
        ("Call getUserName() first.", "en", "user name"),
        ("Call getUserName() first.", "en", "getusername"),
        ("Part AB-1234 is sold out.", "en", "ab1234"),
        ("Part AB1234 is sold out.", "en", "AB-1234"),
        ("It ends with error E0432.", "en", "e0432"),
        ("Ask https://example.org/api/v1/bots for a list.", "en", "api bots"),
        ("The file is user_settings.json.", "en", "user settings"),
        ("返金は十日かかります。", None, "返金"),
        ("商品签收后七天内可以退货。", None, "退货"),
        ("반품은 열흘 안에 가능합니다.", None, "반품"),
        ("ＡＢＣ　ｗｉｄｅ letters", "en", "abc wide"),
        ("ההחזר לוקח עשרה ימים", None, "ההחזר"),
        ("Emoji 🎉 party at noon", "en", "party 🎉"),
    ],
)
async def test_what_people_type_is_found(desk: Instance, body: str, language: str | None, query: str) -> None:
    for filler in ("Opening hours are nine to five.", "The printer is upstairs.", "Lunch is at noon on weekdays."):
        await desk.teach("desk", "filler", filler, language="en")
    await desk.teach("desk", "wanted", body, language=language)

    assert (await titles(desk, query))[:1] == ["wanted"]


@pytest.mark.parametrize("query", ["ab1235", "e0433", "backgrund"])
async def test_another_number_is_another_thing_and_nothing_is_made_of_nothing(desk: Instance, query: str) -> None:
    await desk.teach("desk", "part", "Part AB-1234 is sold out. It ends with error E0432.")

    assert await titles(desk, query) == []


@pytest.mark.parametrize(
    "query",
    [
        "x",
        "ä",
        "🎉",
        "a" * 1_000,
        "refund " * 142,
        "word" + "\u0301" * 900,
        "\u202erefund\u202c",
        "refund\u0007\u001b[31m",
        "'; DROP TABLE knowledge.snippet; --",
        "refund' | !x & (y:*) <-> \\",
        '"refund"',
        "((((((((((",
        "refund:* <2> take",
        "%_%",
        "\\",
        "{}[]$$",
        "\ud7ff\ue000\uffff",
        "0",
        "-1",
        "1e309",
        "null",
        " \t\n ",
        "שלום refund مرحبا",
    ],
)
async def test_any_text_is_a_question(desk: Instance, query: str) -> None:
    await desk.teach("desk", "Refunds", "A refund takes ten days.")

    found = await hits(desk, query)

    assert all(hit["title"] == "Refunds" for hit in found)
    _, answer, _ = await desk.call("POST", "/api/v1/bots/desk/chat", json={"message": f"{query}?"}, expect=200)
    assert answer["finish_reason"] in {"stop", "refused"}
    assert await titles(desk, "refund") == ["Refunds"]


@pytest.mark.parametrize("query", ["", "x" * 1_001])
async def test_a_question_has_a_length(desk: Instance, query: str) -> None:
    _, refusal, _ = await desk.call("GET", f"{KNOWLEDGE}/search", params={"q": query}, expect=422)
    assert refusal["errors"][0]["path"] == "query.q"
    _, refusal, _ = await desk.call("GET", f"{KNOWLEDGE}/search?q=a%00b", expect=422)
    assert refusal["errors"][0]["path"] == "query.q"


async def test_a_bot_without_snippets_finds_nothing(desk: Instance) -> None:
    assert await hits(desk, "refund") == []


@pytest.mark.parametrize(
    "body",
    [
        "refund " * 2_857,
        "x" * 20_000,
        "refund" + "y" * 19_994,
        "refund. " * 2_500,
        "返" * 20_000,
        "a" + "\u0300" * 19_999,
        "refund\n" * 2_857,
        "<b>refund</b> & " * 1_250,
        "\ue000refund\ue001 " * 2_000,
        "🎉" * 20_000,
    ],
)
async def test_the_longest_text_is_taught_found_and_quoted_in_a_few_lines(desk: Instance, body: str) -> None:
    await desk.teach("desk", "The long one", body)

    (hit,) = await hits(desk, "long")
    assert len(hit["excerpt"]) <= 300
    assert hit["excerpt"] in body
    for found in await hits(desk, "refund"):
        assert all(0 <= start < end <= len(found["excerpt"]) for start, end in found["highlights"])
    _, answer, _ = await desk.call("POST", "/api/v1/bots/desk/chat", json={"message": "the long one"}, expect=200)
    assert len(answer["reply"]) <= 800


async def test_two_hundred_adds_at_once_are_all_found(desk: Instance) -> None:
    async def add(number: int) -> None:
        await desk.teach("desk", f"Thing {number}", f"Thing{number}word is on shelf {number}.")
        assert await titles(desk, f"thing{number}word") == [f"Thing {number}"]

    await asyncio.gather(*(add(number) for number in range(200)))

    _, bot, _ = await desk.call("GET", "/api/v1/bots/desk", expect=200)
    assert bot["snippet_count"] == 200
    assert len(await hits(desk, "shelf", limit="50")) == 50


async def test_one_bot_speaks_several_languages(desk: Instance) -> None:
    english = await desk.teach("desk", "Refunds", "Refunds take ten days after the return reached us.")
    german = await desk.teach("desk", "Rückerstattungen", "Rückerstattungen dauern zehn Tage, sobald die Ware da ist.")
    french = await desk.teach("desk", "Remboursements", "Les remboursements prennent dix jours après le retour.")
    japanese = await desk.teach("desk", "返金", "返金は返品が届いてから十日かかります。")

    for message, snippet in (
        ("How long does a refund take?", english),
        ("Wie lange dauern Rückerstattungen?", german),
        ("En combien de jours arrive un remboursement ?", french),
        ("返金は何日かかりますか", japanese),
    ):
        _, answer, _ = await desk.call("POST", "/api/v1/bots/desk/chat", json={"message": message}, expect=200)
        assert [each["snippet_id"] for each in answer["citations"]] == [snippet["id"]], message


@pytest.mark.parametrize(
    ("strictness", "answers"),
    [("lenient", [True, True, True]), ("normal", [True, True, False]), ("strict", [True, False, False])],
)
async def test_a_bot_is_as_strict_as_it_is_set(instance: Instance, strictness: str, answers: list[bool]) -> None:
    await instance.mint("set", strictness=strictness)
    for number in range(8):
        await instance.teach("set", f"Filler {number}", "The printer is upstairs and lunch is at noon on weekdays.")
    await instance.teach(
        "set", "Refunds", "A refund for a return takes ten days after the parcel reached our warehouse."
    )

    said = []
    for message in (
        "When do I get the refund for my return?",
        "Why did the warehouse decline the refund of my neighbour today?",
        "Which bank account gets refunds?",
    ):
        _, answer, _ = await instance.call("POST", "/api/v1/bots/set/chat", json={"message": message}, expect=200)
        said.append(answer["grounded"])
    assert said == answers
