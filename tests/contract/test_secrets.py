"""A hundred planted secrets run through all there is, and are nowhere where they must not be: data/secrets has both."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import asyncpg
import nats
import pytest
import pytest_asyncio
from nats.aio.msg import Msg
from yarl import URL

from hivemind_common.testing.processes import command_line, family
from hivemind_common.testing.waiting import until
from hivemind_gateway.service import ROUTES
from hivemind_server.settings import without_ours
from tests.contract import listened
from tests.contract.canaries import SECRETS, Canary, Evidence, forms, judged, matrix, places, planted
from tests.running import Up, up

pytestmark = [pytest.mark.processes, pytest.mark.asyncio(loop_scope="module")]

COMMAND: Final = (sys.executable, "-P", listened.__file__)
EMAIL: Final = "ada@example.org"
BROKEN: Final = "what a rule of the database refuses"
AWAY: Final = ("auth", "bots", "knowledge", "nats", "postgres")
LIMIT: Final = aiohttp.ClientTimeout(total=20)
HANGING: Final = aiohttp.ClientTimeout(total=7)
"""Longer than a question waits that is no chat, so that its refusal is seen."""

TEXT_MEMBERS: Final = ("email", "password", "current_password", "setup_token", "username", "totp", "message", "text")

RULES: Final = (
    # The detail of these refusals holds the row.
    f"ALTER TABLE bots.bot ADD CONSTRAINT planted CHECK (name <> '{BROKEN}')",
    f"ALTER TABLE bots.message ADD CONSTRAINT planted CHECK (text NOT LIKE '%{BROKEN}%')",
    f"ALTER TABLE auth.session ADD CONSTRAINT planted CHECK (user_agent <> '{BROKEN}')",
    # And here the text itself does.
    f"""
    CREATE FUNCTION public.planted() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN IF NEW.title = '{BROKEN}' THEN RAISE EXCEPTION 'no: %', NEW; END IF; RETURN NEW; END $$
    """,
    "CREATE TRIGGER planted BEFORE INSERT ON knowledge.snippet FOR EACH ROW EXECUTE FUNCTION public.planted()",
)


@dataclass
class Stage:
    """A running instance, what is planted there, and all that is seen of it."""

    running: Up
    http: aiohttp.ClientSession
    evidence: Evidence = field(default_factory=Evidence)
    canaries: list[Canary] = field(default_factory=planted)
    key: str = ""

    def of(self, kind: str) -> list[str]:
        return [canary.value for canary in self.canaries if canary.kind == kind]

    @property
    def everything(self) -> list[Canary]:
        """The planted, and what the instance has made for itself."""
        own = [Canary("made", self.key)] if self.key else []
        for file in (self.running.folder / "secrets").iterdir():
            secret = file.read_text().strip()
            # A file for a service holds what is planted, or an address around one of the others.
            if "." not in file.name and "://" not in secret:
                own.append(Canary("made", secret, file.name))
        return self.canaries + [each for each in own if each.value not in {canary.value for canary in self.canaries}]

    async def ask(self, method: str, path: str, *, key: str | None = None, **options: Any) -> tuple[int, bytes]:
        """Ask, and keep the answer: head and body."""
        status, head, body, place = await self._ask(method, path, key, **options)
        self.evidence.add(place, place, head + b"\r\n\r\n" + body)
        return status, body

    async def open(self, path: str, form: dict[str, str]) -> tuple[dict[str, Any], str]:
        """Ask for what is told once, to its owner; returns the body and the cookie."""
        status, head, body, _ = await self._ask("POST", path, "", json=form)
        assert status < 300, body
        assert form["password"].encode() not in body
        cookie = head.partition(b"hm_session=")[2].partition(b";")[0].decode()
        return json.loads(body), cookie

    async def _ask(self, method: str, path: str, key: str | None, **options: Any) -> tuple[int, bytes, bytes, str]:
        headers = dict(options.pop("headers", {}))
        use = self.key if key is None else key
        if use:
            headers.setdefault("X-API-Key", use)
        url = URL(f"{self.running.url}{path}", encoded=True)
        options.setdefault("timeout", LIMIT)
        async with self.http.request(method, url, headers=headers, **options) as response:
            body = await response.read()
            # Some of what is planted opens the door of its owner, wherever it is sent as what it is.
            shown = " ".join(headers.get(name, "") for name in ("X-API-Key", "Cookie"))
            is_known = any(each in shown for each in (self.key, *self.of("key"), *self.of("token")) if each)
            place = "refusals" if response.status >= 400 else "answers" if is_known else "strangers"
            # Of what differs each time there would be too much to keep.
            fields = (
                (name, value)
                for name, value in response.headers.items()
                if name.lower() not in {"date", "x-request-id"}
            )
            head = "\r\n".join(f"{name}: {value}" for name, value in fields)
            return response.status, head.encode(errors="surrogateescape"), body, place

    async def try_to(self, method: str, path: str, **options: Any) -> int:
        """Ask while something may be away; 0 where the door hangs up on what is no request."""
        try:
            return (await self.ask(method, path, **options))[0]
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return 0  # also what the client itself will not send

    def hm(self, *arguments: str, given: str = "", **variables: str) -> int:
        """Run `hm` as a person would, and keep what it prints."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "hivemind_client", *arguments],
            env=without_ours()
            | {"XDG_CONFIG_HOME": str(self.config), "HIVEMIND_URL": self.running.url, "NO_COLOR": "1"}
            | variables,
            input=given.encode(),
            capture_output=True,
            check=False,
        )
        self.evidence.add("hm", "hm " + " ".join(arguments[:2]), done.stdout + b"\n" + done.stderr)
        return done.returncode

    @property
    def config(self) -> Path:
        return self.running.folder.with_name("config")

    async def connect(self) -> Any:
        """Connect to the database as its owner."""
        dsn = (self.running.folder / "secrets" / "ops_dsn").read_text().strip()
        return await asyncpg.connect(dsn)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    """A whole run with everything planted, ended by faults of every part; what comes after only looks."""
    with tempfile.TemporaryDirectory(prefix="hivemind-secrets-") as name:
        Path(name).chmod(0o711)
        settings = {canary.name: canary.value for canary in planted() if canary.name}
        with up(
            Path(name) / "data",
            "--processes",
            command=COMMAND,
            HIVEMIND_LOG_LEVEL="debug",
            HIVEMIND_LLM_PROVIDER="openai-compat",
            HIVEMIND_LLM_ENDPOINT="http://127.0.0.1:9/v1",
            HIVEMIND_LLM_MODEL="away",
            HIVEMIND_LLM_LOCAL="false",
            **settings,
        ) as running:
            async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
                stage = Stage(running, http)
                async with listening(stage):
                    await live(stage)
                    await be_refused(stage)
                    await break_rules(stage)
                    await lose_parts(stage)
                await look(stage)
                yield stage


