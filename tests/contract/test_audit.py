"""Every act has its entry, in the act's own transaction; and no entry is ever changed."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack, suppress
from typing import Any

import aiohttp
import asyncpg
import pytest

from hivemind_common import audit
from hivemind_common.db import open_database
from hivemind_common.errors import UnavailableError
from hivemind_common.principal import service_principal
from hivemind_common.testing.servers import Servers
from hivemind_common.testing.waiting import until
from hivemind_server.services import SERVICES
from tests.conftest import PASSWORD, Instance, Start

ADMIN_KEY = "break-glass-0123456789abcdef"
BREAK_GLASS = {"Authorization": f"Bearer {ADMIN_KEY}"}
LOGIN = {"email": "ada@example.org", "password": PASSWORD}
UUID7 = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


class Log:
    """What is written after this was made."""

    def __init__(self, owner: Any, since: int) -> None:
        self._owner = owner
        self._since = since

    async def entries(self, action: str = "%") -> list[dict[str, Any]]:
        """Read the entries of an action, the oldest first."""
        rows = await self._owner.fetch(
            "SELECT *, details::text AS told FROM audit.entry WHERE seq > $1 AND action LIKE $2 ORDER BY seq",
            self._since,
            action,
        )
        return [dict(row) for row in rows]


@pytest.fixture
async def log(owner: Any) -> Log:
    """Begin behind what earlier tests have written: it cannot be taken away."""
    return Log(owner, await owner.fetchval("SELECT coalesce(max(seq), 0) FROM audit.entry"))


@pytest.fixture
async def fresh(start: Start, owner: Any) -> Any:
    """An instance that nobody has registered at, with both of the operator's secrets."""
    await owner.execute("TRUNCATE bots.bot, auth.account CASCADE")
    async with start(HIVEMIND_SETUP_TOKEN="token-0123456789abcdefghij", ADMIN_API_KEY=ADMIN_KEY) as opened:
        yield opened


async def test_an_entry_says_who_did_what_when_from_where(log: Log, instance: Instance, owner: Any) -> None:
    _, bot, response = await instance.call(
        "POST",
        "/api/v1/bots",
        json={"slug": "desk", "template": "customer-support", "tier": "restricted", "allow_hosted_provider": True},
        headers={"X-Request-Id": "made-by-a-test"},
        expect=201,
    )
    (entry,) = await log.entries("bot.created")

    _, me, _ = await instance.call("GET", "/auth/me", expect=200)
    assert (entry["actor_kind"], str(entry["actor_id"]), entry["actor_name"]) == ("key", me["id"], "ada")
    assert (entry["target"], entry["outcome"], entry["address"]) == (bot["id"], "ok", "127.0.0.1")
    assert entry["request_id"] == response.headers["X-Request-Id"] == "made-by-a-test"
    assert entry["written_by"] == "hivemind_bots"
    for told in ('"slug": "desk"', '"tier": "restricted"', '"allow_hosted_provider": true'):
        assert told in entry["told"]
    assert re.fullmatch(UUID7, str(entry["id"]))
    assert await owner.fetchval("SELECT now() - $1 < '1 minute'", entry["at"])


async def test_every_act_of_today_writes_its_entry(log: Log, instance: Instance) -> None:
    await instance.call("POST", "/auth/login", json=LOGIN, key="", expect=200)
    bot = await instance.mint("desk")
    snippet = await instance.teach("desk", "Refunds", "Refunds take ten days.")
    await instance.call("DELETE", f"/api/v1/bots/desk/knowledge/{snippet['id']}", expect=204)

    entries = await log.entries()
    assert [(entry["action"], entry["actor_name"], entry["outcome"]) for entry in entries] == [
        ("account.registered", "ada", "ok"),
        ("session.opened", "ada", "ok"),
        ("bot.created", "ada", "ok"),
        ("snippet.added", "ada", "ok"),
        ("snippet.removed", "ada", "ok"),
    ]
    assert {entry["written_by"] for entry in entries} == {"hivemind_auth", "hivemind_bots", "hivemind_knowledge"}
    assert [entry["target"] for entry in entries[-2:]] == [snippet["id"]] * 2
    assert all(bot["id"] in entry["told"] for entry in entries[-2:])
    assert not any(secret in str(entries) for secret in (PASSWORD, instance.key, "Refunds"))


