"""`hivemind up`: everything on this machine, from the lock on the data folder to the last signal."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import webbrowser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from hivemind_common.clock import rfc3339, system_clock
from hivemind_common.embedded.account import AccountError, embedded_account
from hivemind_common.environment import SECRET_VARIABLES, Environment, HostPort, read_environment
from hivemind_common.runtime import Service
from hivemind_common.telemetry import configure_logging, get_logger
from hivemind_common.version import VERSION
from hivemind_server.console import Exit, RefusalError, refuse, say, warn
from hivemind_server.data import DataFolder, default_folder
from hivemind_server.env_file import read_env_file
from hivemind_server.fleet import Fleet, FleetError
from hivemind_server.interrupts import Interrupts, StopAskedError
from hivemind_server.logs import LogFiles

DEFAULT_URL = "http://127.0.0.1:8585"
_DISK_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
_NOT_FOR_UP = ("HIVEMIND_DATABASE_URL", "HIVEMIND_NATS_URL", "HIVEMIND_OPS_BIND")


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    data_dir: Path | None = None
    host: str | None = None
    port: int | None = None
    env_file: Path | None = None
    processes: bool = False
    open_browser: bool = False
    logs_to_stderr: bool = False


def run_up(options: Options, services: Sequence[Service], environ: Mapping[str, str]) -> Exit:
    """Run until a signal comes or something breaks. Raises what is refused before anything was started."""
    environment = settings(options, environ)
    try:
        account = embedded_account()
    except AccountError as fault:
        raise RefusalError(str(fault), "useradd --system hivemind-embedded") from None
    os.umask(0o077)
    with DataFolder(options.data_dir or default_folder(account), account) as data:
        check_port(environment.bind)
        logs = LogFiles(data.logs, to_stderr=options.logs_to_stderr)
        configure_logging(environment.log_level, logs.write)
        with (
            contextlib.closing(logs),
            naming_the_folder(data),
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            return runner.run(_run(options, services, data, environment, logs))


@contextlib.contextmanager
def naming_the_folder(data: DataFolder) -> Iterator[None]:
    """What a disk refuses at the start, a secret or the configuration of a server, is refused like the folder itself."""
    try:
        yield
    except OSError as fault:
        if fault.errno not in _DISK_FAULTS:
            raise
        raise RefusalError(
            f"the data folder {data.path} cannot be used: {os.strerror(fault.errno)}", "make room, and start it again"
        ) from None


def settings(options: Options, environ: Mapping[str, str]) -> Environment:
    """Judge the settings: flags beat the environment, which beats the env file. Tells warnings at once."""
    given = {name: value for name, value in environ.items() if value != ""}
    from_file = read_env_file(options.env_file) if options.env_file else {}
    for name in SECRET_VARIABLES:
        if {name, f"{name}_FILE"} & given.keys():
            # Both forms are one setting: what the environment says hides either of them.
            from_file.pop(name, None)
            from_file.pop(f"{name}_FILE", None)
    merged = from_file | given
    environment, warnings = read_environment(merged)
    for warning in warnings:
        warn(warning)
    for name in _NOT_FOR_UP:
        if merged.get(name) or merged.get(f"{name}_FILE"):
            warn(f"{name} is for `hivemind service`; `hivemind up` starts its own and does not use it")
    bind = environment.bind
    host = bind.host if options.host is None else options.host
    port = bind.port if options.port is None else options.port
    return environment.model_copy(update={"bind": HostPort(host, port)})


def check_port(bind: HostPort) -> None:
    """Refuse an address that cannot be listened on, before anything is started."""
    try:
        found = socket.getaddrinfo(bind.host, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                probe.listen()
    except OSError as fault:
        reason = fault.strerror or str(fault)
        raise RefusalError(
            f"cannot listen on {bind.host}, port {bind.port}: {reason}", "choose another: --port 0 takes any free one"
        ) from None


async def _run(
    options: Options, services: Sequence[Service], data: DataFolder, environment: Environment, logs: LogFiles
) -> Exit:
    started_at = rfc3339(system_clock())
    ready_at: str | None = None
    interrupts = Interrupts()

    def publish() -> None:
        if ready_at is not None:
            data.write_run(describe(fleet, started_at, ready_at))

    def publish_change() -> None:
        try:
            publish()
        except OSError as fault:
            # What has changed is told late; a full disk is no reason to end what still runs.
            get_logger().error("up.run_file_failed", reason=str(fault.strerror))

    fleet = Fleet(
        services,
        data,
        environment,
        processes=options.processes,
        sink=logs.write,
        told=lambda text: say(f"{text} …"),
        changed=publish_change,
    )
    try:
        async with AsyncExitStack() as stack:
            try:
                await interrupts.unless_asked(stack.enter_async_context(fleet))
                ready_at = rfc3339(system_clock())
                publish()
                _welcome(fleet, data)
                if options.open_browser:
                    await asyncio.to_thread(webbrowser.open, fleet.url)
                await interrupts.unless_asked(fleet.wait())
            except StopAskedError:
                say("Stopping …")
    except FleetError as fault:
        refuse(str(fault), f"see {data.logs}")
        return Exit.BROKE
    except asyncio.CancelledError:
        if not interrupts.at_once:
            raise
        return Exit.STOPPED_AT_ONCE
    finally:
        data.run_file.unlink(missing_ok=True)
    return Exit.DONE


def describe(fleet: Fleet, started_at: str, ready_at: str) -> dict[str, Any]:
    """Return what `run.json` says."""
    return {
        "schema": 1,
        "version": VERSION,
        "pid": os.getpid(),
        "url": fleet.url,
        "started_at": started_at,
        "ready_at": ready_at,
        "services": {
            name: {"pid": member.pid, "ops_url": f"http://127.0.0.1:{member.running.ops_port}"}
            for name, member in fleet.members.items()
        },
        "postgres": {"pid": fleet.postgres.pid, "dsn_file": "secrets/ops_dsn"},
        "nats": {"pid": fleet.nats.pid, "url": fleet.nats.url},
        "logs": "logs",
    }


def _welcome(fleet: Fleet, data: DataFolder) -> None:
    say(f"Hivemind is ready: {fleet.url}")
    where = "" if fleet.url == DEFAULT_URL else f" --url {fleet.url}"
    if fleet.setup_token is None:
        say(f"Next: ./hm bot list{where}")
        return
    say(f"Next: ./hm setup{where}")
    if data.setup_token_file.exists():
        say(f"From another machine it needs the setup token in {data.setup_token_file}")
