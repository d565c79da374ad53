"""Who may touch what in the database: docs/database-rights.md, cell by cell, by the catalog and by trying."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

from hivemind_common.embedded.postgres import OWNER
from hivemind_common.schema.runner import LOGIN_ROLES
from hivemind_common.testing.servers import Servers

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "database-rights.md"
EVERYBODY: Final = "everybody"
ROLES: Final = (*LOGIN_ROLES, EVERYBODY)
VERBS: Final = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
ON_COLUMNS: Final = ("SELECT", "INSERT", "UPDATE", "REFERENCES")
OURS: Final = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"

Table = dict[str, dict[str, str]]
"""Of a heading: for each thing, what each role may, and what else its row says."""


def read_page() -> dict[str, Table]:
    """Read the tables of the page by their headings."""
    found: dict[str, Table] = {}
    for heading, text in re.findall(
        r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        rows = [
            [cell.strip().strip("`") for cell in line.strip("|").split("|")]
            for line in text.splitlines()
            if line.startswith("|")
        ]
        if rows:
            names = rows[0]
            found[heading] = {row[0]: dict(zip(names[1:], row[1:], strict=True)) for row in rows[2:]}
            assert len(found[heading]) == len(rows) - 2, f"{heading}: a row stands there twice"
    return found


WRITTEN: Final = read_page()


def cell(table: Table, thing: str, role: str) -> set[str]:
    """Read what a role may do with a thing."""
    text = table[thing][role]
    return set() if text == "–" else set(text.split())


def asked(role: str) -> str:
    """Return the name under which the catalog knows a role."""
    return "public" if role == EVERYBODY else role


@pytest.fixture
async def relations(owner: Any) -> dict[str, str]:
    """The tables, views and sequences that the migrations make, each with its kind."""
    rows = await owner.fetch(
        "SELECT n.nspname || '.' || c.relname AS name, c.relkind::text AS kind FROM pg_class AS c"
        f" JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE {OURS}"
        " AND c.relkind IN ('r', 'v', 'm', 'p', 'f', 'S')"
    )
    return {row["name"]: row["kind"] for row in rows}


@pytest.fixture
async def functions(owner: Any) -> dict[str, asyncpg.Record]:
    """The functions that the migrations make, each by its signature."""
    rows = await owner.fetch(
        "SELECT p.oid, n.nspname || '.' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' AS name,"
        "       p.prosecdef AS is_definer, p.proconfig AS config, p.prorettype = 'trigger'::regtype AS is_trigger"
        f"  FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE {OURS}"
    )
    return {row["name"]: row for row in rows}


async def test_everything_there_is_has_its_row_and_nothing_else_has(
    relations: dict[str, str], functions: dict[str, asyncpg.Record], owner: Any
) -> None:
    schemas = {row[0] for row in await owner.fetch(f"SELECT n.nspname FROM pg_namespace AS n WHERE {OURS}")}

    assert set(WRITTEN["Schemas"]) == schemas
    assert set(WRITTEN["Tables, views and sequences"]) == set(relations)
    assert set(WRITTEN["Functions"]) == set(functions)
    for table in WRITTEN.values():
        assert all(set(ROLES) <= set(row) for row in table.values())


async def privileges(owner: Any, ask: str, role: str, thing: object, verbs: tuple[str, ...]) -> set[str]:
    """Ask one of the catalog's `has_…_privilege` functions which of the verbs a role may use on a thing."""
    kind = "oid" if isinstance(thing, int) else "text"
    statement = f"SELECT {ask}($1::name, $2::{kind}, $3)"
    return {verb for verb in verbs if await owner.fetchval(statement, asked(role), thing, verb)}


async def test_each_cell_of_the_tables_is_what_the_catalog_says(relations: dict[str, str], owner: Any) -> None:
    table = WRITTEN["Tables, views and sequences"]
    major = await owner.fetchval("SELECT current_setting('server_version_num')::int / 10000")
    verbs = VERBS if major < 17 else (*VERBS, "MAINTAIN")
    for name, kind in relations.items():
        for role in ROLES:
            if kind == "S":
                may = await privileges(owner, "has_sequence_privilege", role, name, ("USAGE", "SELECT", "UPDATE"))
            else:
                may = await privileges(owner, "has_table_privilege", role, name, verbs)
                some = await privileges(owner, "has_any_column_privilege", role, name, ON_COLUMNS)
                assert some == may & set(ON_COLUMNS), f"{role} has rights on columns of {name}"
            assert may == cell(table, name, role), f"{role} on {name}"