async def test_what_only_reads_writes_none(log: Log, instance: Instance) -> None:
    await instance.mint("desk")
    before = await log.entries()
    for path in ("/auth/me", "/api/v1/bots", "/api/v1/bots/desk", "/api/v1/bots/desk/knowledge/search?q=refunds"):
        await instance.call("GET", path, expect=200)
    await instance.call("POST", "/api/v1/bots/desk/chat", json={"message": "Refunds?"}, expect=200)

    assert await log.entries() == before


async def test_what_is_refused_leaves_no_entry_of_having_been_done(log: Log, instance: Instance) -> None:
    await instance.mint("desk")
    draft = {"slug": "desk", "name": "Desk", "system_prompt": "You help."}
    await instance.call("POST", "/api/v1/bots", json=draft, expect=409)
    await instance.call("POST", "/api/v1/bots", json=draft | {"slug": "no slug"}, expect=422)
    path = "/api/v1/bots/desk/knowledge/01936f9e-0000-7000-8000-000000000000"
    await instance.call("DELETE", path, expect=404)
    await instance.call("POST", "/auth/register", json=LOGIN | {"username": "eve"}, expect=409)

    assert [entry["action"] for entry in await log.entries()] == ["account.registered", "bot.created"]


async def test_a_refused_sign_in_names_the_account_and_never_what_was_typed(
    log: Log, instance: Instance, owner: Any
) -> None:
    typed = {"email": "my-password-in-the-wrong-field", "password": "another-secret"}
    await instance.call("POST", "/auth/login", json=typed, key="", expect=401)
    await instance.call("POST", "/auth/login", json=LOGIN | {"password": "another-secret"}, key="", expect=401)
    await owner.execute("UPDATE auth.account SET status = 'disabled'")
    await instance.call("POST", "/auth/login", json=LOGIN, key="", expect=401)

    refused = await log.entries("session.opened")
    account = str(await owner.fetchval("SELECT id FROM auth.account"))
    assert [(entry["outcome"], entry["actor_kind"], entry["target"]) for entry in refused] == [
        ("refused", "anonymous", ""),
        ("refused", "anonymous", account),
        ("refused", "anonymous", account),
    ]
    reasons = ("unknown_address", "wrong_password", "not_active")
    assert all(f'"{reason}"' in entry["told"] for reason, entry in zip(reasons, refused, strict=True))
    assert not any(secret in str(refused) for secret in (*typed.values(), PASSWORD, "ada@example.org"))


async def test_a_flood_of_refusals_shows_as_its_first_rows(log: Log, fresh: Instance) -> None:
    stranger = {"Host": "evil.example"}
    form = {"username": "eve", "email": "eve@example.org", "password": PASSWORD}
    for token in ("", "wrong", *(f"wrong{n}" for n in range(40))):
        await fresh.call("POST", "/auth/register", json=form | {"setup_token": token}, headers=stranger, expect=403)

    refused = await log.entries("account.registered")
    # Twenty a minute; where the minute ends meanwhile, the next one begins with how many were left out.
    assert 20 <= len(refused) <= 40
    assert {entry["outcome"] for entry in refused} == {"refused"}
    assert "wrong" not in str(refused)


