"""A part that hangs is worse than one that is dead: it is named all the same, and wakes without doing what was refused."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import aiohttp
import asyncpg
import pytest
import pytest_asyncio

from hivemind_common.testing.processes import family
from hivemind_common.testing.waiting import until
from tests.conftest import PASSWORD
from tests.e2e.rig import HANGING, Rig, rig_on

pytestmark = [pytest.mark.processes, pytest.mark.asyncio(loop_scope="module")]

BACK_WITHIN: Final = 10
PATIENT: Final = aiohttp.ClientTimeout(total=20)
"""Longer than the longest pause and a question after it."""

PARTS: Final = ("auth", "bots", "knowledge", "nats", "db")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(open_folder: Path) -> AsyncIterator[Rig]:
    async with rig_on(open_folder / "frozen", processes=True) as running:
        yield running


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stop a process and its children where they stand; they go on when the block is left."""
    stopped = {pid}
    os.kill(pid, signal.SIGSTOP)
    try:
        # Who is stopped makes no more children; those that there are may still end.
        stopped |= set(family(pid))
        for each in stopped:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGSTOP)
        yield
    finally:
        for each in stopped:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGCONT)


async def write(rig: Rig, part: str, number: int) -> tuple[int, str]:
    """Ask for something that cannot be done without the part; returns the status and who is named."""
    path, body = "/api/v1/bots", {"slug": f"late-{part}-{number}", "name": "Late", "system_prompt": "You are late."}
    if part == "knowledge":
        path, body = "/api/v1/bots/support/knowledge", {"title": f"late {number}", "body": "Too late."}
    if part == "auth":
        path, body = "/auth/login", {"email": "ada@example.org", "password": PASSWORD}
    status, answer, _ = await rig.instance.call("POST", path, json=body, timeout=HANGING)
    return status, answer.get("service", "")


async def kept(rig: Rig) -> set[str]:
    """Read all that such requests leave behind."""
    connection = await asyncpg.connect(rig.fleet.owner_dsn.get_secret_value())
    try:
        rows = await connection.fetch(
            "SELECT slug FROM bots.bot UNION ALL SELECT title FROM knowledge.snippet"
            " UNION ALL SELECT id::text FROM auth.session"
        )
    finally:
        await connection.close()
    return {row["slug"] for row in rows}


@pytest.mark.parametrize("part", PARTS)
async def test_what_is_refused_while_a_part_hangs_is_not_done_when_it_wakes(rig: Rig, part: str) -> None:
    before = await kept(rig)

    with frozen(rig.pid_of(part)):
        refused = await asyncio.gather(*(write(rig, part, number) for number in range(3)))
        report = await rig.health()

    assert refused == [(503, part)] * 3
    assert report["components"][part]["status"] == "down", report
    await until(rig.is_well, limit=BACK_WITHIN, what=f"{part} is awake")
    assert await kept(rig) == before


@pytest.mark.parametrize(("part", "seconds"), [("nats", 1.5), ("nats", 4.3), ("gateway", 6.0), ("bots", 4.6)])
async def test_whatever_the_length_of_a_pause_what_is_refused_was_not_done(rig: Rig, part: str, seconds: float) -> None:
    await until(rig.is_well, limit=BACK_WITHIN, what="all is well before it")
    slugs = [f"paused-{part}-{int(seconds * 10)}-{number}" for number in range(10)]

    async def mint(slug: str) -> tuple[str, int, str]:
        draft = {"slug": slug, "name": "Paused", "system_prompt": "You wait."}
        status, answer, _ = await rig.instance.call("POST", "/api/v1/bots", json=draft, timeout=PATIENT)
        return slug, status, answer.get("service", "")

    minting = [asyncio.create_task(mint(slug)) for slug in slugs]
    await asyncio.sleep(0)
    with frozen(rig.pid_of(part)):
        await asyncio.sleep(seconds)  # the length of the pause is what is tried
    answers = await asyncio.gather(*minting)

    await until(rig.is_well, limit=BACK_WITHIN, what=f"{part} is awake")
    done = {slug for slug in await kept(rig) if slug in slugs}
    assert {slug for slug, status, _ in answers if status == 201} == done, answers
    assert {name for _, status, name in answers if status == 503} <= {part}
