"""One question, one answer: what an operator does on the first evening."""

from __future__ import annotations

import orjson

from hivemind_server.services import SERVICES
from tests.conftest import Instance


async def test_a_taught_bot_answers_with_a_citation(instance: Instance) -> None:
    bot = await instance.mint("support")
    assert bot["knowledge_search_enabled"] is False
    snippet = await instance.teach("support", "Refunds", "Refunds take ten days after the return reached us.")

    _, answer, _ = await instance.call(
        "POST", "/api/v1/bots/support/chat", json={"message": "How long do refunds take?"}, expect=200
    )

    assert answer["reply"] == "Refunds take ten days after the return reached us. [1]"
    assert answer["citations"][0]["snippet_id"] == snippet["id"]
    assert answer["grounded"] is True
    _, bot, _ = await instance.call("GET", "/api/v1/bots/support", expect=200)
    assert (bot["knowledge_search_enabled"], bot["snippet_count"]) == (True, 1)


async def test_a_stream_says_the_same_in_pieces(instance: Instance) -> None:
    await instance.mint("support")
    await instance.teach("support", "Refunds", "Refunds take ten days after the return reached us. " * 5)

    _, text, response = await instance.call(
        "POST",
        "/api/v1/bots/support/chat",
        json={"message": "How long do refunds take?"},
        headers={"Accept": "text/event-stream"},
        expect=200,
    )

    assert response.headers["Content-Type"] == "text/event-stream"
    events = [dict(line.split(": ", 1) for line in block.split("\n")) for block in text.strip().split("\n\n")]
    assert [event["event"] for event in events] == ["start", *["delta"] * (len(events) - 2), "done"]
    done = orjson.loads(events[-1]["data"])
    assert "".join(orjson.loads(event["data"])["text"] for event in events[1:-1]) == done["reply"]
    assert [event["id"] for event in events] == [f"{done['message_id']}.{n}" for n in range(len(events))]


async def test_what_was_not_taught_is_not_known(instance: Instance) -> None:
    await instance.mint("support")
    await instance.teach("support", "Refunds", "Refunds take ten days after the return reached us.")

    _, answer, _ = await instance.call(
        "POST", "/api/v1/bots/support/chat", json={"message": "How many days has February?"}, expect=200
    )

    assert answer["reply"].startswith("I don't know")
    assert (answer["grounded"], answer["citations"], answer["finish_reason"]) == (False, [], "refused")


async def test_a_template_brings_what_it_knows(instance: Instance) -> None:
    _, bot, _ = await instance.call(
        "POST", "/api/v1/bots", json={"slug": "desk", "template": "customer-support"}, expect=201
    )

    assert bot["tier"] == "public"
    assert bot["snippet_count"] >= 8
    assert bot["knowledge_search_enabled"] is True


async def test_health_is_well(instance: Instance) -> None:
    _, body, _ = await instance.call("GET", "/api/v1/health", key="", expect=200)

    assert body["status"] == "ok"
    assert set(body["components"]) == {*(service.name for service in SERVICES), "db", "nats", "llm"}
