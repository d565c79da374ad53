"""SIGTERM under load: what was accepted is answered, and what was not answered was not done."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import Instance
from tests.running import up

pytestmark = [pytest.mark.processes, pytest.mark.asyncio]

CLIENTS = 16
ENOUGH = 200
"""Snippets that were added before the signal is sent."""


@pytest.mark.parametrize("more", [(), ("--processes",)], ids=["tasks", "processes"])
async def test_every_accepted_request_is_answered_and_no_other_was_done(open_folder: Path, more: Sequence[str]) -> None:
    folder = open_folder / f"drained{''.join(more)}"
    answered: set[str] = set()
    refused: list[object] = []
    enough = asyncio.Event()
    with up(folder, *more) as running:
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http:
            client = Instance(running.url, http, {})
            await client.register()
            await client.mint("support")

            async def keep_teaching(number: int) -> None:
                for turn in range(10_000):
                    title = f"{number}-{turn}"
                    try:
                        status, answer, _ = await client.call(
                            "POST", "/api/v1/bots/support/knowledge", json={"title": title, "body": "Something."}
                        )
                    except aiohttp.ClientConnectionError:
                        return  # the door is shut, or was shut before the request was read: it must not have been done
                    if status != 201:
                        refused.append(answer)
                        continue
                    answered.add(title)
                    if len(answered) >= ENOUGH:
                        enough.set()

            async with asyncio.timeout(120), asyncio.TaskGroup() as group:
                for number in range(CLIENTS):
                    group.create_task(keep_teaching(number))
                await enough.wait()
                running.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(running.process.wait, 30) == 0
    with up(folder) as running:
        kept = [title for (title,) in running.sql("SELECT title FROM knowledge.snippet")]
    assert refused == []
    assert len(kept) == len(set(kept))
    assert set(kept) == answered
