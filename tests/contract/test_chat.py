"""Talking to a bot."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest

from tests.conftest import Instance, Start

CHAT = "/api/v1/bots/desk/chat"
FAQ = Path(__file__).resolve().parents[2] / "docs" / "examples" / "operator-faq"
REFUND = "Refunds take ten days after the return reached us."


@pytest.fixture
async def desk(instance: Instance) -> Instance:
    """An instance with a bot that knows one thing."""
    await instance.mint("desk")
    await instance.teach("desk", "Refunds", REFUND)
    return instance


async def ask(instance: Instance, message: str, **more: Any) -> dict[str, Any]:
    _, body, _ = await instance.call("POST", CHAT, json={"message": message, **more}, expect=200)
    return dict(body)


async def test_an_answer_has_every_member(desk: Instance) -> None:
    answer = await ask(desk, "How long do refunds take?")

    assert set(answer) == {
        *("conversation_id", "message_id", "reply", "citations", "provider", "model", "version", "grounded"),
        *("finish_reason", "fallback_used", "usage", "created_at"),
    }
    assert (answer["provider"], answer["model"], answer["version"]) == ("quote", "quote", 1)
    assert (answer["finish_reason"], answer["fallback_used"]) == ("stop", False)
    assert answer["usage"] == {"input_tokens": 0, "output_tokens": 0, "cost_micro_usd": 0}
    assert answer["citations"][0]["quote"] == REFUND


@pytest.mark.parametrize(
    "question",
    [
        "What is the capital of France?",
        "How many days does a week have?",
        "the",
        "?",
        "Do you take cats?",
        "x" * 8_000,
        "'; DROP TABLE snippet; --",
    ],
)
async def test_a_shared_common_word_is_no_hit(desk: Instance, question: str) -> None:
    answer = await ask(desk, question)

    assert answer["reply"].startswith("I don't know")
    assert (answer["grounded"], answer["citations"], answer["finish_reason"]) == (False, [], "refused")


async def test_a_bot_that_was_taught_nothing_does_not_know(instance: Instance) -> None:
    await instance.mint("desk")

    answer = await ask(instance, "How long do refunds take?")

    assert answer["reply"].startswith("I don't know")
    assert answer["grounded"] is False


async def test_a_search_that_is_turned_off_is_not_used(instance: Instance, owner: Any) -> None:
    await instance.mint("desk")
    await instance.teach("desk", "Refunds", REFUND)
    await owner.execute("UPDATE bots.bot SET knowledge_search_enabled = false")

    assert (await ask(instance, "How long do refunds take?"))["grounded"] is False


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"message": ""},
        {"message": " \n"},
        {"message": "x" * 8_001},
        {"message": 5},
        {"message": "x", "conversation_id": "not-an-id"},
        {"message": "x", "speaker": "s" * 129},
        {"message": "x", "model": "y"},
    ],
)
async def test_a_wrong_body_is_refused(desk: Instance, body: dict[str, Any]) -> None:
    _, told, _ = await desk.call("POST", CHAT, json=body, expect=422)

    assert told["code"] == "validation_failed"


async def test_a_conversation_goes_on_and_is_its_speakers_own(desk: Instance, owner: Any) -> None:
    first = await ask(desk, "How long do refunds take?", speaker="kim")
    second = await ask(desk, "And refunds again?", conversation_id=first["conversation_id"], speaker="kim")

    assert second["conversation_id"] == first["conversation_id"]
    rows = await owner.fetch("SELECT role, text FROM bots.message ORDER BY id")
    assert [row["role"] for row in rows] == ["user", "assistant", "user", "assistant"]
    assert rows[1]["text"] == first["reply"]
    assert "kim" not in str(await owner.fetch("SELECT * FROM bots.conversation"))
    for conversation, speaker in ((first["conversation_id"], "lee"), (str(uuid4()), "kim")):
        body = {"message": "x", "conversation_id": conversation, "speaker": speaker}
        _, told, _ = await desk.call("POST", CHAT, json=body, expect=404)
        assert told["code"] == "conversation_not_found"


async def test_a_paused_bot_does_not_answer(desk: Instance, owner: Any) -> None:
    await owner.execute("UPDATE bots.bot SET status = 'paused'")

    _, told, _ = await desk.call("POST", CHAT, json={"message": "x"}, expect=409)

    assert told["code"] == "bot_paused"
    await desk.call("GET", "/api/v1/bots/desk", expect=200)


async def test_an_archived_bot_is_not_there(desk: Instance, owner: Any) -> None:
    await owner.execute("UPDATE bots.bot SET status = 'archived'")

    for method, path in (("GET", "/api/v1/bots/desk"), ("GET", "/api/v1/bots/desk/knowledge")):
        await desk.call(method, path, expect=404)
    await desk.call("POST", CHAT, json={"message": "x"}, expect=404)
    _, page, _ = await desk.call("GET", "/api/v1/bots?status=archived", expect=200)
    assert [bot["slug"] for bot in page["items"]] == ["desk"]
    draft = {"slug": "desk", "name": "x", "system_prompt": "x"}
    await desk.call("POST", "/api/v1/bots", json=draft, expect=409)


async def test_a_restricted_bot_answers_its_list_and_keeps_nothing(instance: Instance, owner: Any) -> None:
    _, me, _ = await instance.call("GET", "/auth/me", expect=200)
    await instance.mint("desk", tier="restricted")
    await instance.teach("desk", "Refunds", REFUND)
    _, told, _ = await instance.call("POST", CHAT, json={"message": "x"}, expect=403)
    assert told["code"] == "bot_not_allowed"

    await instance.mint("vault", tier="restricted", allowed_users=[me["id"]])
    await instance.teach("vault", "Refunds", REFUND)
    _, answer, _ = await instance.call(
        "POST", "/api/v1/bots/vault/chat", json={"message": "How long do refunds take?"}, expect=200
    )

    assert (answer["grounded"], answer["conversation_id"]) == (True, None)
    assert await owner.fetchval("SELECT count(*) FROM bots.message") == 0


async def test_another_provider_than_quote_is_refused_and_health_says_why(start: Start, owner: Any) -> None:
    await owner.execute("TRUNCATE bots.bot, auth.account CASCADE")
    async with start(HIVEMIND_LLM_PROVIDER="openai-compat", HIVEMIND_LLM_MODEL="m") as instance:
        await instance.register()
        bot = await instance.mint("desk")
        assert bot["effective"] == {"provider": "default", "model": "m"}
        assert "provider_down" in [note["code"] for note in bot["readiness"]]

        for accept in ("application/json", "text/event-stream"):
            _, told, response = await instance.call(
                "POST", CHAT, json={"message": "x"}, headers={"Accept": accept}, expect=502
            )
            assert (told["code"], told["provider"]) == ("provider_unavailable", "default")
            assert told["reason"]
            assert int(response.headers["Retry-After"]) >= 1
        await instance.teach("desk", "Refunds", REFUND)
        assert (await ask(instance, "What is the capital of France?"))["finish_reason"] == "refused"
        _, report, _ = await instance.call("GET", "/api/v1/health", expect=200)
        assert report["status"] == "degraded"
        assert report["components"]["llm"]["detail"].startswith("LLM startup ping FAILED")
        # A bot may still be told to quote, and a restricted one may not use what is not local.
        await instance.mint("quoting", provider="quote")
        await instance.call("POST", "/api/v1/bots/quoting/chat", json={"message": "x"}, expect=200)
        _, me, _ = await instance.call("GET", "/auth/me", expect=200)
        await instance.mint("vault", tier="restricted", allowed_users=[me["id"]])
        _, told, _ = await instance.call("POST", "/api/v1/bots/vault/chat", json={"message": "x"}, expect=409)
        assert told["code"] == "provider_not_local"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("text/event-stream", "text/event-stream"),
        ("text/event-stream, application/json;q=0.9", "text/event-stream"),
        ("application/json, text/event-stream", "application/json"),
        ("application/json;q=0.1, text/event-stream", "text/event-stream"),
        ("text/html", None),
        ("text/event-stream;q=0", None),
    ],
)
async def test_the_form_of_an_answer_is_what_the_caller_accepts(
    desk: Instance, accept: str | None, content_type: str | None
) -> None:
    headers = {"Accept": accept} if accept is not None else {}
    async with desk.http.post(
        desk.url + CHAT,
        json={"message": "How long do refunds take?"},
        headers=headers | {"X-API-Key": desk.key},
        skip_auto_headers=["Accept"],
    ) as response:
        await response.read()
        assert (response.status, response.content_type) == (
            (200, content_type) if content_type else (406, "application/problem+json")
        )


async def test_refusals_before_a_stream_are_ordinary_answers(desk: Instance) -> None:
    headers = {"Accept": "text/event-stream"}

    _, body, _ = await desk.call("POST", "/api/v1/bots/nope/chat", json={"message": "x"}, headers=headers, expect=404)
    assert body["code"] == "bot_not_found"


async def test_a_stream_begins_with_who_answers(desk: Instance) -> None:
    _, text, response = await desk.call(
        "POST",
        CHAT,
        json={"message": "How long do refunds take?"},
        headers={"Accept": "text/event-stream"},
        expect=200,
    )

    first = dict(line.split(": ", 1) for line in text.split("\n\n")[0].split("\n"))
    assert set(orjson.loads(first["data"])) == {"conversation_id", "message_id", "provider", "model"}
    assert response.headers["X-Accel-Buffering"] == "no"
    assert response.headers["Cache-Control"] == "no-store"


async def test_the_sample_faq_is_answered_in_other_words(instance: Instance) -> None:
    await instance.mint("desk")
    titles = {}
    for file in sorted(FAQ.glob("*.md")):
        title, _, text = file.read_text(encoding="utf-8").partition("\n")
        titles[file.name] = title.removeprefix("# ").strip()
        await instance.teach("desk", titles[file.name], text.strip(), source=file.name)
    with (FAQ / "questions.tsv").open(encoding="utf-8") as lines:
        asked = [(row[0], titles.get(row[1] if len(row) > 1 else "")) for row in csv.reader(lines, delimiter="\t")]
    answers = [(await ask(instance, question), title) for question, title in asked]

    own = [(answer, title) for answer, title in answers if title is not None]
    strange = [answer for answer, title in answers if title is None]
    right = [title in {citation["title"] for citation in answer["citations"]} for answer, title in own]
    assert len(titles) >= 40
    assert sum(right) >= 0.85 * len(own)
    assert sum(answer["finish_reason"] == "refused" for answer in strange) >= 0.9 * len(strange)


async def test_a_bot_that_is_deleted_while_it_answers_is_not_there(desk: Instance, owner: Any) -> None:
    # Deleted after the bot was read and before the turn is kept: the trigger stands for the other session.
    await owner.execute(
        """
        CREATE FUNCTION bots.vanish() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN DELETE FROM bots.bot WHERE id = NEW.bot_id; RETURN NEW; END $$;
        CREATE TRIGGER vanish BEFORE INSERT ON bots.conversation FOR EACH ROW EXECUTE FUNCTION bots.vanish()
        """
    )
    try:
        _, told, _ = await desk.call("POST", CHAT, json={"message": "How long do refunds take?"}, expect=404)
    finally:
        await owner.execute("DROP FUNCTION bots.vanish() CASCADE")

    assert told["code"] == "bot_not_found"