@contextlib.asynccontextmanager
async def listening(stage: Stage) -> AsyncIterator[None]:
    """Hear every message, over the ends of the server too."""
    password = (stage.running.folder / "secrets" / f"nats_{listened.LISTENER}").read_text().strip()

    async def hear(message: Msg) -> None:
        head = "\r\n".join(f"{name}: {value}" for name, value in (message.headers or {}).items())
        stage.evidence.add("bus", "bus", f"{message.subject}\r\n{head}\r\n\r\n".encode() + message.data)

    async def pass_over(_fault: Exception) -> None:
        """Its connection is lost on purpose."""

    client = await nats.connect(
        stage.running.told["nats"]["url"],
        user=listened.LISTENER,
        password=password,
        reconnect_time_wait=0.05,
        max_reconnect_attempts=-1,
        error_cb=pass_over,
    )
    try:
        await client.subscribe(">", cb=hear)
        await client.flush()
        yield
        await client.flush()
    finally:
        await client.close()


# What goes well


async def live(stage: Stage) -> None:
    """Set, store and use every planted value where it belongs."""
    first, second, *_ = stage.of("password")
    form = {"username": "ada", "email": EMAIL, "password": first, "setup_token": stage.of("setting")[2]}
    admin, _ = await stage.open("/auth/register", form)
    stage.key = admin["api_key"]
    session = await signed_in(stage, first)
    change = {"password": second, "current_password": first}
    assert (await stage.ask("PATCH", "/auth/me", key="", headers=session, json=change))[0] == 200
    session = await signed_in(stage, second)
    assert (await stage.ask("GET", "/api/v1/sessions", key="", headers=session))[0] == 200
    assert (await stage.ask("POST", "/auth/logout", key="", headers=session))[0] == 204
    owner = await stage.connect()
    try:
        for key in stage.of("key"):
            await owner.execute("UPDATE users SET api_key = $1 WHERE username = 'ada'", key)
            assert (await stage.ask("GET", "/auth/me", headers={"X-API-Key": key}, key=""))[0] == 200
    finally:
        await owner.close()
    glass = {"Authorization": f"Bearer {stage.of('setting')[0]}"}
    assert (await stage.ask("GET", "/auth/me", key="", headers=glass))[0] == 200
    metrics = {"Authorization": f"Bearer {stage.of('setting')[3]}"}
    assert (await stage.ask("GET", "/metrics", key="", headers=metrics))[0] == 200
    for number, (prompt, snippet, question) in enumerate(
        zip(stage.of("prompt"), stage.of("snippet"), stage.of("question"), strict=True)
    ):
        bot = {"slug": f"bot-{number}", "name": "Desk", "system_prompt": prompt, "provider": "quote"}
        assert (await stage.ask("POST", "/api/v1/bots", json=bot))[0] == 201
        path = f"/api/v1/bots/bot-{number}"
        draft = {"title": "Desk", "body": snippet}
        assert (await stage.ask("POST", f"{path}/knowledge", json=draft))[0] == 201
        for accept in ("application/json", "text/event-stream"):
            chat = await stage.ask("POST", f"{path}/chat", json={"message": question}, headers={"Accept": accept})
            assert chat[0] == 200
        for way in ("", "/knowledge", f"/knowledge/search?q={quote(question, safe='')}"):
            assert (await stage.ask("GET", path + way))[0] == 200
    taught = (await stage.ask("GET", "/api/v1/bots/bot-0/knowledge"))[1]
    await asyncio.to_thread(use_hm, stage, json.loads(taught)["items"][0]["id"])
    look_at_processes(stage)


