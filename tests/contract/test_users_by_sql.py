"""`UPDATE users SET …`: what operators may set, what is refused by name, and that it holds at the door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from yarl import URL

from hivemind_common.embedded.postgres import OWNER
from hivemind_common.secrets import digest
from hivemind_common.testing.servers import Servers
from hivemind_common.testing.waiting import until
from tests.conftest import Instance

KEY = "hm-set-by-an-operator-0123456789"
OTHER = "hm-set-by-an-operator-9876543210"
SPACES = [chr(sign) for sign in range(0x3001) if chr(sign).isspace()]


@pytest.fixture
async def people(instance: Instance, owner: Any) -> Instance:
    """An instance with its admin ada, a second account grace, and sid, who is disabled."""
    for name, role, status in (("grace", "user", "active"), ("sid", "user", "disabled")):
        await owner.execute(
            "INSERT INTO auth.account (id, username, email, role, status, created_at)"
            " VALUES (gen_random_uuid(), $1, $1 || '@example.org', $2, $3, now())",
            name,
            role,
            status,
        )
    return instance


@pytest.fixture
async def second(servers: Servers, database: str) -> AsyncIterator[Any]:
    """Another operator."""
    connection = await asyncpg.connect(servers.dsn(OWNER, database).get_secret_value())
    yield connection
    await connection.close()


async def who(instance: Instance, key: str) -> str | None:
    """Ask the door whose key it is."""
    status, body, _ = await instance.call("GET", "/auth/me", key=key)
    return str(body["username"]) if status == 200 else None


async def until_the_door_says(instance: Instance, key: str, name: str | None) -> None:
    async def says() -> bool:
        return await who(instance, key) == name

    await until(says, limit=5, what=f"the key is {name}'s")


async def keys_of(owner: Any, name: str) -> list[tuple[str, bool]]:
    """Read the names of somebody's keys, and whether each is alive."""
    rows = await owner.fetch(
        "SELECT key.name, key.revoked_at IS NULL AS alive"
        "  FROM auth.api_key AS key JOIN auth.account ON account.id = account_id"
        " WHERE username = $1 ORDER BY key.created_at, key.name",
        name,
    )
    return [tuple(row) for row in rows]


async def told(owner: Any) -> list[str]:
    """Read what the audit log has of operators since the admin of this test was made."""
    rows = await owner.fetch(
        "SELECT action, actor_name, details::text FROM audit.entry WHERE actor_kind = 'sql'"
        " AND seq > (SELECT max(seq) FROM audit.entry WHERE action = 'account.registered') ORDER BY seq"
    )
    return [" ".join(row) for row in rows]


async def test_a_key_set_by_name_or_by_address_opens_the_door(people: Instance, owner: Any) -> None:
    assert await owner.execute(f"UPDATE users SET api_key = '{KEY}' WHERE username = 'ada'") == "UPDATE 1"
    assert await owner.execute(f"UPDATE users SET api_key = '{OTHER}' WHERE email = 'grace@example.org'") == "UPDATE 1"

    assert (await who(people, KEY), await who(people, OTHER)) == ("ada", "grace")
    assert await who(people, people.key) == "ada", "keys with a name of their own stay"
    assert await owner.fetchval(
        "SELECT digest FROM auth.api_key WHERE name = 'set-by-sql' AND digest = $1", digest(KEY)
    )
    first, second = await told(owner)
    assert first.startswith('key.set hivemind {"key_id": ')
    assert '"username": "grace"' in second


async def test_another_key_takes_the_place_of_the_one_before_within_a_second(people: Instance, owner: Any) -> None:
    for key in (KEY, OTHER, KEY, KEY):
        await owner.execute("UPDATE users SET api_key = $1 WHERE username = 'grace'", key)
        await until_the_door_says(people, key, "grace")
        await until_the_door_says(people, OTHER if key == KEY else KEY, None)

    assert await keys_of(owner, "grace") == [("set-by-sql", True)]
    assert len(await told(owner)) == 4


