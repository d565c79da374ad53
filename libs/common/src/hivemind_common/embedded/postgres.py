"""A real Postgres in a folder: made, started, ended, and started again after whatever happened to it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import signal
import stat
import sys
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import asyncpg
from pydantic import SecretStr

from hivemind_common.embedded.account import Account, can_reach, make_folder
from hivemind_common.embedded.binaries import copy_postgres, wheel_postgres
from hivemind_common.embedded.process import (
    Child,
    EmbeddedError,
    NoRoomError,
    end_leftovers,
    last_line,
    link_of,
    open_log,
    plain_environment,
    run,
    spawn,
    tail_from,
)
from hivemind_common.schema.runner import OLDEST_POSTGRES

OWNER = "hivemind"
"""The bootstrap superuser, and the database that belongs to it."""

MAX_CONNECTIONS = 100
_STOP_STEPS = ((signal.SIGINT, timedelta(seconds=10)), (signal.SIGQUIT, timedelta(seconds=5)))
_START_LIMIT = timedelta(seconds=120)  # recovery after a crash may have much to do
_SHARED_MEMORY_LIMIT = timedelta(seconds=15)
_PROGRAM_LIMIT = timedelta(seconds=120)
_SOCKET_FOLDER_MAX = 107 - len("/.s.PGSQL.5432")
_ROOM_TO_START = 16 * 1024 * 1024  # a segment of the write-ahead log


class EmbeddedPostgres:
    """A Postgres that listens on a Unix socket only and asks everybody for a password.

    `folder` is ours alone; it holds the cluster, and as root copies of the binaries where the account needs them.
    `durable=False` is for tests: quick, and empty after a power cut.
    """

    def __init__(
        self,
        folder: Path,
        *,
        password: SecretStr,
        binaries: Path | None = None,
        account: Account | None = None,
        log: Path | None = None,
        durable: bool = True,
    ) -> None:
        self.folder = folder.absolute()
        self.log = (log or folder / "postgres.log").absolute()
        self._password = password
        self._given_binaries = binaries
        self._account = account
        self._user_id = os.geteuid() if account is None else account.uid
        self._durable = durable
        self._cluster = self.folder / "cluster"
        self._sockets = self._socket_folder()
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        if self._child is None:
            raise RuntimeError("Postgres was not started")
        return self._child.pid

    def is_alive(self) -> bool:
        """Whether the postmaster runs."""
        return self._child is not None and self._child.is_alive

    def dsn(self, user: str, password: SecretStr, database: str = OWNER) -> SecretStr:
        """Return a libpq URL for `user`; it holds the password."""
        secret = quote(password.get_secret_value(), safe="")
        return SecretStr(
            f"postgresql://{quote(user, safe='')}:{secret}@/{quote(database, safe='')}?host={quote(str(self._sockets), safe='')}"
        )

    async def start(self) -> None:
        """Make what is missing, end what an earlier run left behind, and return when Postgres answers.

        Raises `EmbeddedError` with one line for people. After a death it may simply be called again.
        """
        if self.is_alive():
            return
        make_folder(self.folder, mode=0o711 if self._account else 0o700)
        await end_leftovers(self._is_leftover, _STOP_STEPS)
        binaries = await asyncio.to_thread(self._reachable_binaries)
        major = await self._major_of(binaries)
        if not self._cluster.exists():
            await self._initialise(binaries, major)
        self._check_cluster(major)
        if sys.platform == "linux":
            # Nobody is left on this cluster, so its pid files are stale. The number in them may meanwhile be another's,
            # or a zombie's that nobody has waited for yet.
            for stale in (self._cluster / "postmaster.pid", self._sockets / ".s.PGSQL.5432.lock"):
                stale.unlink(missing_ok=True)
        self._make_socket_folder()
        try:
            await self._launch(binaries, major)
            await self._admit(binaries, major)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End Postgres in order; nothing of it runs and no socket is left when this returns."""
        if self._child is not None:
            await self._child.stop(_STOP_STEPS)
            await end_leftovers(self._is_leftover, _STOP_STEPS)
        if self._sockets.is_dir():
            shutil.rmtree(self._sockets, ignore_errors=True)

    async def wait(self) -> int:
        """Wait until Postgres ends, by itself or not; returns its exit code."""
        if self._child is None:
            raise RuntimeError("Postgres was not started")
        return await self._child.wait()

    # Making a cluster

    async def _initialise(self, binaries: Path, major: int) -> None:
        """Make a cluster beside its place and move it there when it is whole: a torn one never looks like one."""
        fresh = self.folder / "cluster.new"
        secret = self.folder / "password.new"
        for ctype in ("C.UTF-8", "C"):
            if fresh.exists():
                await asyncio.to_thread(shutil.rmtree, fresh)
            secret.unlink(missing_ok=True)
            make_folder(fresh, account=self._account)
            self._write_for_account(secret, self._password.get_secret_value())
            # The builtin provider sorts the same on every machine. Which characters belong to a word is a matter of
            # LC_CTYPE in text search; the plain C locale would take typographic quotes for letters.
            provider = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if major >= 17 else []
            command: list[str | Path] = [
                binaries / "initdb", "--pgdata", fresh, "--username", OWNER, "--pwfile", secret, "--auth=scram-sha-256",
                "--encoding=UTF8", "--locale=C", f"--lc-ctype={ctype}", *provider, *([] if self._durable else ["--no-sync"]),
            ]  # fmt: skip
            try:
                await run(command, account=self._account, limit=_PROGRAM_LIMIT)
                break
            except EmbeddedError as fault:
                if ctype == "C" or "locale" not in fault.message:
                    raise
            finally:
                secret.unlink(missing_ok=True)
        fresh.rename(self._cluster)
        descriptor = os.open(self.folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    def _write_for_account(self, path: Path, text: str) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            if self._account is not None:
                os.fchown(descriptor, self._account.uid, self._account.gid)
            file.write(text + "\n")

    async def _major_of(self, binaries: Path) -> int:
        told = await run([binaries / "postgres", "--version"], account=self._account, limit=_PROGRAM_LIMIT)
        found = re.search(r"\(PostgreSQL\) (\d+)", told)
        major = int(found.group(1)) if found else 0
        if major < OLDEST_POSTGRES:
            raise EmbeddedError(
                f"{binaries} holds Postgres {major}, and {OLDEST_POSTGRES} is the oldest that will do",
                "unset HIVEMIND_POSTGRES_BIN",
            )
        return major

    def _check_cluster(self, major: int) -> None:
        version = self._cluster / "PG_VERSION"
        if not version.is_file():
            raise EmbeddedError(
                f"{self._cluster} is no Postgres cluster", "restore a backup, or remove the folder to begin anew"
            )
        if version.stat().st_uid != self._user_id:
            raise EmbeddedError(f"{self._cluster} belongs to another account", "start it as the account that made it")
        stands = version.read_text().strip()
        if stands != str(major):
            raise EmbeddedError(
                f"{self.folder} was made by Postgres {stands}, and this one is {major}",
                f"start it with HIVEMIND_POSTGRES_BIN=/usr/lib/postgresql/{stands}/bin, dump, and restore into a new folder",
            )

    def _reachable_binaries(self) -> Path:
        binaries = self._given_binaries or wheel_postgres()
        if not (binaries / "postgres").is_file():
            raise EmbeddedError(
                f"there is no postgres in {binaries}",
                "set HIVEMIND_POSTGRES_BIN=/usr/lib/postgresql/18/bin, or unset it",
            )
        share = binaries.parent / "share"
        if can_reach(self._account, binaries / "initdb") and (not share.exists() or can_reach(self._account, share)):
            return binaries
        if self._given_binaries is not None or self._account is None:
            name = self._account.name if self._account else "this account"
            raise EmbeddedError(
                f"{name} may not run the Postgres in {binaries}", "put it where everybody may pass, such as /opt"
            )
        return copy_postgres(self.folder / "server")

    # Starting

    async def _launch(self, binaries: Path, major: int) -> None:
        loop = asyncio.get_running_loop()
        patience = loop.time() + _SHARED_MEMORY_LIMIT.total_seconds()
        while True:
            with open_log(self.log) as output:
                offset = self.log.stat().st_size
                self._child = spawn(
                    [binaries / "postgres", "-D", self._cluster, *self._settings(major)],
                    death_signal=signal.SIGINT,
                    environment=plain_environment(),
                    output=output,
                    account=self._account,
                )
            if await self._answers():
                return
            said = tail_from(self.log, offset)
            # The last backends of a postmaster that was killed may need a moment to notice.
            if "shared memory" not in said or loop.time() > patience:
                fatal = [line for line in said.splitlines() if "FATAL" in line or "PANIC" in line]
                # A full disk may have taken no word of it either.
                has_no_room = "No space left" in said or shutil.disk_usage(self._cluster).free < _ROOM_TO_START
                raise (NoRoomError if has_no_room else EmbeddedError)(
                    f"Postgres does not start: {last_line(chr(10).join(fatal) or said) or 'no room on the disk'}",
                    f"see {self.log}",
                )
            await asyncio.sleep(0.2)

    async def _answers(self) -> bool:
        """Wait until the postmaster speaks to clients; False when it ended instead."""
        socket = self._sockets / ".s.PGSQL.5432"
        try:
            async with asyncio.timeout(_START_LIMIT.total_seconds()):
                while self.is_alive():
                    if socket.exists() and await self._takes_connections():
                        return True
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise EmbeddedError(
                f"Postgres does not answer within {_START_LIMIT.seconds} s", f"see {self.log}"
            ) from None
        return False

    async def _takes_connections(self) -> bool:
        try:
            await self._connect("postgres")
        except asyncpg.InvalidPasswordError:
            return True
        except (asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError, OSError):
            return False
        return True

    async def _admit(self, binaries: Path, major: int) -> None:
        """See to it that the owner gets in with its present password, and that its database is there."""
        try:
            await self._connect("postgres")
        except asyncpg.InvalidPasswordError:
            await self._set_password(binaries, major)
            await self._launch(binaries, major)
        try:
            await self._connect(OWNER)
        except asyncpg.InvalidCatalogNameError:
            await self._connect("postgres", f"CREATE DATABASE {OWNER} TEMPLATE template0")

    async def _set_password(self, binaries: Path, major: int) -> None:
        """Make our password the owner's, in single-user mode: whoever owns the folder may, though nobody knows the old one."""
        if self._child is not None:
            await self._child.stop(_STOP_STEPS)
        quoted = self._password.get_secret_value().replace("'", "''")
        await run(
            [binaries / "postgres", "--single", "-D", self._cluster, *self._settings(major), "postgres"],
            account=self._account,
            given=f"ALTER ROLE {OWNER} PASSWORD '{quoted}';\n",
            limit=_PROGRAM_LIMIT,
        )

    async def _connect(self, database: str, statement: str | None = None) -> None:
        dsn = self.dsn(OWNER, self._password, database).get_secret_value()
        connection = await asyncpg.connect(dsn, timeout=_START_LIMIT.total_seconds())
        try:
            if statement is not None:
                await connection.execute(statement)
        finally:
            await connection.close()

    def _settings(self, major: int) -> list[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._sockets),
            "unix_socket_permissions": "0700",
            "max_connections": str(MAX_CONNECTIONS),
            "shared_buffers": "64MB",
            "max_wal_size": "256MB",
            "wal_level": "minimal",
            "max_wal_senders": "0",
            "jit": "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "lc_messages": "C",
            # What clients did wrong is told to them; in a log it would repeat values that people wrote.
            "log_min_messages": "log",
            "log_min_error_statement": "panic",
            "log_error_verbosity": "terse",
            "log_checkpoints": "off",
        }
        if major >= 18:
            settings["io_method"] = "sync"
        if not self._durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def _is_leftover(self, pid: int) -> bool:
        """Every process of a cluster works in it; a shell that somebody left there is none."""
        program = Path(link_of(pid, "exe").removesuffix(" (deleted)")).name
        return program == "postgres" and link_of(pid, "cwd") == os.path.realpath(self._cluster)

    # The socket

    def _socket_folder(self) -> Path:
        """Names of sockets end at 107 bytes, and lists of folders need no quotes when there is nothing to quote."""
        beside = self.folder / "socket"
        text = str(beside)
        if len(os.fsencode(text)) <= _SOCKET_FOLDER_MAX and re.fullmatch(r"[A-Za-z0-9/._-]+", text):
            return beside
        name = hashlib.sha256(os.path.realpath(os.fsencode(self.folder))).hexdigest()[:16]
        return Path("/tmp") / f"hivemind-{name}"  # noqa: S108 - made 0700, and its owner is checked

    def _make_socket_folder(self) -> None:
        make_folder(self._sockets, account=self._account)
        found = self._sockets.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != self._user_id or found.st_mode & 0o077:
            raise EmbeddedError(
                f"{self._sockets} belongs to somebody else", "remove it, or choose a data folder with a shorter name"
            )