async def signed_in(stage: Stage, password: str) -> dict[str, str]:
    """Sign in; the token is one more secret, which its own answer alone may hold."""
    _, cookie = await stage.open("/auth/login", {"email": EMAIL, "password": password})
    stage.canaries.append(Canary("token", cookie))
    return {"Cookie": f"hm_session={cookie}"}


def use_hm(stage: Stage, snippet: str) -> None:
    """Everything that `hm` does with a secret, well and badly."""
    key, password = stage.of("key")[-1], stage.of("password")[1]
    assert stage.hm("login", "--key-stdin", given=stage.key) == 0
    assert stage.hm("whoami") == 0
    for option in ((), ("--json",)):
        assert stage.hm("bot", "show", "bot-0", *option) == 0
        assert stage.hm("knowledge", "show", "bot-0", snippet, *option) == 0
        assert stage.hm("login", "--key-stdin", *option, given=stage.of("token")[0]) == 4
        assert stage.hm("login", "--email", EMAIL, "--password-stdin", *option, given=stage.of("password")[2]) == 4
        assert stage.hm("bot", "list", *option, HIVEMIND_API_KEY=stage.of("token")[1]) == 4
        assert stage.hm("health", *option, HIVEMIND_URL="http://127.0.0.1:9", HIVEMIND_API_KEY=key) != 0
        assert stage.hm("bot", "create", "x", "--name", "x", "--prompt-file", "-", *option, given="") != 0
    assert stage.hm("login", "--email", EMAIL, "--password-stdin", given=password) == 0
    assert stage.hm("session", "list") == 0
    token = next(line for line in (stage.config / "hivemind" / "session").read_text().split() if len(line) >= 43)
    stage.canaries.append(Canary("token", token[-43:]))


# What is refused