async def test_null_revokes_the_key_and_no_other(people: Instance, owner: Any) -> None:
    await owner.execute("UPDATE users SET api_key = $1 WHERE username = 'ada'", KEY)
    await until_the_door_says(people, KEY, "ada")
    await owner.execute("UPDATE users SET role = role, status = 'active', api_key = api_key WHERE username = 'ada'")
    assert await who(people, KEY) == "ada", "what does not mention the key, or changes nothing, leaves it"
    await owner.execute("UPDATE users SET api_key = NULL WHERE username = 'ada'")
    await until_the_door_says(people, KEY, None)
    await owner.execute("UPDATE users SET api_key = NULL WHERE username = 'ada'")

    assert await who(people, people.key) == "ada"
    assert await keys_of(owner, "ada") == [("bootstrap", True), ("set-by-sql", False)]
    assert [line.partition(" ")[0] for line in await told(owner)] == ["key.set", "key.revoked"]
    await owner.execute("UPDATE users SET api_key = $1 WHERE username = 'ada'", KEY)
    await until_the_door_says(people, KEY, "ada")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("", "at least 24 characters, and this one has 0"),
        ("x" * 23, "at least 24 characters, and this one has 23"),
        ("🗝" * 23, "at least 24 characters, and this one has 23"),
        ("(set)", "at least 24 characters"),
        ("x" * 1_025, "at most 1,024 characters, and this one has 1025"),
        ("x" * 24 + "\n", "neither begins nor ends with a space"),
        ("x" * 12 + "\r\nX-Api-Key: y" + "x" * 12, "holds no control characters"),
        *((space + "x" * 24, "neither begins nor ends with a space") for space in SPACES),
        *(("x" * 24 + space, "neither begins nor ends with a space") for space in SPACES),
    ],
)
async def test_a_key_that_could_not_come_in_is_refused_by_the_database(
    people: Instance, owner: Any, key: str, words: str
) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match=words):
        await owner.execute("UPDATE users SET api_key = $1 WHERE username = 'ada'", key)

    assert await keys_of(owner, "ada") == [("bootstrap", True)]
    assert await told(owner) == []


@given(key=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=20, max_size=40))
@example(key="x" * 24)
@example(key="ключ-к-серверу-0123456789")
@example(key="🗝" * 24)
@example(key="x" * 1_024)
@example(key="🗝" * 1_024)
@example(key="e\u0301" * 12)
@example(key="with spaces inside, and 'quotes\"")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_what_the_database_takes_the_door_takes_too(people: Instance, owner: Any, key: str) -> None:
    try:
        await owner.execute("UPDATE users SET api_key = $1 WHERE username = 'grace'", key)
    except asyncpg.CheckViolationError:
        return

    assert await owner.fetchval("SELECT EXISTS (SELECT FROM auth.api_key WHERE digest = $1)", digest(key))
    assert await who(people, key) == "grace"


async def test_a_key_belongs_to_one_account(people: Instance, owner: Any) -> None:
    await owner.execute("UPDATE users SET api_key = $1 WHERE username = 'ada'", KEY)
    for statement in (
        f"UPDATE users SET api_key = '{KEY}' WHERE username = 'grace'",
        f"UPDATE users SET api_key = '{people.key}' WHERE username = 'grace'",
        f"UPDATE users SET api_key = '{people.key}' WHERE username = 'ada'",
        f"UPDATE users SET api_key = '{OTHER}' WHERE status = 'active'",
    ):
        with pytest.raises(asyncpg.UniqueViolationError, match="this key is in use already") as refusal:
            await owner.execute(statement)
        assert digest(KEY).hex() not in str(refusal.value)

    assert (await who(people, KEY), await who(people, OTHER)) == ("ada", None)
    assert await keys_of(owner, "grace") == []
    assert len(await told(owner)) == 1


async def test_an_account_that_is_disabled_gets_no_key_and_keeps_none_alive(people: Instance, owner: Any) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="the account is disabled, so a key would open nothing"):
        await owner.execute("UPDATE users SET api_key = $1 WHERE username = 'sid'", KEY)
    await owner.execute("UPDATE users SET api_key = $1, status = 'active' WHERE username = 'sid'", KEY)
    await until_the_door_says(people, KEY, "sid")
    await owner.execute("UPDATE users SET status = 'disabled' WHERE username = 'sid'")
    await until_the_door_says(people, KEY, None)

    assert [line.partition(" ")[0] for line in await told(owner)] == ["account.updated", "key.set", "account.updated"]


