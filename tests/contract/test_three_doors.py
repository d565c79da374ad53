"""Three gateways before one auth: one admin whoever races, and what is revoked is refused at each of them within a second."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, Final

import pytest
import pytest_asyncio

from hivemind_client import ApiError, HivemindClient
from hivemind_common.testing.servers import Servers
from hivemind_gateway.identity import KEPT_SECONDS
from hivemind_gateway.service import GATEWAY
from tests.conftest import PASSWORD, Instance, Start

FULL: Final = bool(os.environ.get("HIVEMIND_FULL"))
ROUNDS: Final = 1_000 if FULL else 5
RACERS: Final = 50
EMAIL: Final = "Ada@example.org"


@pytest_asyncio.fixture
async def doors(start: Start, servers: Servers, database: str, owner: Any) -> AsyncIterator[tuple[Instance, ...]]:
    """Run an instance without an admin, with two more gateways."""
    await owner.execute("TRUNCATE bots.bot, auth.account, auth.sign_in_tries CASCADE")
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(start())
        others = []
        for _ in range(2):
            running = await stack.enter_async_context(GATEWAY.open(servers.environment(GATEWAY, database)))
            others.append(replace(first, url=f"http://127.0.0.1:{running.http_port}"))
        yield (first, *others)


async def test_of_fifty_racers_at_three_doors_one_is_the_admin(doors: tuple[Instance, ...], owner: Any) -> None:
    for turn in range(ROUNDS):
        await owner.execute("TRUNCATE auth.account CASCADE")

        async def race(number: int, turn: int = turn) -> int:
            door, username, email = doors[number % 3], f"racer{number}", f"r{turn}.{number}@example.org"
            if number % 5 == 0:
                return await by_client(door, username, email)
            form = {"username": username, "email": email, "password": PASSWORD}
            status, _, _ = await door.call("POST", "/auth/register", json=form, key="")
            return status

        statuses = await asyncio.gather(*(race(number) for number in random.Random(turn).sample(range(RACERS), RACERS)))

        assert sorted(statuses) == [201] + [409] * (RACERS - 1)
        assert await owner.fetchval("SELECT count(*) FROM auth.account") == 1
        assert await owner.fetchval("SELECT count(*) FROM auth.first_admin") == 1


async def by_client(door: Instance, username: str, email: str) -> int:
    """Register as `hm setup` does."""
    async with HivemindClient(door.url) as client:
        try:
            await client.register(username, email, PASSWORD)
        except ApiError as refusal:
            return refusal.status
    return 201


async def by_key(door: Instance, key: str) -> int:
    return (await door.call("GET", "/api/v1/bots", key=key))[0]


async def by_cookie(door: Instance, cookie: str) -> int:
    return (await door.call("GET", "/auth/me", key="", headers={"Cookie": cookie}))[0]


Ask = Callable[[Instance, str], Awaitable[int]]


async def keep_asking(
    doors: tuple[Instance, ...], ask: Ask, credential: str, act: Callable[[], Awaitable[Any]]
) -> None:
    """Ask at every door without a pause while `act` revokes; a second after it is done, each door refuses for good."""
    loop = asyncio.get_running_loop()
    revoked_at: float | None = None
    over = asyncio.Event()
    late: list[tuple[str, float]] = []

    async def ask_at(door: Instance) -> None:
        while not over.is_set():
            began = loop.time()
            status = await ask(door, credential)
            if revoked_at is not None and began > revoked_at + KEPT_SECONDS and status == 200:
                late.append((door.url, began - revoked_at))

    asking = [asyncio.create_task(ask_at(door)) for door in doors for _ in range(2)]
    await asyncio.sleep(0)
    await act()
    revoked_at = loop.time()
    while loop.time() < revoked_at + KEPT_SECONDS + 0.5:
        await asyncio.sleep(0.05)
    over.set()
    await asyncio.gather(*asking)
    assert late == []
    assert [await ask(door, credential) for door in doors] == [401] * len(doors)


async def sign_in(door: Instance) -> str:
    form = {"email": EMAIL, "password": PASSWORD}
    _, _, response = await door.call("POST", "/auth/login", json=form, key="", expect=200)
    return response.headers["Set-Cookie"].partition(";")[0]


# No hint is ever sent about any of this, so nothing here depends on one that arrives.


async def test_a_session_that_was_left_is_refused_at_each_door(doors: tuple[Instance, ...]) -> None:
    await doors[0].register()
    cookie = await sign_in(doors[1])

    async def act() -> None:
        await doors[0].call("POST", "/auth/logout", key="", headers={"Cookie": cookie}, expect=204)

    await keep_asking(doors, by_cookie, cookie, act)


async def test_a_session_that_was_ended_from_another_is_refused_at_each_door(doors: tuple[Instance, ...]) -> None:
    await doors[0].register()
    lost, mine = await sign_in(doors[1]), {"Cookie": await sign_in(doors[2])}
    _, page, _ = await doors[0].call("GET", "/api/v1/sessions", key="", headers=mine, expect=200)
    (other,) = [each["id"] for each in page["items"] if not each["current"]]

    async def act() -> None:
        await doors[2].call("DELETE", f"/api/v1/sessions/{other}", key="", headers=mine, expect=204)

    await keep_asking(doors, by_cookie, lost, act)
    assert [await by_cookie(door, mine["Cookie"]) for door in doors] == [200] * 3


async def test_a_new_password_ends_the_other_sessions_at_each_door(doors: tuple[Instance, ...]) -> None:
    await doors[0].register()
    lost, mine = await sign_in(doors[1]), {"Cookie": await sign_in(doors[2])}
    form = {"password": "another battery staple", "current_password": PASSWORD}

    async def act() -> None:
        await doors[0].call("PATCH", "/auth/me", json=form, key="", headers=mine, expect=200)

    await keep_asking(doors, by_cookie, lost, act)
    assert [await by_cookie(door, mine["Cookie"]) for door in doors] == [200] * 3


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE auth.account SET status = 'disabled'",
        "UPDATE auth.session SET expires_at = now()",
        "UPDATE auth.session SET last_seen_at = now() - interval '12 hours 1 second'",
        "DELETE FROM auth.session",
    ],
    ids=["disabled", "old", "idle", "deleted"],
)
async def test_a_session_that_is_over_is_refused_at_each_door(
    doors: tuple[Instance, ...], owner: Any, statement: str
) -> None:
    await doors[0].register()
    cookie = await sign_in(doors[1])

    async def act() -> None:
        await owner.execute(statement)

    await keep_asking(doors, by_cookie, cookie, act)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE auth.api_key SET revoked_at = now()",
        "UPDATE auth.account SET status = 'disabled'",
        "UPDATE auth.api_key SET expires_at = now()",
        "DELETE FROM auth.api_key",
    ],
    ids=["revoked", "disabled", "expired", "deleted"],
)
async def test_a_key_that_is_revoked_is_refused_at_each_door(
    doors: tuple[Instance, ...], owner: Any, statement: str
) -> None:
    key = await doors[0].register()

    async def act() -> None:
        await owner.execute(statement)

    await keep_asking(doors, by_key, key, act)


async def test_a_demotion_holds_at_each_door_within_a_second(doors: tuple[Instance, ...], owner: Any) -> None:
    key = await doors[0].register()
    loop = asyncio.get_running_loop()
    for door in doors:
        assert (await door.call("POST", "/api/v1/bots", key=key, json={"slug": "x"}))[0] == 422

    await owner.execute("UPDATE auth.account SET role = 'user'")
    demoted_at = loop.time()
    while loop.time() < demoted_at + KEPT_SECONDS:
        await asyncio.sleep(0.05)

    for door in doors:
        assert (await door.call("POST", "/api/v1/bots", key=key, json={"slug": "x"}))[0] == 403