def ways_of(secret: str) -> Iterator[dict[str, Any]]:
    """Yield every way in which somebody may send a secret where it does not belong."""
    in_path = quote(secret, safe="")
    members = dict.fromkeys(TEXT_MEMBERS, secret)
    text = json.dumps(members)
    as_json = {"Content-Type": "application/json"}
    yield {"key": "", "headers": {"X-API-Key": secret}}
    yield {"key": "", "headers": {"Authorization": f"Bearer {secret}"}}
    yield {"key": "", "headers": {"Authorization": aiohttp.encode_basic_auth(EMAIL, secret, "utf-8")}}
    yield {"key": "", "headers": {"Cookie": f"hm_session={in_path}"}}
    yield {"key": "", "headers": {"Cookie": f'hm_session="{secret}"; other={in_path}'}}
    yield {"key": "", "json": members}
    yield {"place": in_path}
    yield {"query": f"?q={in_path}&limit={in_path}&tier={in_path}"}
    yield {"query": f"?cursor={in_path}&limit=5"}
    yield {"json": members}
    yield {"json": {name: [secret] for name in members}}
    yield {"json": {name: {"value": secret} for name in members}}
    yield {"json": secret}
    yield {"json": [members] * 3}
    yield {"json": {"email": secret, "password": 5}}
    yield {"json": {"email": EMAIL, "password": secret, "totp": 5}}
    yield {"json": {"slug": secret, "name": secret, "system_prompt": [secret], "tier": secret, "template": secret}}
    yield {"json": {"title": secret, "body": secret * 900, "tags": [secret, 5], "source": {"x": secret}}}
    yield {"json": {"message": secret, "conversation_id": secret}}
    yield {"data": text[:-9].encode(), "headers": as_json}
    yield {"data": (text[:-1] + f', "password": {json.dumps(secret)}}}').encode(), "headers": as_json}
    yield {"data": text.encode("utf-16"), "headers": as_json}
    yield {"data": text.encode() + b"\xff", "headers": as_json}
    yield {"data": text.replace("}", ', "n": NaN}').encode(), "headers": as_json}
    yield {"data": ("[" * 80 + json.dumps(secret) + "]" * 80).encode(), "headers": as_json}
    yield {"data": members}
    yield {"data": text.encode(), "headers": {"Content-Type": f"text/{in_path}"}}
    yield {"data": json.dumps(secret * 30_000).encode(), "headers": as_json}
    yield {"headers": {"Accept": in_path, "If-Match": in_path, "Idempotency-Key": in_path, "Referer": in_path}}
    yield {"headers": {"Origin": f"https://{in_path}", "X-Forwarded-For": in_path, "X-Forwarded-Host": in_path}}
    yield {"headers": {"Host": in_path, "Forwarded": f"for={in_path}", "Expect": in_path}}


def mistyped(secret: str) -> Iterator[dict[str, Any]]:
    """Yield a password in the place of what is no secret."""
    yield {"key": "", "json": {"email": secret, "password": "x"}}
    yield {"json": {"email": EMAIL, "password": "x", secret: secret}}
    yield {"query": f"?{quote(secret, safe='')}=5"}


async def be_refused(stage: Stage) -> None:
    """Send every secret, and whatever people write, to every route, each time in another way."""
    for number, canary in enumerate([*stage.canaries]):
        ways = list((mistyped if canary.kind == "mistyped" else ways_of)(canary.value))
        each_way = 1 if canary.kind == "mistyped" else len(ways)
        sent = [
            send(stage, route.method, route.path, way)
            for place, route in enumerate(ROUTES)
            for way in ways[(number * 7 + place) % each_way :: each_way]
        ]
        await asyncio.gather(*sent, send_raw(stage, canary.value))


async def send(stage: Stage, method: str, path: str, way: dict[str, Any]) -> None:
    """Send one request in one way."""
    way = dict(way)
    place, query = way.pop("place", None), way.pop("query", "")
    for name, usual in (("{slug}", "bot-1"), ("{id}", "01900000-0000-7000-8000-000000000000")):
        path = path.replace(name, place or usual)
    await stage.try_to(method, path.replace("{chapter}", place or "x").replace("{name}", place or "x") + query, **way)


