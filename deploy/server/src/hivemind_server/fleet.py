"""All of Hivemind on one machine: the two servers and every service, started, watched and ended in order.

It prints nothing, handles no signal and reads no variable: `hivemind up` does that, and tests do without.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Final, NoReturn, Self

import asyncpg

from hivemind_common.bus.permissions import all_permissions
from hivemind_common.embedded.nats import EmbeddedNats, NatsUser
from hivemind_common.embedded.postgres import OWNER, EmbeddedPostgres
from hivemind_common.embedded.process import EmbeddedError, NoRoomError
from hivemind_common.environment import ConfigurationError, Environment, HostPort
from hivemind_common.runtime import Service
from hivemind_common.schema.runner import migrate
from hivemind_common.secrets import SecretStr
from hivemind_common.telemetry import Sink, get_logger
from hivemind_server.data import DataFolder
from hivemind_server.logs import cut
from hivemind_server.members import Member, MemberError, ProcessMember, TaskMember

DRAIN_LIMIT: Final = timedelta(seconds=20)
_LOOK_AT_LOGS: Final = timedelta(seconds=5)
_DEATHS: Final = 5
_WITHIN: Final = timedelta(minutes=1)
_PAUSES: Final = (0.0, 0.5, 1.0, 2.0)


class FleetError(Exception):
    """Something broke for good. `name` says what; the text is one line for people."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


def service_command(service: Service) -> Sequence[str]:
    """Return the command that runs one service in a process of its own."""
    return (sys.executable, "-P", "-m", "hivemind_server", "service", service.name)


