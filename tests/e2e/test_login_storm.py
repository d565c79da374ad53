"""A storm of sign-ins at three gateways: it is refused, tells nothing, locks nobody out, and others go on."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, Final

import aiohttp
import pytest
import pytest_asyncio

from hivemind_common.contracts.auth import MOST_TRIES
from hivemind_common.testing.servers import Servers
from hivemind_gateway.service import GATEWAY
from tests.conftest import PASSWORD, Instance, Start

EMAIL: Final = "ada@example.org"
UNKNOWN: Final = "nobody@example.org"
STORM: Final = 200
ALLOWED: Final = {200, 401, 429, 503}
DIFFERENT_EACH_TIME: Final = {"Date", "X-Request-ID", "RateLimit-Reset", "Retry-After"}


@pytest_asyncio.fixture
async def doors(start: Start, servers: Servers, database: str, owner: Any) -> AsyncIterator[Sequence[Instance]]:
    """Run an instance with an admin and a bot, and two more gateways; no client is in the way of another."""
    await owner.execute("TRUNCATE bots.bot, auth.account, auth.sign_in_tries CASCADE")
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(start())
        first.http = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar())
        )
        await first.register()
        await first.mint("support")
        others = []
        for _ in range(2):
            running = await stack.enter_async_context(GATEWAY.open(servers.environment(GATEWAY, database)))
            others.append(replace(first, url=f"http://127.0.0.1:{running.http_port}"))
        yield (first, *others)


async def sign_in(door: Instance, email: str, password: str, address: str) -> tuple[int, Any, aiohttp.ClientResponse]:
    """Sign in from an address, as the proxy before the door tells it."""
    form = {"email": email, "password": password}
    return await door.call("POST", "/auth/login", json=form, key="", headers={"X-Forwarded-For": address})


async def until_let_in(door: Instance, address: str) -> None:
    """Sign in as the admin, and do as one is told: wait, and ask again."""
    async with asyncio.timeout(60):
        while True:
            status, body, response = await sign_in(door, EMAIL, PASSWORD, address)
            if status == 200:
                return
            assert status == 503, body
            await asyncio.sleep(int(response.headers["Retry-After"]))


@pytest.mark.parametrize("password", ["not the right one", PASSWORD])
async def test_two_hundred_at_once_are_judged_or_refused_and_others_go_on(
    doors: Sequence[Instance], password: str
) -> None:
    over = asyncio.Event()
    reads: list[int] = []

    async def keep_reading() -> None:
        for door in itertools.cycle(doors):
            reads.append((await door.call("GET", "/api/v1/bots/support"))[0])
            if over.is_set():
                return

    async with asyncio.TaskGroup() as group:
        group.create_task(keep_reading())
        storm = [
            group.create_task(sign_in(door, f"{number}@example.org" if number % 2 else EMAIL, password, "203.0.113.7"))
            for number, door in zip(range(STORM), itertools.cycle(doors), strict=False)
        ]
        # Its owner is elsewhere, and comes in while the storm is on.
        admin = group.create_task(until_let_in(doors[0], "198.51.100.20"))
        answers = Counter([(await each)[0] for each in storm])
        await admin
        over.set()

    assert answers.total() == STORM
    assert set(answers) <= ALLOWED
    assert answers[503], "the line is short"
    assert set(reads) == {200}
    assert len(reads) > len(doors)


async def test_whoever_guesses_elsewhere_locks_the_admin_out_nowhere_else(doors: Sequence[Instance]) -> None:
    async def guess(door: Instance) -> int:
        return (await sign_in(door, EMAIL, "not the right one", "203.0.113.7"))[0]

    tries = [await guess(door) for door, _ in zip(itertools.cycle(doors), range(MOST_TRIES + 3), strict=False)]

    assert tries == [401] * MOST_TRIES + [429] * 3, "three gateways count as one"
    assert (await sign_in(doors[1], EMAIL, PASSWORD, "203.0.113.200"))[0] == 429, "the right one neither, from there"
    assert (await sign_in(doors[2], EMAIL, PASSWORD, "198.51.100.20"))[0] == 200


async def test_known_and_unknown_addresses_are_answered_alike_to_the_last_try(doors: Sequence[Instance]) -> None:
    answers = [
        [told(await sign_in(doors[0], email, "not the right one", "203.0.113.7")) for email in (EMAIL, UNKNOWN)]
        for _ in range(MOST_TRIES + 1)
    ]

    assert [known for known, _ in answers] == [unknown for _, unknown in answers]
    assert [known[0] for known, _ in answers] == [401] * MOST_TRIES + [429]


def told(answer: tuple[int, Any, aiohttp.ClientResponse]) -> tuple[int, Any, dict[str, str]]:
    """Return what an answer says, but for what differs each time: the id, and how long ago the first try was."""
    status, body, response = answer
    body = {name: value for name, value in body.items() if name not in {"request_id", "reset_secs", "retry_after"}}
    return status, body, {name: value for name, value in response.headers.items() if name not in DIFFERENT_EACH_TIME}
