"""The index is a cache: whatever dies in the middle of writing, what was answered is found, as it was last, and no other."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from hivemind_common.testing.waiting import until
from tests.e2e.rig import HANGING, Rig, rig_on

pytestmark = [pytest.mark.processes, pytest.mark.asyncio]

KNOWLEDGE: Final = "/api/v1/bots/support/knowledge"
WRITERS: Final = 6
KILLS: Final = ("knowledge", "db", "knowledge")


class Writer:
    """Teaches, edits and deletes things of its own, and knows for sure what was answered."""

    def __init__(self, rig: Rig, number: int) -> None:
        self._rig = rig
        self._chance = random.Random(number)
        self._number = number
        self.known: dict[str, str] = {}
        """By id: the word that its snippet is found by."""
        self.doubtful: set[str] = set()
        """Words of acts that were refused or not answered: they may be done or not."""
        self.count = 0

    async def write(self) -> None:
        self.count += 1
        word = f"word{self._number}x{self.count}q"
        snippet = self._chance.choice([*self.known]) if self.known and self._chance.random() < 0.4 else None
        if snippet is None:
            status, answer = await self._try("POST", KNOWLEDGE, {"title": "T", "body": f"{word} is here."}, {word})
            if status == 201:
                self.known[answer["id"]] = word
        elif self._chance.random() < 0.5:
            old = self.known.pop(snippet)
            status, _ = await self._try("PATCH", f"{KNOWLEDGE}/{snippet}", {"body": f"{word} is here."}, {word, old})
            if status == 200:
                self.known[snippet] = word
        else:
            old = self.known.pop(snippet)
            await self._try("DELETE", f"{KNOWLEDGE}/{snippet}", None, {old})

    async def _try(self, method: str, path: str, body: Any, words: set[str]) -> tuple[int, Any]:
        try:
            more = {} if body is None else {"json": body}
            status, answer, _ = await self._rig.instance.call(method, path, timeout=HANGING, **more)
        except (aiohttp.ClientError, TimeoutError):
            status, answer = 0, None
        if status not in {200, 201, 204}:
            self.doubtful |= words
        return status, answer


async def test_after_kills_in_the_middle_of_writing_what_was_answered_is_found(open_folder: Path) -> None:
    async with rig_on(open_folder / "data", processes=True) as rig:
        writers = [Writer(rig, number) for number in range(WRITERS)]
        is_over = False

        async def go_on(writer: Writer) -> None:
            while not is_over:
                await writer.write()

        async with asyncio.TaskGroup() as group:
            for writer in writers:
                group.create_task(go_on(writer))
            for part in KILLS:
                before = sum(writer.count for writer in writers)

                async def has_gone_on(since: int = before) -> bool:
                    return sum(writer.count for writer in writers) >= since + 60

                await until(has_gone_on, limit=60, what="sixty more writes")
                os.kill(rig.pid_of(part), signal.SIGKILL)
                await until(rig.is_well, limit=30, what=f"{part} is back")
            is_over = True

        for writer in writers:
            assert writer.known
            found = {word: await _found(rig, word) for word in writer.known.values()}
            assert found == {word: [snippet] for snippet, word in writer.known.items()}
            for number in range(1, writer.count + 1):
                word = f"word{writer._number}x{number}q"
                if word not in found and word not in writer.doubtful:
                    assert await _found(rig, word) == [], f"{word} was deleted or edited away"


async def _found(rig: Rig, word: str) -> list[str]:
    _, answer, _ = await rig.instance.call("GET", f"{KNOWLEDGE}/search?q={word}", expect=200)
    return [hit["id"] for hit in answer["items"]]
