"""The command line of `hivemind`. What is heavy is imported by the command that needs it."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from hivemind_common.environment import ConfigurationError, read_environment
from hivemind_common.version import VERSION
from hivemind_server.console import Exit, RefusalError, refuse, say, warn


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 something broke, 2 usage, 3 it cannot be done here."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["contracts"]:
        from hivemind_server.contracts_command import run

        return run(given[1:])
    parser = _parser()
    options = parser.parse_args(given)
    try:
        return int(options.run(parser, options))
    except RefusalError as fault:
        refuse(fault.message, fault.hint)
    except ConfigurationError as fault:
        refuse(str(fault))
    except KeyboardInterrupt:
        return Exit.STOPPED_AT_ONCE
    return Exit.CANNOT_START


def _up(_parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    from hivemind_common.embedded.process import EmbeddedError
    from hivemind_common.schema.runner import SchemaError
    from hivemind_server.services import SERVICES
    from hivemind_server.up import Options, run_up

    wanted = Options(
        data_dir=options.data_dir,
        host=options.host,
        port=options.port,
        env_file=options.env_file,
        processes=options.processes,
        open_browser=options.open,
        logs_to_stderr=options.logs,
    )
    _forget_libpq()
    try:
        return run_up(wanted, SERVICES, os.environ)
    except (EmbeddedError, SchemaError) as fault:
        raise RefusalError(str(fault), fault.hint) from None


def _service(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    from hivemind_server.service_command import run_service
    from hivemind_server.services import SERVICES

    service = next((each for each in SERVICES if each.name == options.name), None)
    if service is None:
        parser.error(f"there is no service {options.name}; there are {', '.join(each.name for each in SERVICES)}")
    environment, warnings = read_environment(os.environ)
    for warning in warnings:
        warn(warning)
    return run_service(service, environment, options.ready_fd)


def _migrate(_parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    from hivemind_common.schema.runner import Phase
    from hivemind_server.migrate_command import run_migrate

    environment, warnings = read_environment(os.environ)
    for warning in warnings:
        warn(warning)
    return run_migrate(environment, options.passwords, Phase(options.phase))


def _sql(_parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    from hivemind_server.sql_command import run_sql

    _forget_libpq()
    return run_sql(options.data_dir, options.command)


def _test(_parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    from hivemind_server.checks import run_checks

    return run_checks(expression=options.k, fast=options.fast, full=options.full)


def _forget_libpq() -> None:
    """Where the database is our own, what somebody has set for psql and another one is not meant for it."""
    for name in [name for name in os.environ if re.fullmatch("PG[A-Z]+", name)]:
        del os.environ[name]


def _version(_parser: argparse.ArgumentParser, _options: argparse.Namespace) -> int:
    say(f"hivemind {VERSION}")
    return Exit.DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hivemind", description="Self-hosted bots: every service of Hivemind, on this machine."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="start everything: Postgres, NATS and all services")
    up.add_argument(
        "--data-dir",
        type=_folder,
        metavar="D",
        help="where everything is kept (default: hivemind-data beside the launcher)",
    )
    up.add_argument("--host", type=_host, metavar="H", help="address to listen on (default: 127.0.0.1)")
    up.add_argument("--port", type=_port, metavar="P", help="port to listen on, 0 for any free one (default: 8585)")
    up.add_argument("--env-file", type=Path, metavar="F", help="KEY=value lines; the environment beats them")
    up.add_argument("--processes", action="store_true", help="a process per service")
    up.add_argument("--open", action="store_true", help="open a browser when it is ready")
    up.add_argument("--logs", action="store_true", help="write the log lines to stderr too")
    up.set_defaults(run=_up)

    test = commands.add_parser("test", help="run what CI runs: lint, types, import rules, tests")
    test.add_argument("-k", metavar="EXPR", help="only tests that match, as pytest reads it")
    test.add_argument("--fast", action="store_true", help="leave out tests that start whole processes")
    test.add_argument("--full", action="store_true", help="long campaigns too")
    test.set_defaults(run=_test)

    commands.add_parser("version", help="print the version").set_defaults(run=_version)

    migrate = commands.add_parser(
        "migrate", help="bring the database of HIVEMIND_DATABASE_URL, as role hivemind, up to date"
    )
    migrate.add_argument(
        "--passwords", type=Path, metavar="DIR", help="a folder with a file per login role that holds its password"
    )
    phases = migrate.add_mutually_exclusive_group()
    phases.add_argument(
        "--pre", dest="phase", action="store_const", const="pre", help="only what services of the last version survive"
    )
    phases.add_argument(
        "--post", dest="phase", action="store_const", const="post", help="the rest, once none of these is left"
    )
    migrate.set_defaults(run=_migrate, phase="all")

    commands.add_parser("contracts", help="write or compare the schemas of the messages")

    service = commands.add_parser("service", help="run one service, with settings from the environment")
    service.add_argument("name", metavar="NAME")
    service.add_argument("--ready-fd", type=int, metavar="N", help=argparse.SUPPRESS)
    service.set_defaults(run=_service)

    sql = commands.add_parser("sql", help="speak SQL with the embedded database, as role hivemind")
    sql.add_argument("--data-dir", type=_folder, metavar="D", help="the data folder of the running `up`")
    sql.add_argument("-c", dest="command", metavar="STATEMENT", help="run one statement instead of a prompt")
    sql.set_defaults(run=_sql)
    return parser


def _folder(text: str) -> Path:
    if not text:  # an unset shell variable, which would otherwise mean the folder one stands in
        raise argparse.ArgumentTypeError("must name a folder")
    return Path(text)


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > 65535:
        raise argparse.ArgumentTypeError("must be 0 to 65535")
    return int(text)


def _host(text: str) -> str:
    host = text.removeprefix("[").removesuffix("]")
    if not re.fullmatch(r"[A-Za-z0-9.:_-]+", host):
        raise argparse.ArgumentTypeError("must be a host name or an address")
    return host