async def send_raw(stage: Stage, secret: str) -> None:
    """Send what is no request at all."""
    url = URL(stage.running.url)
    raw = secret.encode()
    for data in (
        raw + b" / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /" + raw + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + raw + b"\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-API-Key: " + raw + b"\x00\r\n\r\n",
        b"GET /livez HTTP/" + raw + b"\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(data)
        writer.write_eof()
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(20):
                stage.evidence.add("refusals", "refusals", await reader.read())
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def break_rules(stage: Stage) -> None:
    """Bring about faults that nobody foresaw, whose words in the database hold whole rows."""
    owner = await stage.connect()
    try:
        for rule in RULES:
            await owner.execute(rule)
    finally:
        await owner.close()
    for prompt, snippet, question in zip(stage.of("prompt"), stage.of("snippet"), stage.of("question"), strict=True):
        bot = {"slug": "broken", "name": BROKEN, "system_prompt": prompt}
        assert (await stage.ask("POST", "/api/v1/bots", json=bot))[0] == 500
        draft = {"title": BROKEN, "body": snippet}
        assert (await stage.ask("POST", "/api/v1/bots/bot-0/knowledge", json=draft))[0] == 500
        told = {"message": f"{question} {BROKEN}"}
        assert (await stage.ask("POST", "/api/v1/bots/bot-0/chat", json=told))[0] == 500
    agent = {"User-Agent": BROKEN}
    form = {"email": EMAIL, "password": stage.of("password")[1]}
    assert (await stage.ask("POST", "/auth/login", key="", json=form, headers=agent))[0] == 500
    look_at_processes(stage)


async def lose_parts(stage: Stage) -> None:
    """Let each part hang in turn until it is missed, then kill it, and send secrets all the while."""
    values = [canary.value for canary in stage.canaries if canary.kind in SECRETS]
    for number, part in enumerate(AWAY):
        told = stage.running.told
        pid = told[part]["pid"] if part in told else told["services"][part]["pid"]
        # The eldest process of Postgres only makes others; those go on while it hangs, and end when it does.
        os.kill(pid, signal.SIGSTOP if part != "postgres" else signal.SIGKILL)
        statuses = await asyncio.gather(*(use_all(stage, values[at], at) for at in range(number, len(values), 9)))
        assert 503 in {each for several in statuses for each in several}, part
        if part != "postgres":
            os.kill(pid, signal.SIGKILL)
            await use_all(stage, values[number], number)
        await until(partial(is_well, stage), limit=60, what=f"{part} is back")


async def use_all(stage: Stage, secret: str, number: int) -> list[int]:
    """Use all parts, with a credential that nobody has and with the admin's."""
    prompt, snippet, question = (stage.of(kind)[number % 11] for kind in ("prompt", "snippet", "question"))
    bot = {"slug": f"later-{number}", "name": "Later", "system_prompt": prompt, "provider": "quote"}
    login = {"email": f"{number}@example.org", "password": secret}
    ask = partial(stage.try_to, timeout=HANGING)
    statuses = await asyncio.gather(
        ask("GET", "/auth/me", key="", headers={"Authorization": f"Bearer {secret}"}),
        ask("GET", "/auth/me", key="", headers={"Cookie": f"hm_session={quote(secret)}"}),
        ask("POST", "/auth/login", key="", json=login),
        ask("POST", "/api/v1/bots", json=bot),
        ask("POST", "/api/v1/bots/bot-2/knowledge", json={"title": "Later", "body": snippet}),
        ask("POST", "/api/v1/bots/bot-2/chat", json={"message": question}),
    )
    return list(statuses)


async def is_well(stage: Stage) -> bool:
    _, health = await stage.ask("GET", "/api/v1/health", key="")
    away = {name for name, each in json.loads(health)["components"].items() if each["status"] != "ok"}
    return away <= {"llm"} and await stage.try_to("GET", "/api/v1/bots/bot-0/knowledge") == 200


# Where it is looked


async def look(stage: Stage) -> None:
    """Gather what was left behind."""
    look_at_processes(stage)
    look_at_logs(stage)
    await look_at_metrics(stage)
    await look_at_database(stage)


def look_at_processes(stage: Stage, *others: int) -> None:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            stage.evidence.add("commands", f"process {entry.name}", command_line(int(entry.name)))
    # Its own variables are what the operator has set; none of them goes on to what it starts.
    for pid in (*family(stage.running.process.pid)[1:], *others):
        with contextlib.suppress(OSError):
            stage.evidence.add("environments", f"process {pid}", Path(f"/proc/{pid}/environ").read_bytes())


def look_at_logs(stage: Stage) -> None:
    for file in (*(stage.running.folder / "logs").iterdir(), stage.running.console):
        stage.evidence.add("logs", file.name, file.read_bytes())


async def look_at_metrics(stage: Stage) -> None:
    for name, service in stage.running.told["services"].items():
        async with stage.http.get(f"{service['ops_url']}/metrics", timeout=LIMIT) as response:
            assert response.status == 200
            stage.evidence.add("metrics", name, await response.read())


async def look_at_database(stage: Stage) -> None:
    owner = await stage.connect()
    try:
        tables = await owner.fetch(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        for table in (row["name"] for row in tables):
            place = "audit" if table == "audit.entry" else "database"
            for row in await owner.fetch(f"SELECT told::text AS told FROM {table} AS told"):
                stage.evidence.add(place, table, row["told"].encode())
    finally:
        await owner.close()


# What is promised


async def test_no_secret_is_where_it_must_not_be(stage: Stage) -> None:
    leaks, missed = judged(stage.evidence.find(stage.everything))

    assert len(planted()) == 100
    assert sorted(leaks) == []
    assert not missed, "the look is blind there"


async def test_no_secret_was_in_the_database_for_a_moment(stage: Stage) -> None:
    log = stage.running.folder / "postgres" / "cluster" / "pg_wal"
    written = b"".join(file.read_bytes() for file in log.glob("0*"))

    assert stage.of("prompt")[0][:30].encode() in written
    assert not [
        canary
        for canary in stage.everything
        if canary.kind in {*SECRETS, "made"} and any(half.encode() in written for half in canary.halves)
    ]


async def test_whatever_holds_a_secret_in_the_folder_is_for_its_owner_alone(stage: Stage) -> None:
    secrets = [canary for canary in stage.everything if canary.kind in {"setting", "made"}]
    folder = stage.running.folder
    holders = set()
    for file in (*folder.rglob("*"), *stage.config.rglob("*")):
        if file.is_file() and "cluster" not in file.parts:
            text = file.read_bytes()
            if any(form in text for secret in secrets for form in forms(secret.value).values()):
                assert file.stat().st_mode & 0o077 == 0, file
                holders.add(file.relative_to(folder.parent).parts[:2])

    assert holders == {("data", "secrets"), ("data", "nats"), ("config", "hivemind")}


async def test_a_leak_in_each_real_place_is_found(stage: Stage) -> None:
    leak = Canary("key", "planted-x7k2m9q4-w3e8r5t1")  # the name of a bot, which may be everywhere
    seen = Stage(stage.running, stage.http, Evidence(), [leak], stage.key)
    path, glass = f"/api/v1/bots/{leak.value}", {"Authorization": f"Bearer {stage.of('setting')[0]}"}
    async with listening(seen):
        bot = {"slug": leak.value, "name": "Desk", "system_prompt": "You help.", "provider": "quote"}
        assert (await seen.ask("POST", "/api/v1/bots", json=bot))[0] == 201
        assert (await seen.ask("POST", f"{path}/chat", json={"message": "Who?"}))[0] == 200
        assert (await seen.ask("GET", path, key="", headers=glass | {"X-Request-Id": leak.value}))[0] == 200
        assert (await seen.ask("GET", f"{path}?{leak.value}=1"))[0] == 422
        assert await asyncio.to_thread(seen.hm, "bot", "show", leak.value, HIVEMIND_API_KEY=stage.key) == 0
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "input()", leak.value), env={"PLANTED": leak.value}, stdin=subprocess.PIPE
    )
    look_at_processes(seen, process.pid)
    await process.communicate(b"\n")
    await look(seen)

    assert {found.place for found in seen.evidence.find([leak])} == set(places())


async def test_a_secret_in_any_place_and_any_form_is_found() -> None:
    for place in places():
        for canary in planted():
            if matrix()[canary.kind, place] != "never":
                continue
            for half in canary.halves:
                for form, hidden in forms(half).items():
                    evidence = Evidence()
                    evidence.add(place, "here", b"before " + hidden + b" after")
                    leaks, _ = judged(evidence.find([canary]))
                    assert {leak[:3] for leak in leaks} == {(canary.kind, place, "here")}, form