async def test_the_view_shows_accounts_and_no_secret(people: Instance, owner: Any) -> None:
    row = await owner.fetchrow("UPDATE users SET api_key = $1 WHERE username = 'ada' RETURNING *", KEY)
    assert row["api_key"] == "(set)"
    await who(people, KEY)
    rows = await owner.fetch("SELECT * FROM users ORDER BY username")

    names = ["id", "username", "email", "role", "status", "api_key", "created_at", "last_seen_at"]
    assert list(rows[0].keys()) == names
    assert [(each["username"], each["role"], each["status"], each["api_key"]) for each in rows] == [
        ("ada", "admin", "active", "(set)"),
        ("grace", "user", "active", None),
        ("sid", "user", "disabled", None),
    ]
    assert rows[0]["last_seen_at"] is not None
    assert not any(secret in str(rows) for secret in (KEY, digest(KEY).hex(), "argon2"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("role = 'root'", "a role is admin or user"),
        ("role = NULL", "a role is admin or user"),
        ("status = 'invited'", "a status is set to active or disabled"),
        ("status = NULL", "a status is set to active or disabled"),
        ("username = 'a'", "a username is 2 to 64"),
        ("username = E'grace\\n'", "a username is 2 to 64"),
        ("username = NULL", "a username is 2 to 64"),
        ("username = 'ADA'", "another account has this username"),
        ("email = 'grace'", "an e-mail address has one @"),
        ("email = 'a@b@c'", "an e-mail address has one @"),
        ("email = repeat('a', 251) || '@b.c'", "an e-mail address has one @"),
        ("email = NULL", "an e-mail address has one @"),
        ("email = 'ADA@example.org'", "another account has this e-mail address"),
        ("id = gen_random_uuid()", "only username, email, role, status and api_key can be set"),
        ("created_at = now()", "only username, email, role, status and api_key can be set"),
        ("last_seen_at = now()", "only username, email, role, status and api_key can be set"),
    ],
)
async def test_what_cannot_be_set_is_refused_by_name(people: Instance, owner: Any, change: str, words: str) -> None:
    before = await owner.fetch("SELECT * FROM auth.account ORDER BY username")
    with pytest.raises(asyncpg.PostgresError, match=words):
        await owner.execute(f"UPDATE users SET {change} WHERE username = 'grace'")

    assert await owner.fetch("SELECT * FROM auth.account ORDER BY username") == before
    assert await told(owner) == []


async def test_role_status_name_and_address_are_set_and_written_down(people: Instance, owner: Any) -> None:
    await owner.execute(
        "UPDATE users SET role = 'admin', username = 'grace.h', email = 'hopper@example.org' WHERE username = 'grace'"
    )
    await owner.execute("UPDATE users SET role = 'admin' WHERE username = 'grace.h'")

    (line,) = await told(owner)
    for part in (
        "account.updated hivemind",
        '"role": ["user", "admin"]',
        '"email": ["grace@example.org", "hopper@example.org"]',
        '"username": ["grace", "grace.h"]',
    ):
        assert part in line


async def test_demoting_holds_at_the_door_within_a_second(people: Instance, owner: Any) -> None:
    await owner.execute("UPDATE users SET role = 'admin', api_key = $1 WHERE username = 'grace'", KEY)
    draft = {"slug": "desk", "name": "Desk", "system_prompt": "You help."}
    await people.call("POST", "/api/v1/bots", json=draft, key=KEY, expect=201)
    await owner.execute("UPDATE users SET role = 'user' WHERE username = 'grace'")

    async def is_refused() -> bool:
        return (await people.call("POST", "/api/v1/bots", json=draft, key=KEY))[0] == 403

    await until(is_refused, limit=5, what="the demotion holds")


async def test_disabling_ends_the_sessions_for_good(people: Instance, owner: Any) -> None:
    await owner.execute("UPDATE users SET role = 'admin' WHERE username = 'grace'")
    login = {"email": "ada@example.org", "password": "correct horse battery"}
    _, _, response = await people.call("POST", "/auth/login", json=login, key="", expect=200)
    cookie = {"Cookie": response.headers["Set-Cookie"].split(";")[0]}
    for status in ("disabled", "active"):
        await owner.execute("UPDATE users SET status = $1 WHERE username = 'ada'", status)

    async def is_out() -> bool:
        return (await people.call("GET", URL("/auth/me"), key="", headers=cookie))[0] == 401

    await until(is_out, limit=5, what="the session has ended")


@pytest.mark.parametrize("change", ["role = 'user'", "status = 'disabled'", "role = 'user', status = 'disabled'"])
async def test_the_last_active_admin_stays_one(people: Instance, owner: Any, change: str) -> None:
    await owner.execute(
        "UPDATE auth.account SET role = 'admin' WHERE username = 'sid'"
    )  # disabled, so it does not count
    for where in ("username = 'ada'", "true"):
        with pytest.raises(asyncpg.CheckViolationError, match="the last active admin stays one"):
            await owner.execute(f"UPDATE users SET {change} WHERE {where}")

    assert await owner.fetchval("SELECT role || ' ' || status FROM users WHERE username = 'ada'") == "admin active"
    assert await told(owner) == []


