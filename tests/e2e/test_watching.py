"""What operators see of a run: one request id in every service's log, and no secret anywhere."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hivemind_common.testing.processes import command_line, family
from hivemind_common.testing.waiting import until, wait_until
from hivemind_server.services import SERVICES
from tests.conftest import Instance
from tests.running import Up, up

pytestmark = pytest.mark.processes

MODES = pytest.mark.parametrize("more", [(), ("--processes",)], ids=["tasks", "processes"])
NAMES = tuple(service.name for service in SERVICES)


@asynccontextmanager
async def client_of(running: Up, key: str = "") -> AsyncIterator[Instance]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield Instance(running.url, http, {}, key)


def lines_of(running: Up, service: str) -> list[dict[str, Any]]:
    file = running.folder / "logs" / f"{service}.log"
    return [json.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else []


@MODES
async def test_one_request_id_goes_through_every_service(open_folder: Path, more: Sequence[str]) -> None:
    with up(open_folder / f"ids{''.join(more)}", *more) as running:
        async with client_of(running) as client:
            await client.register()
            await client.mint("support")
            await client.teach("support", "Refunds", "Refunds take ten days after the return reached us.")
            asked = {"X-Request-Id": "test-123"}
            question = {"message": "How long do refunds take?"}
            _, _, response = await client.call(
                "POST", "/api/v1/bots/support/chat", json=question, headers=asked, expect=200
            )
        assert response.headers["X-Request-Id"] == "test-123"

        def events(service: str) -> list[str]:
            return [line["event"] for line in lines_of(running, service) if line.get("request_id") == "test-123"]

        def is_told(service: str, event: str) -> bool:
            return event in events(service)

        for service, event in (("gateway", "http.request"), ("bots", "chat.turn"), ("knowledge", "knowledge.searched")):
            wait_until(partial(is_told, service, event), limit=5, what=f"{event} of test-123")
        assert len(events("gateway")) == len(set(events("gateway")))
        for service in NAMES:
            for line in lines_of(running, service):
                assert line["service"] == service
                assert {"ts", "level", "event"} <= line.keys()


PASSWORD = "canary-of-the-password"
WRONG_PASSWORD = "canary-of-a-wrong-password"
CANARIES = {
    "password": PASSWORD,
    "wrong password": WRONG_PASSWORD,
    "wrong key": "hm_canaryofawrong_keyaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "admin key": "canary-of-the-admin-api-key",
    "setup token": "canary-of-the-setup-token-x",
    "metrics token": "canary-of-the-metrics-token",
    "database password": "canary-of-the-database-password",
    "model key": "canary-of-the-key-of-the-model",
    "prompt": "canary-of-the-prompt",
    "title": "canaryofthetitle",
    "snippet": "canaryofthesnippet",
    "question": "canaryofthequestion",
    "search": "canaryofthesearch",
    "broken body": "canary-of-a-broken-body",
    "unknown member": "canary_of_an_unknown_member",
    "header": "canary-of-a-header",
    "path": "canary-of-a-path",
}
"""Planted in a run. What a run makes itself (keys, cookies, passwords of services) is added to them."""

SETTINGS = {
    "HIVEMIND_LOG_LEVEL": "debug",
    "ADMIN_API_KEY": CANARIES["admin key"],
    "HIVEMIND_SETUP_TOKEN": CANARIES["setup token"],
    "HIVEMIND_METRICS_TOKEN": CANARIES["metrics token"],
    "DB_PASSWORD": CANARIES["database password"],
    "HIVEMIND_LLM_PROVIDER": "openai",
    "HIVEMIND_LLM_API_KEY": CANARIES["model key"],
    "HIVEMIND_LLM_MODEL": "any",
}


@MODES
async def test_no_secret_stands_in_logs_metrics_or_command_lines(open_folder: Path, more: Sequence[str]) -> None:
    canaries = dict(CANARIES)
    with up(open_folder / f"canaries{''.join(more)}", "--logs", *more, **SETTINGS) as running:
        async with client_of(running) as client:
            await use_everything(client, canaries)
            await misuse_everything(client)
            for part in ("nats", "postgres"):
                os.kill(running.told[part]["pid"], signal.SIGKILL)
                await use_while_it_is_away(client)
            metrics = b"".join([await read_metrics(client), *(await read_ops(running, client))])
        command_lines = b"\n".join(command_line(pid) for pid in family(running.process.pid))
        for secret in (running.folder / "secrets").iterdir():
            canaries[secret.name] = secret.read_text().strip()
    logs = dict(log_files(running))
    assert {f"{name}.log" for name in (*NAMES, "nats", "postgres")} <= logs.keys()
    assert b"chat.turn" in logs["bots.log"]
    places = {"metrics": metrics, "command lines": command_lines, **logs}
    found = [
        (name, place) for name, value in canaries.items() for place, text in places.items() if value.encode() in text
    ]
    assert found == []


async def use_everything(client: Instance, canaries: dict[str, str]) -> None:
    form = {"username": "ada", "email": "ada@example.org", "password": PASSWORD, "setup_token": CANARIES["setup token"]}
    _, account, _ = await client.call("POST", "/auth/register", json=form, key="", expect=201)
    client.key = canaries["key"] = account["api_key"]
    login = {"email": "ada@example.org", "password": PASSWORD}
    _, _, response = await client.call("POST", "/auth/login", json=login, key="", expect=200)
    cookie = response.cookies["hm_session"].value
    canaries["cookie"] = cookie
    await client.call("GET", "/auth/me", key="", headers={"Cookie": f"hm_session={cookie}"}, expect=200)
    await client.call("GET", "/auth/me", key="", headers=bearer("admin key"), expect=200)
    await client.mint("support", provider="quote", system_prompt=f"You help. {CANARIES['prompt']}")
    snippet = await client.teach("support", CANARIES["title"], f"Refunds take {CANARIES['snippet']} ten days.")
    path = "/api/v1/bots/support"
    await client.call("GET", f"{path}/knowledge/search?q={CANARIES['search']}", expect=200)
    await client.call("GET", f"{path}/knowledge/{snippet['id']}", expect=200)
    question = {"message": f"How long do refunds take? {CANARIES['question']}"}
    await client.call("POST", f"{path}/chat", json=question, expect=200)
    await client.call("POST", f"{path}/chat", json=question, headers={"Accept": "text/event-stream"}, expect=200)


async def misuse_everything(client: Instance) -> None:
    form = {"username": "eve", "email": "eve@example.org", "password": WRONG_PASSWORD}
    await client.call("POST", "/auth/register", json=form, key="", expect=409)
    for email in ("ada@example.org", "nobody@example.org"):
        await client.call("POST", "/auth/login", json={"email": email, "password": WRONG_PASSWORD}, key="", expect=401)
    await client.call("GET", "/auth/me", key=CANARIES["wrong key"], expect=401)
    await client.call("GET", "/auth/me", key="", headers=bearer("wrong key"), expect=401)
    await client.call("GET", "/auth/me", key="", headers={"Cookie": f"hm_session={CANARIES['wrong key']}"}, expect=401)
    broken: dict[str, Any] = {
        "data": f'{{"slug": "{CANARIES["broken body"]}"',
        "headers": {"Content-Type": "application/json"},
    }
    for path in ("/api/v1/bots", "/api/v1/bots/support/chat", "/api/v1/bots/support/knowledge", "/auth/login"):
        await client.call("POST", path, **broken, expect=400)
        await client.call("POST", path, json={CANARIES["unknown member"]: CANARIES["broken body"]}, expect=422)
    await client.call("POST", "/api/v1/bots", json=TWICE, expect=409)
    long = {"message": CANARIES["question"] * 1000}
    await client.call("POST", "/api/v1/bots/support/chat", json=long, expect=422)
    headers = {"X-Request-Id": f"{CANARIES['header']} with a blank"}
    await client.call("GET", f"/{CANARIES['path']}?key={CANARIES['wrong key']}", headers=headers, expect=404)
    await client.call("GET", f"/api/v1/bots/{CANARIES['path']}", headers=headers, expect=404)
    await client.call("GET", f"/api/v1/bots?{CANARIES['unknown member']}={CANARIES['search']}", expect=422)
    await client.call("POST", "/api/v1/bots", json=LLM, expect=201)
    await client.call("POST", "/api/v1/bots/llm/chat", json={"message": CANARIES["question"]}, expect=502)


async def use_while_it_is_away(client: Instance) -> None:
    """Ask until it is refused, if it is noticed at all, and then until it is answered again."""
    question = {"message": f"How long do refunds take? {CANARIES['question']}"}
    login = {"email": "ada@example.org", "password": PASSWORD}

    async def is_answered() -> bool:
        statuses = [
            (await client.call("POST", "/api/v1/bots/support/chat", json=question))[0],
            (await client.call("POST", "/auth/login", json=login, key=""))[0],
        ]
        assert set(statuses) <= {200, 503}
        return statuses == [200, 200]

    await until(is_answered, limit=20, what="everything answers again")


async def read_metrics(client: Instance) -> bytes:
    _, text, _ = await client.call("GET", "/metrics", key="", headers=bearer("metrics token"), expect=200)
    return str(text).encode()


async def read_ops(running: Up, client: Instance) -> list[bytes]:
    told: Mapping[str, Any] = running.told["services"]
    texts = []
    for each in told.values():
        async with client.http.get(f"{each['ops_url']}/metrics") as response:
            assert response.status == 200
            texts.append(await response.read())
    return texts


TWICE = {"slug": "support", "name": "Support", "system_prompt": CANARIES["prompt"]}
LLM = {"slug": "llm", "name": "LLM", "system_prompt": CANARIES["prompt"]}


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {CANARIES[name]}"}


def log_files(running: Up) -> Iterator[tuple[str, bytes]]:
    for file in (running.folder / "logs").iterdir():
        yield file.name, file.read_bytes()
    yield "console", running.console.read_bytes()
