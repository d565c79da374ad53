"""Who shares an answer about a credential, and who asks anew."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from hivemind_common.bus import Call
from hivemind_common.contracts.auth import Identity
from hivemind_common.environment import Environment
from hivemind_common.principal import ANONYMOUS
from hivemind_gateway import identity
from hivemind_gateway.identity import Identities, sessions_of

IDENTITY = Identity(principal=ANONYMOUS, email="")


class SlowAuth:
    """Stands where auth is asked; answers when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = asyncio.Event()

    def as_service(self) -> SlowAuth:
        return self

    async def ask(self, _contract: object, _question: object) -> Identity:
        self.asked += 1
        await self.may_answer.wait()
        return IDENTITY


class Shown:
    """A request as far as credentials go."""

    def __init__(self, *headers: tuple[str, str]) -> None:
        self.headers = self
        self._headers = headers

    def getall(self, name: str, _default: object) -> list[str]:
        return [value for known, value in self._headers if known == name]


async def at_once(auth: SlowAuth, count: int) -> list[str]:
    identities = Identities(Environment())
    shown, call = cast("Any", Shown(("X-API-Key", "hm_some-key"))), cast("Call", auth)
    asking = []
    for _ in range(count):
        asking.append(asyncio.create_task(identities.identify(shown, call)))
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    auth.may_answer.set()
    return [(await each).by for each in asking]


async def test_of_many_at_once_one_asks() -> None:
    auth = SlowAuth()

    assert await at_once(auth, 20) == ["api_key"] * 20
    assert auth.asked == 1


async def test_who_comes_a_second_after_a_question_does_not_wait_for_its_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(identity, "KEPT_SECONDS", 0.0)
    auth = SlowAuth()

    assert await at_once(auth, 3) == ["api_key"] * 3
    assert auth.asked == 3


def test_of_the_cookies_of_our_name_a_few_are_looked_at() -> None:
    shown = Shown(("Cookie", "a=1; hm_session=x;hm_session= y ;hm_session="), ("Cookie", "hm_session=x; hm_session"))

    assert sessions_of(cast("Any", shown)) == ["x", "y"]
    many = Shown(("Cookie", "; ".join(f"hm_session={number}" for number in range(600))))
    assert sessions_of(cast("Any", many)) == ["0", "1", "2", "3"]
