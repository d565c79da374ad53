from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from hivemind_auth.passwords import MOST_WAITING, THREADS, Passwords
from hivemind_common.contracts.auth import BusyError


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    opened = Passwords()
    yield opened
    opened.close()


async def test_only_the_right_secret_is_verified(passwords: Passwords) -> None:
    with passwords.line() as hashing:
        stored = await hashing.hash("secret")

        assert stored.startswith("$argon2id$v=19$m=47104,t=1,p=1$")
        assert await hashing.verify(stored, "secret")
        assert not await hashing.verify(stored, "Secret")
        assert not await hashing.verify(None, "nobody")
        assert not await hashing.verify("not a hash", "secret")


async def test_who_would_stand_behind_the_line_is_told_to_come_again(passwords: Passwords) -> None:
    async def hash_in_line() -> str:
        with passwords.line() as hashing:
            return await hashing.hash("x")

    tries = await asyncio.gather(*(hash_in_line() for _ in range(100)), return_exceptions=True)

    refused = [each for each in tries if isinstance(each, BusyError)]
    assert len(tries) - len(refused) == MOST_WAITING + THREADS
    assert all(refusal.retry_after for refusal in refused)
    assert await hash_in_line()
