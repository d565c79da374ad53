"""A real nats-server on a loopback port, with one user and password per service. It stores nothing."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

from pydantic import SecretStr

from hivemind_common.bus.permissions import MOST_ANSWERS, Permissions
from hivemind_common.embedded.account import Account, can_reach, make_folder
from hivemind_common.embedded.binaries import copy_nats, wheel_nats
from hivemind_common.embedded.process import (
    Child,
    EmbeddedError,
    end_leftovers,
    last_line,
    link_of,
    open_log,
    plain_environment,
    spawn,
    tail_from,
)

HOST = "127.0.0.1"
_ANY_PORT = -1
_STOP_STEPS = ((signal.SIGTERM, timedelta(seconds=5)),)
_START_LIMIT = timedelta(seconds=30)
_PORT_LIMIT = timedelta(seconds=10)


@dataclass(frozen=True)
class NatsUser:
    """Who may connect, and what that user may say and hear; without `permissions`, everything."""

    password: SecretStr
    permissions: Permissions | None = None


class EmbeddedNats:
    """A nats-server of ours. The kernel picks the port at the first start; every later start keeps it."""

    def __init__(
        self,
        folder: Path,
        *,
        users: Mapping[str, NatsUser],
        binary: Path | None = None,
        account: Account | None = None,
        log: Path | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.log = (log or folder / "nats.log").absolute()
        self._users = dict(users)
        self._given_binary = binary
        self._account = account
        self._config = self.folder / "nats.conf"
        self._ports = self.folder / "ports"
        self._port = _ANY_PORT
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """The server's process id."""
        if self._child is None:
            raise RuntimeError("NATS was not started")
        return self._child.pid

    @property
    def url(self) -> str:
        """Where it listens, without a user."""
        if self._port == _ANY_PORT:
            raise RuntimeError("NATS was not started")
        return f"nats://{HOST}:{self._port}"

    def url_for(self, user: str) -> SecretStr:
        """Return the URL for `user`; it holds the password."""
        secret = quote(self._users[user].password.get_secret_value(), safe="")
        return SecretStr(self.url.replace("://", f"://{quote(user, safe='')}:{secret}@", 1))

    def is_alive(self) -> bool:
        """Whether the server runs."""
        return self._child is not None and self._child.is_alive

    async def start(self) -> None:
        """End what an earlier run left behind, and return when the server listens; after a death, call it again.

        Raises `EmbeddedError` with one line for people.
        """
        if self.is_alive():
            return
        make_folder(self.folder, mode=0o711 if self._account else 0o700)
        make_folder(self._ports, account=self._account)
        await end_leftovers(self._is_leftover, _STOP_STEPS)
        binary = await asyncio.to_thread(self._reachable_binary)
        loop = asyncio.get_running_loop()
        patience = loop.time() + _PORT_LIMIT.total_seconds()
        while not await self._launch(binary):
            # A client that reconnects may hold the port for a moment: loopback ports serve both ends.
            if self._port == _ANY_PORT or loop.time() > patience:
                raise EmbeddedError(f"port {self._port} of NATS is taken")
            await asyncio.sleep(0.2)

    async def stop(self) -> None:
        """End the server; it is gone when this returns."""
        if self._child is not None:
            await self._child.stop(_STOP_STEPS)
        for path in (self._config, *self._ports.glob("*.ports")):
            path.unlink(missing_ok=True)

    async def wait(self) -> int:
        """Wait until the server ends, by itself or not; returns its exit code."""
        if self._child is None:
            raise RuntimeError("NATS was not started")
        return await self._child.wait()

    async def _launch(self, binary: Path) -> bool:
        """Start the server and wait until it listens; False when its port is taken."""
        self._write_config()
        for old in self._ports.glob("*.ports"):
            old.unlink()
        with open_log(self.log) as output:
            offset = self.log.stat().st_size
            self._child = spawn(
                [binary, "--config", self._config],
                death_signal=signal.SIGTERM,
                environment=plain_environment(),
                output=output,
                account=self._account,
            )
        file = self._ports / f"{binary.name}_{self._child.pid}.ports"
        async with asyncio.timeout(_START_LIMIT.total_seconds()):
            while self._child.is_alive:
                # The file is written once the server listens; until it is whole it is no JSON.
                found = re.search(rf'"nats://{re.escape(HOST)}:(\d+)"', file.read_text()) if file.exists() else None
                if found is not None:
                    self._port = int(found.group(1))
                    return True
                await asyncio.sleep(0.01)
        said = tail_from(self.log, offset)
        if "address already in use" in said:
            return False
        raise EmbeddedError(f"NATS does not start: {last_line(said)}", f"see {self.log}")

    def _write_config(self) -> None:
        lines = [
            'server_name: "hivemind"',
            f'host: "{HOST}"',
            f"port: {self._port}",
            f"ports_file_dir: {json.dumps(str(self._ports), ensure_ascii=False)}",
            "max_payload: 1048576",
            "authorization { users: [",
            *(_user(name, user) for name, user in self._users.items()),
            "] }",
        ]
        fresh = self._config.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if self._account is not None:
                os.fchown(descriptor, self._account.uid, self._account.gid)
            file.write("\n".join(lines) + "\n")
        fresh.replace(self._config)

    def _reachable_binary(self) -> Path:
        binary = self._given_binary or wheel_nats()
        if not binary.is_file():
            raise EmbeddedError(
                f"there is no nats-server at {binary}", "set HIVEMIND_NATS_SERVER=/usr/bin/nats-server, or unset it"
            )
        if can_reach(self._account, binary):
            return binary
        if self._account is None:
            raise EmbeddedError(f"{binary} may not be run", f"chmod +x {binary}")
        return copy_nats(binary, self.folder / "server")

    def _is_leftover(self, pid: int) -> bool:
        program = Path(link_of(pid, "exe").removesuffix(" (deleted)")).name
        if not program.startswith("nats-server"):
            return False
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return os.fsencode(self._config) in command


def _user(name: str, user: NatsUser) -> str:
    """One user as the config file has it; the file is JSON in all that matters here."""
    lines = [f"  {{ user: {json.dumps(name)}, password: {json.dumps(user.password.get_secret_value())}"]
    if user.permissions is not None:
        lines += [
            "    permissions: {",
            f"      publish: {{ allow: {json.dumps(user.permissions.publish)} }}",
            f"      subscribe: {{ allow: {json.dumps(user.permissions.subscribe)} }}",
        ]
        if user.permissions.answers_for is not None:
            expires = f"{int(user.permissions.answers_for.total_seconds())}s"
            lines.append(f'      allow_responses: {{ max: {MOST_ANSWERS}, expires: "{expires}" }}')
        lines.append("    }")
    return "\n".join([*lines, "  }"])
