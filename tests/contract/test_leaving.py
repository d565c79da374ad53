"""Whoever leaves stops the work that was only for them."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import aiohttp
import pytest

from hivemind_common.testing.waiting import until
from tests.conftest import Instance


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_a_turn_ends_when_the_client_hangs_up(instance: Instance, owner: Any, accept: str) -> None:
    await instance.mint("support")
    await instance.teach("support", "Refunds", "Refunds take ten days after the return reached us.")
    ops = f"http://127.0.0.1:{instance.running['bots'].ops_port}/metrics"

    async def turns(outcome: str) -> bool:
        async with instance.http.get(ops) as response:
            return f'hivemind_chat_turns_total{{bot="support",outcome="{outcome}"}} 1.0' in await response.text()

    async def is_searching() -> bool:
        return bool(await owner.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    async with owner.transaction():
        # The search of the turn waits for this lock, so that the turn is surely under way.
        await owner.execute("LOCK TABLE knowledge.snippet IN ACCESS EXCLUSIVE MODE")
        asking = asyncio.create_task(
            instance.call(
                "POST",
                "/api/v1/bots/support/chat",
                json={"message": "How long do refunds take?"},
                headers={"Accept": accept},
                timeout=aiohttp.ClientTimeout(total=30),
            )
        )
        await until(is_searching, limit=10, what="the turn waits for the search")
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await until(lambda: turns("cancelled"), limit=4, what="the turn is cancelled")

    _, answer, _ = await instance.call(
        "POST", "/api/v1/bots/support/chat", json={"message": "How long do refunds take?"}
    )
    assert answer["grounded"]


async def test_who_hangs_up_before_the_refusal_of_a_key_leaves_no_trace(
    instance: Instance, owner: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def is_waiting() -> bool:
        return bool(await owner.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    async with owner.transaction():
        await owner.execute("LOCK TABLE auth.api_key IN ACCESS EXCLUSIVE MODE")
        asking = asyncio.create_task(instance.call("GET", "/api/v1/bots", key="hm_a-key-that-nobody-has"))
        await until(is_waiting, limit=10, what="the key is looked up")
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    assert (await instance.call("GET", "/api/v1/bots", key="hm_a-key-that-nobody-has"))[0] == 401
    gc.collect()
    await asyncio.sleep(0)

    assert "never retrieved" not in caplog.text