async def test_each_cell_of_the_functions_is_what_the_catalog_says(
    functions: dict[str, asyncpg.Record], owner: Any
) -> None:
    table = WRITTEN["Functions"]
    for name, function in functions.items():
        assert (table[name]["runs as"] == "owner") == function["is_definer"], name
        for role in ROLES:
            may = await privileges(owner, "has_function_privilege", role, function["oid"], ("EXECUTE",))
            assert may == cell(table, name, role), f"{role} on {name}"


async def test_each_cell_of_the_schemas_is_what_the_catalog_says(owner: Any) -> None:
    for schema in WRITTEN["Schemas"]:
        for role in ROLES:
            may = await privileges(owner, "has_schema_privilege", role, schema, ("USAGE", "CREATE"))
            assert may == cell(WRITTEN["Schemas"], schema, role) <= {"USAGE"}, f"{role} on {schema}"


async def test_what_runs_as_the_owner_looks_names_up_where_only_the_owner_writes(
    functions: dict[str, asyncpg.Record],
) -> None:
    for name, function in functions.items():
        if function["is_definer"] or function["is_trigger"]:
            (path,) = [setting for setting in function["config"] or [""] if setting.startswith("search_path=")]
            names = [part.strip() for part in path.removeprefix("search_path=").split(",")]
            # pg_temp, where everybody may make tables, is looked at first unless it is named: then it stands last.
            assert names in (["pg_catalog"], ["pg_catalog", "pg_temp"]), name


async def test_what_is_looked_up_at_run_time_is_named_with_its_schema(owner: Any) -> None:
    bodies = await owner.fetch(
        "SELECT p.proname, p.prosrc FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace"
        f" WHERE {OURS} AND p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'plpgsql')"
    )
    assert bodies
    # What a trigger is handed is no table of anybody's.
    handed = await owner.fetchval("SELECT array_agg(coalesce(tgnewtable, tgoldtable)::text) FROM pg_trigger")
    for function in bodies:
        code = re.sub(r"'[^']*'", "''", function["prosrc"])
        named = re.findall(r"\b(?:FROM|JOIN|INSERT INTO|UPDATE|PERFORM) ([a-z_.]+)", code)
        assert all("." in each or each in handed for each in named), (function["proname"], named)


async def test_roles_are_nothing_but_logins(owner: Any) -> None:
    rows = await owner.fetch("SELECT * FROM pg_roles WHERE rolname = ANY ($1)", list(LOGIN_ROLES))
    powers = ("rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls")

    assert {row["rolname"] for row in rows if row["rolcanlogin"]} == set(LOGIN_ROLES)
    assert not any(row[power] for row in rows for power in powers)
    memberships = "SELECT count(*) FROM pg_auth_members WHERE $1::regrole[] && ARRAY[member, roleid]::regrole[]"
    passed_on = "SELECT count(*) FROM pg_class, aclexplode(relacl) WHERE is_grantable AND grantee = ANY ($1::regrole[])"
    assert await owner.fetchval(memberships, list(LOGIN_ROLES)) == 0
    assert await owner.fetchval(passed_on, list(LOGIN_ROLES)) == 0
    assert await owner.fetchval("SELECT count(*) FROM pg_default_acl") == 0
    name = await owner.fetchval("SELECT current_database()")
    for role in ROLES:
        assert await privileges(owner, "has_database_privilege", role, name, ("CREATE",)) == set()


async def test_everything_belongs_to_the_role_that_migrates(owner: Any) -> None:
    for catalog, of_schema, of_owner in (
        ("pg_class", "relnamespace", "relowner"),
        ("pg_proc", "pronamespace", "proowner"),
        ("pg_type", "typnamespace", "typowner"),
    ):
        strangers = await owner.fetch(
            f"SELECT thing.oid FROM {catalog} AS thing JOIN pg_namespace AS n ON n.oid = thing.{of_schema}"
            f" WHERE {OURS} AND thing.{of_owner} <> $1::text::regrole",
            OWNER,
        )
        assert strangers == [], catalog


# By trying


@pytest.fixture(params=LOGIN_ROLES)
async def service(request: Any, servers: Servers, database: str) -> AsyncIterator[tuple[str, Any]]:
    """Each login role in turn, and its connection."""
    connection = await asyncpg.connect(servers.dsn(request.param, database).get_secret_value())
    yield request.param, connection
    await connection.close()