async def test_no_request_under_the_break_glass_key_goes_without_its_entry(log: Log, fresh: Instance) -> None:
    draft = {"slug": "desk", "name": "Desk", "system_prompt": "You help."}
    _, _, made = await fresh.call("POST", "/api/v1/bots", json=draft, headers=BREAK_GLASS, expect=201)
    await fresh.call("POST", "/api/v1/bots", json=draft, headers=BREAK_GLASS, expect=409)
    await fresh.call("GET", "/api/v1/bots?limit=2", headers=BREAK_GLASS, expect=200)
    await fresh.call("GET", "/api/v1/bots/%00%ff", headers=BREAK_GLASS, expect=404)
    await fresh.call("GET", f"/api/v1/bots/{'x' * 3_000}", headers=BREAK_GLASS, expect=404)
    await fresh.call("GET", "/auth/me", headers={"Authorization": "Bearer break-glass-wrong-wrong"}, expect=401)
    await fresh.call("GET", "/auth/me", headers={"X-API-Key": ADMIN_KEY}, expect=401)

    entries = await log.entries()
    assert [(entry["action"], entry["target"][:40], entry["actor_kind"]) for entry in entries] == [
        ("break_glass.used", "POST /api/v1/bots", "break_glass"),
        ("bot.created", entries[1]["target"], "break_glass"),
        ("break_glass.used", "POST /api/v1/bots", "break_glass"),
        ("break_glass.used", "GET /api/v1/bots", "break_glass"),
        ("break_glass.used", "GET /api/v1/bots/%00%ff", "break_glass"),
        ("break_glass.used", "GET /api/v1/bots/" + "x" * 23, "break_glass"),
    ]
    assert entries[0]["request_id"] == entries[1]["request_id"] == made.headers["X-Request-Id"]
    assert {entry["address"] for entry in entries} == {"127.0.0.1"}
    assert max(len(entry["target"]) for entry in entries) == 300
    assert ADMIN_KEY not in str(entries)


async def test_without_auth_the_break_glass_key_opens_nothing(servers: Servers, database: str, owner: Any) -> None:
    await owner.execute("TRUNCATE bots.bot, auth.account CASCADE")
    async with AsyncExitStack() as stack:
        running = {}
        for service in SERVICES:
            if service.name != "auth":
                environment = servers.environment(service, database, ADMIN_API_KEY=ADMIN_KEY)
                running[service.name] = await stack.enter_async_context(service.open(environment))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        instance = Instance(f"http://127.0.0.1:{running['gateway'].http_port}", http, running)
        draft = {"slug": "desk", "name": "Desk", "system_prompt": "You help."}
        _, body, _ = await instance.call("POST", "/api/v1/bots", json=draft, headers=BREAK_GLASS, expect=503)

    assert (body["code"], body["service"]) == ("unavailable", "auth")
    assert await owner.fetchval("SELECT count(*) FROM bots.bot") == 0


async def test_what_cannot_be_written_down_is_not_done(
    log: Log, start: Start, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    await owner.execute("TRUNCATE bots.bot, auth.account CASCADE")
    draft = {"slug": "desk", "name": "Desk", "system_prompt": "You help."}
    async with start(ADMIN_API_KEY=ADMIN_KEY) as instance:
        await instance.register()
        await instance.mint("kept")
        await owner.execute(
            "REVOKE EXECUTE ON FUNCTION audit.record FROM hivemind_auth, hivemind_bots, hivemind_knowledge"
        )
        try:
            snippet = {"title": "Refunds", "body": "Refunds take ten days."}
            await instance.call("POST", "/api/v1/bots", json=draft, expect=500)
            await instance.call("POST", "/api/v1/bots/kept/knowledge", json=snippet, expect=500)
            await instance.call("POST", "/auth/login", json=LOGIN, key="", expect=500)
            await instance.call("GET", "/auth/me", key="", headers=BREAK_GLASS, expect=500)
        finally:
            await owner.execute(
                "GRANT EXECUTE ON FUNCTION audit.record TO hivemind_auth, hivemind_bots, hivemind_knowledge"
            )

    for table, left in (("bots.bot", 1), ("knowledge.snippet", 0), ("auth.session", 0)):
        assert await owner.fetchval(f"SELECT count(*) FROM {table}") == left, table
    assert [entry["action"] for entry in await log.entries()] == ["account.registered", "bot.created"]


@pytest.mark.parametrize("is_committed", [False, True])
async def test_a_crash_leaves_act_and_entry_or_neither(
    log: Log, servers: Servers, database: str, owner: Any, is_committed: bool
) -> None:
    await owner.execute("TRUNCATE bots.bot, auth.account CASCADE")
    dsn = servers.dsn("hivemind_auth", database)
    # The pool tells of the loss when the connection is given back.
    with suppress(UnavailableError):
        async with open_database(dsn, "auth", size=1) as pool, pool.connection() as conn:
            pid = await conn.fetchval("SELECT pg_backend_pid()")
            transaction = conn.transaction()
            await transaction.start()
            await conn.execute(
                "INSERT INTO auth.account (id, username, email, role, created_at)"
                " VALUES (gen_random_uuid(), 'eve', 'eve@example.org', 'user', now())"
            )
            await audit.record(conn, service_principal("auth"), "account.registered")
            if is_committed:
                await transaction.commit()
            await owner.execute("SELECT pg_terminate_backend($1)", pid)

            async def is_gone() -> bool:
                return not await owner.fetchval("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)", pid)

            await until(is_gone, limit=10, what="the end of the connection")

    entries = await log.entries()
    assert len(entries) == await owner.fetchval("SELECT count(*) FROM auth.account") == int(is_committed)
    assert [(entry["actor_kind"], entry["actor_name"], entry["address"]) for entry in entries] == (
        [("service", "auth", None)] if is_committed else []
    )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit.entry SET actor_name = 'nobody'",
        "UPDATE audit.entry SET actor_name = 'nobody' WHERE false",
        "DELETE FROM audit.entry",
        "TRUNCATE audit.entry",
        "SET session_replication_role = replica; DELETE FROM audit.entry",
    ],
)
async def test_not_even_the_owner_changes_an_entry_by_accident(
    log: Log, instance: Instance, owner: Any, statement: str
) -> None:
    before = await log.entries()
    with pytest.raises(asyncpg.RestrictViolationError, match="neither changed nor deleted"):
        await owner.execute(statement)

    assert await log.entries() == before != []


