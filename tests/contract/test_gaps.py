"""Questions that a bot had no answer to are kept, counted, and become snippets with one call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hivemind_common.ids import new_id
from tests.conftest import Instance

GAPS = "/api/v1/bots/desk/knowledge/gaps"
ANSWER = {"title": "Gift cards", "body": "Gift cards are valid for three years."}


@pytest.fixture
async def desk(instance: Instance) -> Instance:
    """An instance with a bot that knows one thing."""
    await instance.mint("desk")
    await instance.teach("desk", "Refunds", "Refunds take ten days after the return reached us.")
    return instance


async def ask(instance: Instance, message: str, slug: str = "desk") -> dict[str, Any]:
    _, body, _ = await instance.call("POST", f"/api/v1/bots/{slug}/chat", json={"message": message}, expect=200)
    return dict(body)


async def gaps(instance: Instance, slug: str = "desk") -> list[dict[str, Any]]:
    _, body, _ = await instance.call("GET", f"/api/v1/bots/{slug}/knowledge/gaps", expect=200)
    assert body["next"] is None
    return list(body["items"])


async def test_a_question_without_an_answer_is_kept_until_it_has_one(desk: Instance) -> None:
    assert (await ask(desk, "How long is a gift card valid?"))["finish_reason"] == "refused"
    assert (await ask(desk, "How long do refunds take?"))["grounded"]

    (gap,) = await gaps(desk)
    assert set(gap) == {"id", "question", "asked", "last_asked_at"}
    assert (gap["question"], gap["asked"]) == ("How long is a gift card valid?", 1)
    _, shown, _ = await desk.call("GET", f"{GAPS}/{gap['id']}", expect=200)
    assert shown == gap

    _, snippet, response = await desk.call("POST", f"{GAPS}/{gap['id']}/snippet", json=ANSWER, expect=201)
    assert response.headers["Location"] == f"/api/v1/bots/desk/knowledge/{snippet['id']}"
    assert response.headers["ETag"]
    assert (snippet["title"], snippet["body"]) == (ANSWER["title"], ANSWER["body"])
    assert await gaps(desk) == []
    assert (await ask(desk, "How long is a gift card valid?"))["citations"][0]["snippet_id"] == snippet["id"]
    await desk.call("POST", f"{GAPS}/{gap['id']}/snippet", json=ANSWER, expect=404)


async def test_the_same_question_in_other_words_of_the_same_is_counted(desk: Instance) -> None:
    await ask(desk, "How long is a gift card valid?")
    before = await gaps(desk)
    await asyncio.gather(
        *(
            ask(desk, text)
            for text in [
                "gift cards: how long valid?",
                "Hello, how long are gift cards valid, please",
                "GIFT CARD: LONG VALID?",
            ]
        )
    )

    (gap,) = await gaps(desk)
    assert (gap["id"], gap["asked"]) == (before[0]["id"], 4)
    assert gap["last_asked_at"] >= before[0]["last_asked_at"]


@pytest.mark.parametrize("text", ["hello", "what is it?", "?!", "thanks 🎉"])
async def test_what_asks_for_nothing_is_no_gap(desk: Instance, text: str) -> None:
    await ask(desk, text)

    assert await gaps(desk) == []


async def test_none_are_kept_of_a_restricted_bot(desk: Instance) -> None:
    await desk.mint("sealed", tier="restricted")
    await desk.teach("sealed", "Refunds", "Refunds take ten days.")
    _, me, _ = await desk.call("GET", "/auth/me", expect=200)

    await desk.call("POST", "/api/v1/bots/sealed/chat", json={"message": "Is the merger signed?"})

    assert me["role"] == "admin"
    assert await gaps(desk, "sealed") == []


async def test_a_long_question_is_kept_short_and_a_search_is_no_question(desk: Instance) -> None:
    await ask(desk, "Where is the warehouse? " * 300)
    await desk.call("GET", "/api/v1/bots/desk/knowledge/search", params={"q": "warehouse"}, expect=200)

    (gap,) = await gaps(desk)
    assert len(gap["question"]) == 500
    assert gap["question"].endswith("…")
    assert gap["asked"] == 1


async def test_a_gap_can_be_dismissed(desk: Instance) -> None:
    await ask(desk, "Is the merger signed?")
    (gap,) = await gaps(desk)

    await desk.call("DELETE", f"{GAPS}/{gap['id']}", expect=204)

    assert await gaps(desk) == []
    for method, path in (("DELETE", gap["id"]), ("GET", gap["id"]), ("DELETE", "x"), ("GET", str(new_id()))):
        _, refusal, _ = await desk.call(method, f"{GAPS}/{path}", expect=404)
        assert refusal["code"] == "gap_not_found"


async def test_a_wrong_answer_leaves_the_gap(desk: Instance) -> None:
    await ask(desk, "Is the merger signed?")
    (gap,) = await gaps(desk)

    _, refusal, _ = await desk.call("POST", f"{GAPS}/{gap['id']}/snippet", json={"title": "x"}, expect=422)

    assert refusal["errors"][0]["path"] == "body"
    assert await gaps(desk) == [gap]
    await desk.call("POST", f"{GAPS}/{new_id()}/snippet", json={"title": "x"}, expect=404)
    await desk.mint("other")
    await desk.call("POST", f"/api/v1/bots/other/knowledge/gaps/{gap['id']}/snippet", json=ANSWER, expect=404)


async def test_gaps_are_paged_and_bounded(desk: Instance, owner: Any) -> None:
    bot_id = await owner.fetchval("SELECT id FROM bots.bot WHERE slug = 'desk'")
    add = "INSERT INTO knowledge.gap VALUES ($1, $2, $3, $4, 1, now() - make_interval(mins => $5))"
    await owner.executemany(add, [(bot_id, new_id(), str(n).encode(), f"Question {n}", 1000 - n) for n in range(510)])
    old = "INSERT INTO knowledge.gap VALUES ($1, $2, 'old', 'Old', 1, now() - interval '91 days')"
    await owner.execute(old, bot_id, new_id())

    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": "200"} | ({"cursor": cursor} if cursor else {})
        _, page, _ = await desk.call("GET", GAPS, params=params, expect=200)
        seen += [gap["question"] for gap in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == [f"Question {n}" for n in reversed(range(510))]

    await ask(desk, "Is the merger signed?")
    kept = await owner.fetch("SELECT question FROM knowledge.gap WHERE bot_id = $1 ORDER BY last_asked_at", bot_id)
    assert [row["question"] for row in kept] == [*(f"Question {n}" for n in range(11, 510)), "Is the merger signed?"]
