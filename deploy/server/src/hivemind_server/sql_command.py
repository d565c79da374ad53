"""`hivemind sql`: the embedded database, as the role that owns it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import asyncpg

from hivemind_server.console import Exit, RefusalError, refuse, say
from hivemind_server.data import used_folder

_HINT = "start it with: hivemind up; or name its folder: --data-dir D"

_AS_POSTGRES_WRITES_IT = ("date", "time", "timetz", "timestamp", "timestamptz", "interval", "char")
"""Types with values that Python has none for: the year 10000, 24:00, a month, a byte that is no letter."""

_COPY = re.compile(r"(?:\s|;|--[^\n]*\n|/\*.*?\*/)*COPY\b.*\bSTD(?:IN|OUT)\b", re.IGNORECASE | re.DOTALL)


def run_sql(data_dir: Path | None, statement: str | None) -> Exit:
    """Run one statement, or a prompt until its end."""
    folder = (data_dir or used_folder()).absolute()
    try:
        dsn = (folder / "secrets" / "ops_dsn").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise RefusalError(f"nothing has run in {folder} yet", _HINT) from None
    except OSError as fault:
        raise RefusalError(
            f"cannot read {fault.filename}: {fault.strerror}", "run it as the account that runs `hivemind up`"
        ) from None
    with asyncio.Runner() as runner:
        try:
            connection = runner.run(_connect(dsn))
        except (OSError, asyncpg.PostgresError):
            raise RefusalError(f"no database answers in {folder}", _HINT) from None
        try:
            if statement is not None:
                return runner.run(_run(connection, statement))
            return _prompt(runner, connection)
        finally:
            with contextlib.suppress(OSError, asyncpg.PostgresError):
                runner.run(connection.close(timeout=5))


async def _connect(dsn: str) -> asyncpg.Connection[asyncpg.Record]:
    connection = await asyncpg.connect(dsn, timeout=10)
    for name in _AS_POSTGRES_WRITES_IT:
        await connection.set_type_codec(name, schema="pg_catalog", encoder=str, decoder=str, format="text")
    return connection


def _prompt(runner: asyncio.Runner, connection: asyncpg.Connection[asyncpg.Record]) -> Exit:
    """Read statements, each ended by a semicolon, until the input ends; the last one may do without."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # a wrong byte spoils its statement, and not the prompt
    on_terminal = sys.stdin.isatty()
    if on_terminal:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 - editing and history, by being imported
        say("One statement after another, each ended by a semicolon; Ctrl-D leaves.")
    worst, lines = Exit.DONE, list[str]()
    while True:
        try:
            lines.append(input(("hivemind=> " if not lines else "hivemind-> ") if on_terminal else ""))
        except EOFError:
            if any(line.strip() for line in lines):
                worst = max(worst, runner.run(_run(connection, "\n".join(lines))))
            return worst
        except KeyboardInterrupt:
            lines.clear()
            say("")
            continue
        if not lines[-1].strip() and len(lines) == 1:
            lines.clear()
        elif lines[-1].rstrip().endswith(";"):
            worst = max(worst, runner.run(_run(connection, "\n".join(lines))))
            lines.clear()


async def _run(connection: asyncpg.Connection[asyncpg.Record], statement: str) -> Exit:
    if re.search("[\0\ud800-\udfff]", statement):
        refuse("the statement is no text in UTF-8")
        return Exit.BROKE
    if _COPY.match(statement):
        refuse("COPY from or to this terminal is not done here", "use INSERT or SELECT; or COPY with a file")
        return Exit.BROKE
    try:
        prepared = await connection.prepare(statement)
        columns = [attribute.name for attribute in prepared.get_attributes()]
        rows = await prepared.fetch()
        if columns:
            _show(columns, [[_text(value) for value in row.values()] for row in rows])
        else:
            say(prepared.get_statusmsg() or "")
    except asyncpg.PostgresError as fault:
        # What asyncpg tells of a refusal ends with its hint, which has a line of its own here.
        refuse(str(fault).partition("\nHINT:")[0], getattr(fault, "hint", None) or "")
        return Exit.BROKE
    except (OSError, ValueError, asyncpg.InterfaceError, asyncpg.InternalClientError) as fault:
        if connection.is_closed():
            refuse(f"the connection is lost: {fault}")
            return Exit.CANNOT_START
        # asyncpg reads no range or row that holds one of the types above.
        refuse(f"not done here: {str(fault).splitlines()[0]}", "what cannot be shown can be cast: column::text")
        return Exit.BROKE
    return Exit.DONE


def _show(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            say("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in row))
        return
    widths = [
        max(len(line) for cell in column for line in (cell.splitlines() or [""]))
        for column in zip(columns, *rows, strict=True)
    ]
    say(" | ".join(name.ljust(width) for name, width in zip(columns, widths, strict=True)).rstrip())
    say("-+-".join("-" * width for width in widths))
    for row in rows:
        cells = [cell.replace("\n", "⏎") for cell in row]
        say(" | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
    say(f"({len(rows)} row{'' if len(rows) == 1 else 's'})")


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "t" if value else "f"
        case bytes():
            return rf"\x{value.hex()}"
        case list() | tuple():
            return "{" + ",".join(_text(each) for each in value) + "}"
        case _:
            return str(value)
