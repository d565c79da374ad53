"""Somebody who is no admin: sees the bots that talk to him, asks them, reads what they know, and changes nothing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import pytest
import pytest_asyncio

from hivemind_common.ids import new_id
from tests.conftest import Instance

KEY: Final = "hm_a-key-of-somebody-who-is-no-admin"
CARD: Final = {"slug", "name", "description", "tier", "status"}


@dataclass(frozen=True)
class Somebody:
    """An account of role `user`, with a key."""

    id: UUID
    instance: Instance

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        status, body, _ = await self.instance.call(method, path, key=KEY, **options)
        return status, body


@pytest_asyncio.fixture
async def bob(instance: Instance, owner: Any) -> Somebody:
    account, digest = new_id(), hashlib.sha256(KEY.encode()).digest()
    await owner.execute(
        "INSERT INTO auth.account (id, username, email, role, created_at)"
        " VALUES ($1, 'bob', 'bob@example.org', 'user', now())",
        account,
    )
    await owner.execute(
        "INSERT INTO auth.api_key (id, account_id, digest, prefix, name, created_at)"
        " VALUES ($1, $2, $3, 'hm_bob', 'bobs', now())",
        new_id(),
        account,
        digest,
    )
    await instance.mint("open", tier="public")
    await instance.mint("inside", tier="internal")
    await instance.mint("closed", tier="restricted")
    await instance.mint("his", tier="restricted", allowed_users=[str(account)])
    await instance.teach("inside", "Refunds", "Refunds take ten days after the return reached us.")
    await instance.teach("closed", "Salaries", "Salaries are paid on the last day of the month.")
    return Somebody(account, instance)


async def test_he_is_who_he_is(bob: Somebody) -> None:
    _, body = await bob.call("GET", "/auth/me", expect=200)

    assert (body["username"], body["role"], body["scopes"]) == ("bob", "user", ["chat", "bots:read", "knowledge:read"])


async def test_he_sees_the_bots_that_would_talk_to_him_and_of_them_a_card(bob: Somebody) -> None:
    _, body = await bob.call("GET", "/api/v1/bots", expect=200)

    assert [bot["slug"] for bot in body["items"]] == ["his", "inside", "open"]
    assert {frozenset(bot) for bot in body["items"]} == {frozenset(CARD)}
    assert set((await bob.call("GET", "/api/v1/bots/inside", expect=200))[1]) == CARD


async def test_pages_of_the_list_skip_what_he_may_not_see(bob: Somebody) -> None:
    seen = []
    path = "/api/v1/bots?limit=1"
    while path:
        _, page = await bob.call("GET", path, expect=200)
        seen += [bot["slug"] for bot in page["items"]]
        path = f"/api/v1/bots?limit=1&cursor={page['next']}" if page["next"] else ""

    assert seen == ["his", "inside", "open"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/v1/bots/{}", None),
        ("GET", "/api/v1/bots/{}/knowledge", None),
        ("GET", "/api/v1/bots/{}/knowledge/search?q=salaries", None),
        ("POST", "/api/v1/bots/{}/chat", {"message": "When are salaries paid?"}),
    ],
)
async def test_a_bot_that_would_not_talk_to_him_is_as_if_it_were_not_there(
    bob: Somebody, method: str, path: str, body: Any
) -> None:
    options = {} if body is None else {"json": body}
    closed = await bob.call(method, path.format("closed"), **options)
    nowhere = await bob.call(method, path.format("nowhere"), **options)

    assert closed[0] == nowhere[0] == 404
    assert closed[1]["code"] == "bot_not_found"
    for answer in (closed[1], nowhere[1]):
        del answer["request_id"]
    assert closed == nowhere


async def test_he_asks_and_reads(bob: Somebody) -> None:
    _, answer = await bob.call(
        "POST", "/api/v1/bots/inside/chat", json={"message": "How long do refunds take?"}, expect=200
    )
    _, found = await bob.call("GET", "/api/v1/bots/inside/knowledge/search?q=refunds", expect=200)
    _, listed = await bob.call("GET", "/api/v1/bots/inside/knowledge", expect=200)

    assert answer["grounded"]
    assert len(found["items"]) == len(listed["items"]) == 1
    assert (await bob.call("POST", "/api/v1/bots/his/chat", json={"message": "Hello?"}))[0] == 200


async def test_he_changes_nothing(bob: Somebody) -> None:
    _, listed = await bob.call("GET", "/api/v1/bots/inside/knowledge", expect=200)
    snippet = listed["items"][0]["id"]
    tries = [
        ("POST", "/api/v1/bots", {"slug": "bobs", "name": "Bob's", "system_prompt": "You help."}),
        ("POST", "/api/v1/bots/inside/knowledge", {"title": "A", "body": "B"}),
        ("DELETE", f"/api/v1/bots/inside/knowledge/{snippet}", None),
    ]

    for method, path, body in tries:
        status, told = await bob.call(method, path, **({} if body is None else {"json": body}))
        assert (status, told["code"]) == (403, "insufficient_scope"), path


async def test_what_he_said_to_a_bot_is_his(bob: Somebody) -> None:
    question = {"message": "How long do refunds take?"}
    _, answer = await bob.call("POST", "/api/v1/bots/inside/chat", json=question, expect=200)
    going_on = question | {"conversation_id": answer["conversation_id"]}

    assert (await bob.call("POST", "/api/v1/bots/inside/chat", json=going_on))[0] == 200
    status, told, _ = await bob.instance.call("POST", "/api/v1/bots/inside/chat", json=going_on)
    assert (status, told["code"]) == (404, "conversation_not_found"), "an admin neither"
