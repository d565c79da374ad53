"""The stock `nats` command sees the fleet. It leaves out answers that it finds wrong and exits 0: only its JSON counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hivemind_common.bus.permissions import OPERATOR, inbox_of
from hivemind_common.testing.nats_command import MissingToolError, build, nats_command
from hivemind_common.testing.servers import Servers
from hivemind_common.version import VERSION
from hivemind_server.services import SERVICES
from tests.conftest import Instance, Start

Micro = Callable[..., Awaitable[str]]

NAMES = sorted(service.name for service in SERVICES)
LIMIT = 30


@pytest.fixture
def micro(servers: Servers, tmp_path: Path) -> Micro:
    """Run `nats micro …` as the operator would, on what the machine's own settings have no part in."""
    try:
        command = nats_command()
    except MissingToolError as fault:
        pytest.skip(str(fault))

    async def run(*arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            command,
            *("--server", servers.nats.url),
            *("--user", OPERATOR, "--password", servers.password.get_secret_value()),
            *("--inbox-prefix", inbox_of(OPERATOR)),
            "micro",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"HOME": str(tmp_path)},
        )
        try:
            async with asyncio.timeout(LIMIT):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return output.decode()

    return run


async def test_every_service_is_listed_with_its_version(start: Start, micro: Micro) -> None:
    async with start():
        listed = json.loads(await micro("ls", "--json"))

    assert [(each["name"], each["version"]) for each in by_name(listed)] == [(name, VERSION) for name in NAMES]


async def test_each_service_is_described_by_what_it_answers(start: Start, micro: Micro) -> None:
    async with start():
        told = await asyncio.gather(*(micro("info", service.name, "--json") for service in SERVICES))

    for service, described in zip(SERVICES, (json.loads(each)["info"] for each in told), strict=True):
        assert described["type"] == "io.nats.micro.v1.info_response"
        assert {each["subject"]: each["queue_group"] for each in described["endpoints"]} == {
            f"hm.*.{contract.subject}": service.name for contract in service.serves
        }


async def test_each_instance_answers_a_ping(start: Start, micro: Micro) -> None:
    async with start(), start():
        listed, *told = await asyncio.gather(micro("ls", "--json"), *(micro("ping", name) for name in NAMES))

    for name, answers in zip(NAMES, told, strict=True):
        answered = [tuple(line.split()[:2]) for line in answers.splitlines() if line.strip()]
        assert sorted(answered) == sorted((name, each["id"]) for each in json.loads(listed) if each["name"] == name)
        assert len(set(answered)) == 2


async def test_stats_count_what_was_asked_and_what_was_refused(instance: Instance, micro: Micro) -> None:
    await instance.mint("helpdesk")
    for slug, status in (("helpdesk", 200), ("helpdesk", 200), ("nobody", 404)):
        await instance.call("GET", f"/api/v1/bots/{slug}", expect=status)

    (stats,) = json.loads(await micro("stats", "bots", "--json"))

    (shown,) = (each for each in stats["endpoints"] if each["name"] == "bot-get")
    assert (shown["num_requests"], shown["num_errors"], shown["last_error"]) == (3, 1, "bot_not_found")
    assert shown["average_processing_time"] == shown["processing_time"] // 3 > 0


async def test_each_service_tells_its_stats(start: Start, micro: Micro) -> None:
    async with start():
        told = await asyncio.gather(*(micro("stats", service.name, "--json") for service in SERVICES))

    for service, (stats,) in zip(SERVICES, map(json.loads, told), strict=True):
        assert stats["type"] == "io.nats.micro.v1.stats_response"
        assert len(stats["endpoints"]) == len(service.serves)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (None, "neither is go"),
        ("echo one; echo module not to be had; exit 1", "could not be built: module not to be had"),
    ],
)
def test_where_it_cannot_be_built_it_is_said_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, reason: str
) -> None:
    if script is not None:
        (tmp_path / "go").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "go").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    assert build()

    with pytest.raises(MissingToolError, match=reason):
        nats_command()


def by_name(listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(listed, key=lambda each: str(each["name"]))
