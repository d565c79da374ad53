"""What looks like a secret is not taught to a bot, unless somebody says why; what looks ordinary is."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from typing import Any

import pytest

from hivemind_knowledge.secrets import FORMATS, MOST_FOUND, find_secrets
from tests.conftest import Instance
from tests.planted import Planted, ordinary, planted

KNOWLEDGE = "/api/v1/bots/desk/knowledge"
LEAST_FOUND = 0.95
MOST_FALSE = 0.005


@pytest.fixture
async def desk(instance: Instance) -> Instance:
    """An instance with a bot that was taught nothing."""
    await instance.mint("desk")
    return instance


def is_found(each: Planted) -> bool:
    return any(found.start < each.end and found.end > each.start for found in find_secrets(each.text))


def test_planted_secrets_are_found_where_they_stand() -> None:
    corpus = planted()
    missed = Counter(each.kind for each in corpus if not is_found(each))

    assert len({each.kind for each in corpus}) >= 25
    assert len(corpus) >= 150
    assert sum(missed.values()) <= (1 - LEAST_FOUND) * len(corpus), missed


def test_ordinary_texts_are_left_alone() -> None:
    texts = ordinary()
    alarms = [(text, find_secrets(text)) for text in texts if find_secrets(text)]

    assert len(texts) >= 250
    assert len(alarms) <= MOST_FALSE * len(texts), alarms


@pytest.mark.parametrize(
    "text",
    [
        "a" * 20000,
        "password: " * 2000,
        "eyJ" + "a" * 19997,
        "sk-" + "A" * 19000,
        "://" * 6000,
        "Bearer " * 2800,
        "-----BEGIN PRIVATE KEY-----" * 700,
        "A_" * 10000,
        "password is " * 1600,
        "(" * 20000,
        "x" * 20000 + "@",
    ],
)
async def test_no_text_takes_long(text: str) -> None:
    async with asyncio.timeout(5):
        await asyncio.to_thread(find_secrets, text)


def test_places_are_in_order_and_bounded() -> None:
    secret = planted()[0].secret
    found = find_secrets(f"{secret} " * 100)

    assert len(found) == MOST_FOUND
    assert all(one.end <= other.start for one, other in itertools.pairwise(found))
    assert len({kind for kind, _ in FORMATS}) >= 20


async def test_a_secret_is_refused_with_its_place_and_without_its_text(desk: Instance, owner: Any) -> None:
    each = planted()[0]
    draft = {"title": "Demo", "body": each.text}

    _, refusal, _ = await desk.call("POST", KNOWLEDGE, json=draft, expect=422)

    assert refusal["code"] == "looks_like_secret"
    assert refusal["errors"] == [
        {
            "path": "body",
            "code": "looks_like_secret",
            "message": "looks like a key of this server",
            "start": each.start,
            "end": each.end,
        }
    ]
    assert each.secret not in str(refusal)
    assert "allow_secret" in refusal["detail"]
    assert await owner.fetchval("SELECT count(*) FROM knowledge.snippet WHERE title = 'Demo'") == 0
    _, refusal, _ = await desk.call("POST", KNOWLEDGE, json={"title": each.secret, "body": "x"}, expect=422)
    assert refusal["errors"][0]["path"] == "title"


async def test_a_reason_lets_it_in_and_is_audited(desk: Instance, owner: Any) -> None:
    each = planted()[0]
    draft = {"title": "Demo", "body": each.text, "allow_secret": "a demo key, for everybody"}

    _, snippet, _ = await desk.call("POST", KNOWLEDGE, json=draft, expect=201)

    assert snippet["body"] == each.text
    assert "allow_secret" not in snippet
    said = "SELECT details - 'bot_id' FROM audit.entry WHERE target = $1 ORDER BY seq DESC LIMIT 1"
    kept = await owner.fetchval(said, snippet["id"])
    assert kept == '{"looks_like": ["a key of this server"], "allowed_secret": "a demo key, for everybody"}'
    # What is there already and stays as it is needs no reason again; what is new does.
    at = f"{KNOWLEDGE}/{snippet['id']}"
    await desk.call("PATCH", at, json={"tags": ["demo"]}, expect=200)
    _, refusal, _ = await desk.call("PATCH", at, json={"title": "Demo of keys"}, expect=422)
    assert refusal["code"] == "looks_like_secret"
    await desk.call("PATCH", at, json={"title": "Demo of keys", "allow_secret": "as before"}, expect=200)
    assert "as before" in await owner.fetchval(said, snippet["id"])


@pytest.mark.parametrize("reason", ["", " ", "x" * 201, 5])
async def test_a_reason_has_to_be_one(desk: Instance, reason: Any) -> None:
    draft = {"title": "Demo", "body": planted()[0].text, "allow_secret": reason}

    _, refusal, _ = await desk.call("POST", KNOWLEDGE, json=draft, expect=422)

    assert refusal["errors"][0]["path"] == "allow_secret"


async def test_a_reason_for_nothing_is_nothing(desk: Instance, owner: Any) -> None:
    snippet = await desk.teach("desk", "Refunds", "They take ten days.", allow_secret="to be sure")

    said = "SELECT details - 'bot_id' FROM audit.entry WHERE target = $1"
    assert await owner.fetchval(said, snippet["id"]) == "{}"
