"""`hivemind migrate`: the database brought up to date, before the services that use it are started."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hivemind_common.environment import Environment
from hivemind_common.schema.runner import LOGIN_ROLES, Phase, SchemaError, migrate
from hivemind_common.secrets import SecretStr
from hivemind_server.console import Exit, RefusalError, say


def run_migrate(environment: Environment, passwords: Path | None, phase: Phase) -> Exit:
    """Migrate the database that the environment names; roles get the passwords that lie in the folder."""
    url = environment.needed_database_url
    try:
        done = asyncio.run(migrate(url, _read(passwords) if passwords else {}, phase=phase))
    except SchemaError as fault:
        raise RefusalError(str(fault), fault.hint) from None
    except OSError as fault:
        raise RefusalError(f"HIVEMIND_DATABASE_URL: the database does not answer: {fault.strerror or fault}") from None
    for name in done.applied:
        say(f"applied {name}")
    say(f"The database is at schema {done.schema_version}")
    return Exit.DONE


def _read(folder: Path) -> dict[str, SecretStr]:
    try:
        return {
            role: SecretStr((folder / role).read_text(encoding="utf-8").strip())
            for role in LOGIN_ROLES
            if (folder / role).exists()
        }
    except OSError as fault:
        raise RefusalError(f"cannot read {fault.filename}: {fault.strerror}") from None
