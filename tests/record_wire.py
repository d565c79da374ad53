"""`python -m tests.record_wire COMMIT`: make a state of the code the previous one, and record what its services say.

What is kept: the messages of a walk, random ones beside them, and the schemas that were committed at that state. Only
that state's code runs, on a database that it has migrated; today's are the walk that is taken, and what writes it down.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson

from hivemind_common.embedded.account import embedded_account
from hivemind_common.embedded.nats import EmbeddedNats, NatsUser
from hivemind_common.embedded.postgres import OWNER, EmbeddedPostgres
from hivemind_common.schema.runner import LOGIN_ROLES
from hivemind_common.secrets import SecretStr
from hivemind_common.testing.plugin import ANYONE
from hivemind_common.testing.recording import Recorded, connected_as, exchanges_of, put, recording, to_lines
from hivemind_common.testing.servers import Servers
from hivemind_common.testing.waiting import until
from hivemind_server.services import SERVICES
from tests.conftest import Instance
from tests.previous import ROOT, STATE, Previous, folder_of, member_of, previous_sources
from tests.walk import NOBODY, VARIABLES, walk

PASSWORD: Final = SecretStr("a-password-for-the-recording-only")
SAMPLES: Final = Path(__file__).with_name("sample_messages.py")
DRAIN: Final = timedelta(seconds=10)
TOLD_WITHIN: Final = 10

MORE: Final[Mapping[str, Mapping[str, Any]]] = {
    "auth.v1.admin.register": {},
    **{
        contract: {"bot_id": str(NOBODY)}
        for contract in (
            "knowledge.v1.snippet.add",
            *(f"bots.v1.prompt.{verb}" for verb in ("get", "pin", "save")),
            "bots.v1.golden-question.add",
        )
    },
}
"""Asked once more at the end, with members changed so: refusals that only a race brings about at the door."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.record_wire", description=__doc__)
    parser.add_argument("commit", help="the state that is the previous one from now on")
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--verify", f"{parser.parse_args().commit}^{{commit}}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    with previous_sources(commit) as previous, tempfile.TemporaryDirectory(prefix="hivemind-record-") as name:
        Path(name).chmod(0o711)
        messages = asyncio.run(record(previous, Path(name)))
        keep(previous, messages)


async def record(previous: Previous, folder: Path) -> list[Recorded]:
    """Take the walk, and return what crossed the bus meanwhile."""
    account = embedded_account()
    postgres = EmbeddedPostgres(folder / "postgres", password=PASSWORD, account=account, durable=False)
    users = {name: NatsUser(PASSWORD) for name in (ANYONE, *(service.name for service in SERVICES))}
    nats = EmbeddedNats(folder / "nats", users=users, account=account)
    async with AsyncExitStack() as stack:
        for server in (postgres, nats):
            stack.push_async_callback(server.stop)
            await server.start()
        servers = Servers(postgres, nats, PASSWORD)
        passwords = folder / "passwords"
        passwords.mkdir()
        for role in LOGIN_ROLES:
            (passwords / role).write_text(PASSWORD.get_secret_value(), encoding="utf-8")
        previous.migrate(servers.dsn(OWNER, OWNER), passwords)
        messages = await stack.enter_async_context(recording(nats.url_for(ANYONE)))
        running = {}
        for service in SERVICES:
            environment = servers.environment(service, OWNER, **VARIABLES)
            member = member_of(service, environment, folder, [], python=previous.python)
            stack.push_async_callback(member.stop, DRAIN)
            await member.start()
            running[service.name] = member.running
        http = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        await walk(Instance(f"http://127.0.0.1:{running['gateway'].http_port}", http, running), previous.schemas)

        async def is_whole() -> bool:
            return all(exchange.is_whole for exchange in exchanges_of(messages))

        await until(is_whole, limit=TOLD_WITHIN, what="every question of the walk has its answer")
        await ask_more(servers, messages)
        await until(is_whole, limit=TOLD_WITHIN, what="every question has its answer")
    return messages


async def ask_more(servers: Servers, messages: list[Recorded]) -> None:
    """Ask what no walk asks, in words that were recorded."""
    answered = {each.contract: each for each in exchanges_of(messages) if each.refusal is None}
    for contract, changes in MORE.items():
        exchange = answered[contract]
        line, _, body = exchange.question.data.partition("\n")
        changed = orjson.dumps(orjson.loads(body) | changes).decode()
        async with connected_as(servers.nats.url_for(exchange.caller), exchange.caller) as connection:
            await put(connection, exchange.question.subject, f"{line}\n{changed}")


def keep(previous: Previous, messages: list[Recorded]) -> None:
    """Put the recording where the tests find it, in place of the one before, and name the state."""
    folder = folder_of(previous.commit)
    shutil.rmtree(folder.parent, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "messages.jsonl").write_text(to_lines(messages), encoding="utf-8")
    (folder / "samples.jsonl").write_bytes(
        subprocess.run([*previous.python, str(SAMPLES)], check=True, capture_output=True).stdout
    )
    lines = (f"{json.dumps(subject)}: {json.dumps(json.loads(text))}" for subject, text in previous.schemas.items())
    (folder / "schemas.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    text = STATE.read_text(encoding="utf-8")
    STATE.write_text(re.sub(r'^commit = ".*"$', f'commit = "{previous.commit}"', text, flags=re.MULTILINE), "utf-8")


if __name__ == "__main__":
    main()
