"""The previous state of the code: its sources, taken from the history, and its services as processes."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hivemind_common.environment import Environment
from hivemind_common.runtime import Service
from hivemind_common.secrets import SecretStr
from hivemind_server.members import ProcessMember
from hivemind_server.settings import without_ours

ROOT: Final = Path(__file__).resolve().parents[1]
STATE: Final = Path(__file__).with_name("previous_state.toml")
WIRE: Final = Path(__file__).with_name("contract") / "data" / "wire"

PYTHON: Final = (sys.executable, "-P")
"""Runs today's code."""

_MIGRATION_LIMIT: Final = 60


class NoHistoryError(Exception):
    """The sources cannot be had: git is not there, or the clone is shallow. The text says which."""


def read_state() -> dict[str, Any]:
    """Return which state is the previous one, and what of it is retired."""
    return tomllib.loads(STATE.read_text(encoding="utf-8"))


def folder_of(commit: str) -> Path:
    """Return where the messages of a state are kept."""
    return WIRE / commit[:12]


@dataclass(frozen=True)
class Previous:
    """The sources of a state, in a folder of their own; packages that are not ours are those of today."""

    commit: str
    folder: Path

    @property
    def python(self) -> tuple[str, ...]:
        """The beginning of a command that runs Python with these sources before today's."""
        sources = sorted(
            str(path) for top in ("libs", "services", "deploy") for path in self.folder.glob(f"{top}/*/src")
        )
        env = shutil.which("env") or "/usr/bin/env"
        return (env, f"PYTHONPATH={':'.join(sources)}", *PYTHON)

    @property
    def schemas(self) -> dict[str, str]:
        """The committed schemas of all contracts, as text by subject."""
        folder = self.folder / "libs/common/src/hivemind_common/contracts/schemas"
        return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.json"))}

    def migrate(self, database_url: SecretStr, passwords: Path | None = None) -> None:
        """Bring a database to the schema of that state; its roles get the passwords that lie in the folder."""
        more = ("--passwords", str(passwords)) if passwords else ()
        subprocess.run(
            [*self.python, "-m", "hivemind_server", "migrate", *more],
            env=without_ours() | {"HIVEMIND_DATABASE_URL": database_url.get_secret_value()},
            check=True,
            capture_output=True,
            timeout=_MIGRATION_LIMIT,
        )


def member_of(
    service: Service,
    environment: Environment,
    secrets: Path,
    log: list[str],
    *,
    python: Sequence[str] = PYTHON,
) -> ProcessMember:
    """Return a service as a process, ready to be started: today's code of it, or what `python` runs.

    Its secrets lie in a folder of the caller's; what it logs goes to `log`, a JSON object to a line.
    """

    def keep(variable: str, secret: SecretStr) -> Path:
        path = secrets / f"{service.name}_{variable}"
        path.write_text(secret.get_secret_value(), encoding="utf-8")
        return path

    return ProcessMember(
        service,
        environment,
        command=(*python, "-m", "hivemind_server", "service", service.name),
        keep=keep,
        sink=lambda _name, line: log.append(line.decode(errors="replace")),
    )


@contextmanager
def previous_sources(commit: str) -> Iterator[Previous]:
    """Unpack the sources of a state for the length of the block. Raises `NoHistoryError`."""
    git = shutil.which("git")
    if git is None:
        raise NoHistoryError("git is not there")
    # Whoever owns the clone: only its own history is read.
    command = [git, "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "archive", "--format=tar", commit]
    done = subprocess.run([*command, "libs", "services", "deploy"], capture_output=True, check=False)
    if done.returncode:
        raise NoHistoryError(f"git has no {commit[:12]}: {done.stderr.decode(errors='replace').strip()}")
    with tempfile.TemporaryDirectory(prefix="hivemind-previous-") as name:
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            # The first releases of Python 3.11 have no filters.
            archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _path: member)
            archive.extractall(name)
        yield Previous(commit, Path(name))