async def test_a_service_cannot_write_in_the_name_of_another(log: Log, servers: Servers, database: str) -> None:
    connection = await asyncpg.connect(servers.dsn("hivemind_bots", database).get_secret_value())
    try:
        await connection.execute("SELECT audit.record('service', NULL, 'auth', 'key.set', '', 'ok', NULL, NULL, '{}')")
        for statement in (
            "INSERT INTO audit.entry DEFAULT VALUES",
            "SELECT audit.record_sql('key.set', '', '{}')",
            "SET SESSION AUTHORIZATION hivemind_auth",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        for wrong in (
            "'nobody', NULL, '', 'key.set', '', 'ok'",
            "'service', NULL, '', 'Key set', '', 'ok'",
            "'service', NULL, '', 'key.set', '', 'perhaps'",
            "'sql', NULL, 'hivemind', 'key.set', '', 'ok'",
        ):
            with pytest.raises(asyncpg.CheckViolationError):
                await connection.execute(f"SELECT audit.record({wrong}, NULL, NULL, '{{}}')")
    finally:
        await connection.close()

    (entry,) = await log.entries()
    assert (entry["actor_name"], entry["written_by"]) == ("auth", "hivemind_bots")


async def test_entries_of_many_at_once_all_stand(log: Log, instance: Instance) -> None:
    await asyncio.gather(*(instance.mint(f"desk-{number}") for number in range(30)))
    entries = await log.entries("bot.created")

    assert len(entries) == len({entry["id"] for entry in entries}) == 30
    assert [entry["seq"] for entry in entries] == sorted(entry["seq"] for entry in entries)


async def test_what_an_operator_sets_on_a_bot_by_sql_is_written_down(log: Log, instance: Instance, owner: Any) -> None:
    bot = await instance.mint("desk")
    await instance.teach("desk", "Refunds", "Refunds take ten days.")
    await owner.execute("UPDATE bots.bot SET channel_reply_mode = 'both' WHERE slug = 'desk'")
    await owner.execute("UPDATE bots.bot SET channel_reply_mode = 'both' WHERE slug = 'desk'")
    with pytest.raises(asyncpg.CheckViolationError):
        await owner.execute("UPDATE bots.bot SET channel_reply_mode = 'always' WHERE slug = 'desk'")

    await owner.execute("DELETE FROM bots.bot WHERE slug = 'desk'")

    entry, deleted = (await log.entries("bot.%"))[1:]
    assert (deleted["action"], deleted["actor_name"], deleted["target"]) == ("bot.deleted", "hivemind", bot["id"])
    assert (entry["action"], entry["actor_kind"], entry["actor_name"]) == ("bot.updated", "sql", "hivemind")
    assert entry["target"] == bot["id"]
    assert '"changed": {"channel_reply_mode": ["dm_only", "both"]}' in entry["told"]
