"""The data folder: who may use it, whose it is just now, and the secrets that are made with it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from hivemind_common.embedded.account import ACCOUNT_NAME, Account, can_reach
from hivemind_common.secrets import SecretStr, new_token
from hivemind_server.console import RefusalError

SYSTEM_FOLDER = Path("/var/lib/hivemind")
_OURS = ("lock", "postgres/cluster")
"""One of these lies in every folder that was ever used: what is made first, and what a restored copy must have."""

_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""What the servers' configurations cannot say in a path: a control character, or a byte that Python could not decode."""

_ELSEWHERE = "choose another folder: --data-dir /path/to/folder"


def _beside() -> Path:
    home = Path(__file__).resolve().parents[4]
    return (home if (home / "hivemind").is_file() else Path.cwd()) / "hivemind-data"


def default_folder(account: Account | None) -> Path:
    """Return `hivemind-data` beside the launcher; where the servers' account may not pass, the system's folder."""
    folder = _beside()
    return folder if can_reach(account, folder if folder.exists() else folder.parent) else SYSTEM_FOLDER


def used_folder() -> Path:
    """Return the default folder that an earlier `hivemind up` has chosen."""
    folder = _beside()
    return folder if (folder / "secrets").exists() or not (SYSTEM_FOLDER / "secrets").exists() else SYSTEM_FOLDER


def write_private(path: Path, text: str) -> None:
    """Write a file whole, 0600: a reader sees what was there before or all of the new."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


class DataFolder:
    """A data folder that is ours as long as this object is open."""

    def __init__(self, path: Path, account: Account | None = None) -> None:
        self.path = path.absolute()
        self.account = account
        self._lock: int | None = None

    def __enter__(self) -> Self:
        """Make the folder where it is missing and take its lock; raises `RefusalError`."""
        try:
            self._make()
            self._lock = self._take_lock()
            for name in ("logs", "secrets"):
                (self.path / name).mkdir(mode=0o700, exist_ok=True)
            self.run_file.unlink(missing_ok=True)  # of a run that was killed
        except OSError as fault:
            self._release()
            reason = fault.strerror or str(fault)
            raise RefusalError(f"the data folder {self.path} cannot be used: {reason}", _ELSEWHERE) from None
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

    @property
    def run_file(self) -> Path:
        """Where a run that is ready says how it is reached."""
        return self.path / "run.json"

    @property
    def setup_token_file(self) -> Path:
        """Where the setup token lies until there is an admin."""
        return self.path / "setup-token"

    @property
    def logs(self) -> Path:
        """Where the logs lie."""
        return self.path / "logs"

    def secret_file(self, name: str) -> Path:
        """Return the path of a secret."""
        return self.path / "secrets" / name

    def secret(self, name: str, make: Callable[[], str] = lambda: new_token(43)) -> SecretStr:
        """Return a secret of this folder, made at its first use: 256 bits where nothing else is said."""
        path = self.secret_file(name)
        try:
            return SecretStr(path.read_text(encoding="utf-8").strip())
        except FileNotFoundError:
            self.keep_secret(name, SecretStr(make()))
            return SecretStr(path.read_text(encoding="utf-8").strip())

    def keep_secret(self, name: str, value: SecretStr) -> Path:
        """Write a secret and return its path."""
        path = self.secret_file(name)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_private(path, value.get_secret_value() + "\n")
        return path

    def keep_setting(self, service: str, variable: str, value: SecretStr) -> Path:
        """Write a secret that a service in a process of its own reads, and return its path."""
        return self.keep_secret(f"{service}.{variable}", value)

    def forget_settings(self) -> None:
        """Remove what `keep_setting` wrote: it is of use to a run only."""
        for path in self.secret_file("").glob("*.*"):
            path.unlink(missing_ok=True)

    def integration_key(self) -> SecretStr:
        """Return the key that seals integrations, made with the folder."""
        return self.secret("integration_key", lambda: secrets.token_hex(32))

    def setup_token(self) -> SecretStr:
        """Return the token of a folder without an admin, made when it is missing."""
        try:
            return SecretStr(self.setup_token_file.read_text(encoding="utf-8").strip())
        except FileNotFoundError:
            write_private(self.setup_token_file, new_token(32) + "\n")
            return SecretStr(self.setup_token_file.read_text(encoding="utf-8").strip())

    def write_run(self, run: Mapping[str, Any]) -> None:
        """Say how this run is reached."""
        write_private(self.run_file, json.dumps(run, indent=1) + "\n")

    def _make(self) -> None:
        if _UNWRITABLE.search(str(self.path)):
            raise RefusalError(
                f"the data folder {str(self.path)!a} cannot be used: its path has bytes that are no UTF-8, or a line break",
                _ELSEWHERE,
            )
        missing = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(mode=0o700)
            # Servers that run as another account pass through it; what lies inside is closed one by one.
            folder.chmod(0o711 if self.account else 0o700)
        if not self.path.is_dir():
            raise RefusalError(f"{self.path} is not a folder", _ELSEWHERE)
        owner = self.path.stat().st_uid
        if owner != os.geteuid():
            raise RefusalError(
                f"the data folder {self.path} belongs to another account (uid {owner})",
                f"start it as that account, or {_ELSEWHERE}",
            )
        if not any((self.path / name).exists() for name in _OURS):
            found = next((each.name for each in self.path.iterdir() if each.name != "lost+found"), None)
            if found is not None:
                raise RefusalError(
                    f"{self.path} is no data folder of Hivemind, and not empty: there is {found} in it",
                    f"choose an empty folder, or one that does not exist: --data-dir {self.path / 'hivemind-data'}",
                )
        if not can_reach(self.account, self.path):
            for folder in missing:
                folder.rmdir()
            raise RefusalError(
                f"the account {ACCOUNT_NAME}, which runs Postgres and NATS, cannot reach {self.path}",
                f"choose a folder that every account may pass to: --data-dir {SYSTEM_FOLDER}",
            )

    def _take_lock(self) -> int:
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:
            holder = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(lock)
            if fault.errno not in {errno.EAGAIN, errno.EACCES}:
                raise
            raise RefusalError(
                f"the data folder {self.path} is in use by process {holder}",
                f"stop it with: kill {holder}; or {_ELSEWHERE}",
            ) from None
        pid = f"{os.getpid()}\n".encode()
        os.pwrite(lock, pid, 0)
        os.ftruncate(lock, len(pid))
        return lock

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