class Fleet:
    """Entered: everything answers. Left: drained for at most 20 s, and nothing runs any more.

    What is killed from outside is started again: a server in either mode, a service where it has a process. What fails
    by itself, or dies five times within a minute, is told by `wait`. `told` gets lines of progress, `changed` is called
    whenever a process id or a port may have changed.
    """

    def __init__(
        self,
        services: Sequence[Service],
        data: DataFolder,
        environment: Environment,
        *,
        processes: bool = False,
        durable: bool = True,
        sink: Sink = lambda _service, _line: None,
        told: Callable[[str], None] = lambda _text: None,
        changed: Callable[[], None] = lambda: None,
        command: Callable[[Service], Sequence[str]] = service_command,
    ) -> None:
        self._services = tuple(services)
        self._data = data
        self._environment = environment
        self._processes = processes
        self._sink = sink
        self._told = told
        self._changed = changed
        self._command = command
        self._owner_password = environment.db_password or data.secret("postgres")
        self.postgres = EmbeddedPostgres(
            data.path / "postgres",
            password=self._owner_password,
            binaries=environment.postgres_bin,
            account=data.account,
            log=data.logs / "postgres.log",
            durable=durable,
        )
        self.nats = EmbeddedNats(
            data.path / "nats",
            users={
                name: NatsUser(data.secret(f"nats_{name}"), permissions)
                for name, permissions in all_permissions(services).items()
            },
            binary=environment.nats_server,
            account=data.account,
            log=data.logs / "nats.log",
        )
        self.members: Mapping[str, Member] = {}
        self.setup_token: SecretStr | None = None
        """What the first admin is registered with; None when there is an admin already."""
        self._failure: asyncio.Future[FleetError] | None = None
        self._guards: list[asyncio.Task[None]] = []

    @property
    def owner_dsn(self) -> SecretStr:
        """The database as the role that owns it."""
        return self.postgres.dsn(OWNER, self._owner_password)

    @property
    def url(self) -> str:
        """Where people reach it."""
        bind = self._environment.bind
        port = next(
            (member.running.http_port for member in self.members.values() if member.running.http_port), bind.port
        )
        return f"http://{HostPort({'0.0.0.0': '127.0.0.1', '::': '::1'}.get(bind.host, bind.host), port)}"

    async def __aenter__(self) -> Self:
        """Start everything. Raises what kept it: `EmbeddedError`, `SchemaError`, `ConfigurationError`, `FleetError`."""
        self._failure = asyncio.get_running_loop().create_future()
        self._data.forget_settings()
        try:
            self._told("Postgres and NATS are starting")
            await _all(self.postgres.start(), self.nats.start())
            self._data.keep_secret("ops_dsn", self.owner_dsn)
            await self._prepare_database()
            self._told(f"{', '.join(service.name for service in self._services)} are starting")
            self.members = {service.name: self._member(service) for service in self._services}
            await _all(*(self._start(member) for member in self.members.values()))
        except BaseException:
            await self._close()
            raise
        guards = [self._guard("postgres", self.postgres.start, _death_of(self.postgres))]
        guards += [self._guard("nats", self.nats.start, _death_of(self.nats))]
        guards += [
            self._guard(name, partial(self._start, member), member.wait) for name, member in self.members.items()
        ]
        guards.append(self._keep_logs_small())
        self._guards = [asyncio.create_task(guard) for guard in guards]
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _fault: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Drain and end everything. Cancelled meanwhile, it drains no longer, and still leaves nothing behind."""
        await self._close()

    async def wait(self) -> NoReturn:
        """Wait until something breaks for good, and raise the `FleetError` that names it."""
        if self._failure is None:
            raise RuntimeError("the fleet was not entered")
        raise await asyncio.shield(self._failure)

    # Starting

    async def _prepare_database(self) -> None:
        roles = [service.login_role for service in self._services if service.login_role is not None]
        done = await migrate(self.owner_dsn, {role: self._data.secret(role) for role in roles})
        if done.applied:
            self._told(f"The database has been brought to schema {done.schema_version}")
        connection = await asyncpg.connect(self.owner_dsn.get_secret_value())
        try:
            has_admin = bool(await connection.fetchval("SELECT auth.has_admin()"))
        finally:
            await connection.close()
        update: dict[str, object] = {
            "integration_encryption_key": self._environment.integration_encryption_key or self._data.integration_key()
        }
        if has_admin:
            self._data.setup_token_file.unlink(missing_ok=True)
            update |= {"setup_token": None, "setup_token_file": None}
        elif self._environment.setup_token is None:
            self.setup_token = self._data.setup_token()
            update |= {"setup_token": self.setup_token, "setup_token_file": self._data.setup_token_file}
        else:
            self.setup_token = self._environment.setup_token
        self._environment = self._environment.model_copy(update=update)

    def _member(self, service: Service) -> Member:
        role = service.login_role
        environment = self._environment.model_copy(
            update={
                "database_url": self.postgres.dsn(role, self._data.secret(role)) if role else None,
                "nats_url": self.nats.url_for(service.name),
                "ops_bind": HostPort(
                    "127.0.0.1", _ops_port(self._services.index(service), self._environment.bind.port)
                ),
            }
        )
        if not self._processes:
            return TaskMember(service, environment)
        return ProcessMember(
            service,
            environment,
            command=self._command(service),
            keep=partial(self._data.keep_setting, service.name),
            sink=self._sink,
        )

    async def _start(self, member: Member) -> None:
        try:
            try:
                await member.start()
            except ConfigurationError as fault:
                if not str(fault).startswith("HIVEMIND_OPS_BIND"):
                    raise
                # Somebody took the ops port since we looked.
                member.environment = member.environment.model_copy(update={"ops_bind": HostPort("127.0.0.1", 0)})
                await member.start()
        except MemberError as fault:
            raise FleetError(member.service.name, str(fault)) from fault
        # Started again, it is found where it was.
        running = member.running
        update: dict[str, object] = {"ops_bind": HostPort("127.0.0.1", running.ops_port)}
        if running.http_port is not None:
            update["bind"] = HostPort(self._environment.bind.host, running.http_port)
        member.environment = member.environment.model_copy(update=update)

    # Watching

    async def _guard(
        self, name: str, start: Callable[[], Awaitable[None]], ended: Callable[[], Awaitable[str | None]]
    ) -> None:
        """Start `name` again whenever it dies; tell of it when that is no use."""
        loop = asyncio.get_running_loop()
        deaths: deque[float] = deque(maxlen=_DEATHS)
        waits_for_room = False
        while True:
            failed = await ended()
            deaths.append(loop.time())
            if failed is None and len(deaths) == _DEATHS and deaths[-1] - deaths[0] < _WITHIN.total_seconds():
                failed = f"{name} died {_DEATHS} times within a minute"
            if failed is not None:
                self._fail(FleetError(name, failed))
                return
            if not waits_for_room:
                self._told(f"{name} died and is started again")
            get_logger().warning("fleet.restart", part=name)
            recent = sum(1 for death in deaths if deaths[-1] - death < _WITHIN.total_seconds())
            await asyncio.sleep(_PAUSES[min(recent, len(_PAUSES)) - 1])
            try:
                await start()
                self._changed()
                waits_for_room = False
            except (EmbeddedError, ConfigurationError, FleetError, OSError) as fault:
                # Its end is told at once, as one more death.
                get_logger().error("fleet.restart_failed", part=name, reason=str(fault))
                if has_no_room(fault):
                    if not waits_for_room:
                        self._told(f"The disk is full: {name} starts again once there is room")
                    # Somebody has to make room, however long that takes; so these deaths never become too many.
                    waits_for_room = True
                    while len(deaths) > _DEATHS - 2:
                        deaths.popleft()

    async def _keep_logs_small(self) -> None:
        # The servers write their logs themselves, and one line for every fault of whoever speaks to them.
        while True:
            await asyncio.sleep(_LOOK_AT_LOGS.total_seconds())
            for log in (self.postgres.log, self.nats.log):
                await asyncio.to_thread(cut, log)

    def _fail(self, fault: FleetError) -> None:
        if self._failure is not None and not self._failure.done():
            self._failure.set_result(fault)

    # Ending

    async def _close(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + DRAIN_LIMIT.total_seconds()
        try:
            for guard in self._guards:
                guard.cancel()
            await asyncio.gather(*self._guards, return_exceptions=True)
            # What calls goes before what is called, so that work under way can be finished.
            for member in self.members.values():
                await member.stop(timedelta(seconds=max(0.0, deadline - loop.time())))
        finally:
            # Also when the draining was cancelled: nothing may be left.
            members = (member.stop(timedelta()) for member in self.members.values())
            await asyncio.gather(*members, return_exceptions=True)
            for fault in await asyncio.gather(self.nats.stop(), self.postgres.stop(), return_exceptions=True):
                if fault is not None:
                    get_logger().error("fleet.stop_failed", exc_info=fault)
            self._data.forget_settings()


def has_no_room(fault: Exception) -> bool:
    """Whether it is the disk that is full, and nothing is broken."""
    if isinstance(fault, OSError):
        return fault.errno in {errno.ENOSPC, errno.EDQUOT}
    return isinstance(fault, NoRoomError)


async def _all(*work: Awaitable[None]) -> None:
    """Do all of it at once; the first fault is raised as itself, when the rest has stopped."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _death_of(server: EmbeddedPostgres | EmbeddedNats) -> Callable[[], Awaitable[str | None]]:
    async def ended() -> None:
        await server.wait()

    return ended


def _ops_port(place: int, main: int) -> int:
    """Return the port for a service's place in the fleet, the first above the main port; 0, any free one, when taken."""
    port = main + 1 + place if main else 0
    if not 0 < port <= 65535:
        return 0
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    return 0
