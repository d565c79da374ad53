"""What the migrations make, as one text: `python -m hivemind_common.testing.schema_dump` writes `schema/schema.sql`."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from importlib.resources import files
from pathlib import Path

from hivemind_common.embedded.account import embedded_account
from hivemind_common.embedded.binaries import wheel_postgres
from hivemind_common.embedded.postgres import OWNER, EmbeddedPostgres
from hivemind_common.schema.runner import LOGIN_ROLES, migrate
from hivemind_common.secrets import SecretStr

SCHEMA_FILE = Path(str(files("hivemind_common.schema"))) / "schema.sql"
_HEAD = (
    "-- What the migrations make. Not for running: a test compares it, so that a change is seen whole in review.\n\n"
)


def dump_schema(database_url: SecretStr) -> str:
    """Return the structure of a database, with its rights, and without what differs from run to run."""
    command = [
        str(wheel_postgres() / "pg_dump"),
        "--schema-only",
        "--no-owner",
        "--dbname",
        database_url.get_secret_value(),
    ]
    told = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - the command is ours
    lines = [
        line.rstrip()
        for line in told.stdout.splitlines()
        if not line.startswith(("--", "SET ", "SELECT pg_catalog.set_config", "\\restrict", "\\unrestrict"))
    ]
    return _HEAD + "\n".join(line for line, before in zip(lines, ["", *lines], strict=False) if line or before) + "\n"


async def _write() -> None:
    with tempfile.TemporaryDirectory() as folder:
        account = embedded_account()
        if account is not None:
            Path(folder).chmod(0o711)
        password = SecretStr("for-this-run-only")
        postgres = EmbeddedPostgres(Path(folder) / "postgres", password=password, account=account, durable=False)
        await postgres.start()
        try:
            await migrate(postgres.dsn(OWNER, password), dict.fromkeys(LOGIN_ROLES, password))
            SCHEMA_FILE.write_text(dump_schema(postgres.dsn(OWNER, password)), encoding="utf-8")
        finally:
            await postgres.stop()


if __name__ == "__main__":
    asyncio.run(_write())