@pytest.mark.parametrize("isolation", ["read_committed", "repeatable_read", "serializable"])
async def test_two_operators_at_once_cannot_take_both_admins_away(
    people: Instance, owner: Any, second: Any, isolation: str
) -> None:
    await owner.execute("UPDATE users SET role = 'admin' WHERE username = 'grace'")

    async def demote(connection: Any, name: str) -> bool:
        try:
            async with connection.transaction(isolation=isolation):
                await connection.fetch("SELECT * FROM users")  # both have seen two admins
                await both.wait()
                await connection.execute("UPDATE users SET role = 'user' WHERE username = $1", name)
        except (asyncpg.CheckViolationError, asyncpg.SerializationError):
            return False
        return True

    both = asyncio.Barrier(2)
    done = await asyncio.gather(demote(owner, "ada"), demote(second, "grace"))

    assert sorted(done) == [False, True]
    assert await owner.fetchval("SELECT count(*) FROM users WHERE role = 'admin' AND status = 'active'") == 1


async def test_two_operators_at_once_set_one_key_after_the_other(people: Instance, owner: Any, second: Any) -> None:
    for _ in range(10):
        statement = "UPDATE users SET api_key = $1 WHERE username = 'ada'"
        await asyncio.gather(owner.execute(statement, KEY), second.execute(statement, OTHER))
        assert await keys_of(owner, "ada") == [("bootstrap", True), ("set-by-sql", True)]
        # The same key for two accounts: one of the two is refused.
        await owner.execute("UPDATE users SET api_key = NULL")
        statement = "UPDATE users SET api_key = $1 WHERE username = $2"
        done = await asyncio.gather(
            owner.execute(statement, KEY + "+", "ada"),
            second.execute(statement, KEY + "+", "grace"),
            return_exceptions=True,
        )
        assert sorted(type(each).__name__ for each in done) == ["UniqueViolationError", "str"]
        await owner.execute("UPDATE users SET api_key = NULL")
        await owner.execute("DELETE FROM auth.api_key WHERE revoked_at IS NOT NULL")


async def test_many_rows_at_once_are_changed_all_or_none(people: Instance, owner: Any) -> None:
    statement = "UPDATE users SET api_key = username || '-has-this-key-0123456789' WHERE status = 'active'"
    assert await owner.execute(statement) == "UPDATE 2"
    for name in ("ada", "grace"):
        assert await who(people, f"{name}-has-this-key-0123456789") == name
    with pytest.raises(asyncpg.CheckViolationError):
        await owner.execute("UPDATE users SET api_key = username || '-has-that-key-0123456789'")

    for name in ("ada", "grace"):
        assert await who(people, f"{name}-has-this-key-0123456789") == name
    assert await owner.execute("UPDATE users SET api_key = 'short' WHERE username = 'nobody'") == "UPDATE 0"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("INSERT INTO users (username, email, role) VALUES ('eve', 'eve@example.org', 'admin')", "not made by SQL"),
        ("DELETE FROM users WHERE username = 'grace'", "not deleted by SQL"),
        ("TRUNCATE users", "not a table"),
    ],
)
async def test_accounts_are_neither_made_nor_deleted_by_sql(
    people: Instance, owner: Any, statement: str, words: str
) -> None:
    with pytest.raises(asyncpg.PostgresError, match=words):
        await owner.execute(statement)

    assert await owner.fetchval("SELECT count(*) FROM auth.account") == 3


async def test_the_actor_is_whoever_is_logged_in(people: Instance, owner: Any, servers: Servers, database: str) -> None:
    await owner.execute("CREATE ROLE olga LOGIN PASSWORD 'a-password-for-tests-only'")
    try:
        await owner.execute("GRANT SELECT, UPDATE ON users TO olga")
        olga = await asyncpg.connect(servers.dsn("olga", database).get_secret_value())
        await olga.execute("UPDATE users SET api_key = $1 WHERE username = 'ada'", KEY)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await olga.execute("SELECT * FROM auth.account")
        await olga.close()
    finally:
        await owner.execute("DROP OWNED BY olga")
        await owner.execute("DROP ROLE olga")

    (line,) = await told(owner)
    assert line.startswith("key.set olga ")