async def is_let(connection: Any, statement: str) -> bool:
    """Whether the database lets a statement through, whatever else is wrong with it; nothing of it stays."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        return False
    except asyncpg.PostgresError:
        return True
    finally:
        await transaction.rollback()
    return True


async def test_a_service_gets_at_tables_just_as_the_page_says(
    service: tuple[str, Any], relations: dict[str, str], owner: Any
) -> None:
    role, connection = service
    for name, kind in relations.items():
        if kind == "S":
            assert not await is_let(connection, f"SELECT nextval('{name}')"), name
            continue
        column = await owner.fetchval(
            "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0"
            " AND NOT attisdropped AND attgenerated = '' AND attidentity = '' LIMIT 1",
            name,
        )
        tries = {
            "SELECT": f"SELECT FROM {name} LIMIT 0",
            "INSERT": f"INSERT INTO {name} DEFAULT VALUES",
            "UPDATE": f"UPDATE {name} SET {column} = NULL WHERE false",
            "DELETE": f"DELETE FROM {name} WHERE false",
            "TRUNCATE": f"TRUNCATE {name} CASCADE",
        }
        let = {verb for verb, statement in tries.items() if await is_let(connection, statement)}
        if name == "public.users":
            let -= {"TRUNCATE"}  # of a view that is no table, which is told before rights are looked at
        assert let == cell(WRITTEN["Tables, views and sequences"], name, role), f"{role} on {name}"


async def test_a_service_calls_functions_just_as_the_page_says(
    service: tuple[str, Any], functions: dict[str, asyncpg.Record], owner: Any
) -> None:
    role, connection = service
    for name, function in functions.items():
        if function["is_trigger"]:
            continue  # the database itself is the only one that can call those
        arguments = "SELECT format_type(unnest(proargtypes), NULL) AS name FROM pg_proc WHERE oid = $1"
        types = await owner.fetch(arguments, function["oid"])
        nothing = ", ".join(f"NULL::{each['name']}" for each in types)
        schema = name.partition(".")[0]
        may = cell(WRITTEN["Functions"], name, role) == {"EXECUTE"}
        reaches = may and "USAGE" in cell(WRITTEN["Schemas"], schema, role)
        assert await is_let(connection, f"SELECT {name.partition('(')[0]}({nothing})") == reaches, f"{role} on {name}"


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE public.users2 (id int)",
        "CREATE FUNCTION public.digest(text) RETURNS text LANGUAGE sql RETURN $1",
        "CREATE VIEW public.account AS SELECT 1",
        "CREATE SCHEMA mine",
        "CREATE TABLE meta.mine (id int)",
        "CREATE ROLE mine",
        "ALTER ROLE hivemind PASSWORD 'mine'",
        "SET ROLE hivemind",
        "SET SESSION AUTHORIZATION hivemind",
        "ALTER TABLE audit.entry DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
        "COPY (SELECT 1) TO '/dev/null'",
        "SELECT pg_read_file('postgresql.conf')",
        "SELECT rolpassword FROM pg_authid",
    ],
)
async def test_nobody_but_the_owner_makes_or_reaches_what_is_the_owners(
    service: tuple[str, Any], statement: str
) -> None:
    role, connection = service
    try:
        assert not await is_let(connection, statement), role
    finally:
        await connection.execute("RESET ALL")


async def test_only_auth_reads_password_hashes_and_digests(service: tuple[str, Any]) -> None:
    role, connection = service
    for column in ("account.password_hash", "api_key.digest", "session.digest"):
        table = column.partition(".")[0]
        assert await is_let(connection, f"SELECT {column} FROM auth.{table}") == (role == "hivemind_auth"), column


async def test_a_table_of_ones_own_cannot_stand_in_for_one_of_ours(servers: Servers, database: str, owner: Any) -> None:
    before = await owner.fetchval("SELECT count(*) FROM audit.entry")
    connection = await asyncpg.connect(servers.dsn("hivemind_bots", database).get_secret_value())
    try:
        await connection.execute("CREATE TEMP TABLE entry (LIKE pg_class); SET search_path = pg_temp, public")
        await connection.execute(
            "SELECT audit.record('service', NULL, 'bots', 'bot.created', '', 'ok', NULL, NULL, '{}')"
        )
        assert await connection.fetchval("SELECT count(*) FROM pg_temp.entry") == 0
    finally:
        await connection.close()

    assert await owner.fetchval("SELECT count(*) FROM audit.entry") == before + 1
