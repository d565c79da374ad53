"""Help as a page: what it does, examples first, then arguments and flags."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from hivemind_client.cli.refusals import UsageError

GLOBAL_FLAGS = ("as_json", "url", "quiet", "no_color", "timeout")
"""The parameters that every command has; only the first page explains them."""


class CommandPage(TyperCommand):
    """A command whose help is a page."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page."""
        arguments = [parameter for parameter in self.params if parameter.param_type_name == "argument"]
        own = [p for p in self.params if p.param_type_name == "option" and p.name not in GLOBAL_FLAGS]
        usage = " ".join([ctx.command_path, *(["[FLAGS]"] if own else []), *map(_in_usage, arguments)])
        formatter.write(
            _joined(
                textwrap.fill(self.help or "", _width()),
                _block("Examples", self.epilog),
                f"Usage: {usage}",
                _columns("Arguments", [(_in_usage(a), getattr(a, "help", "") or "") for a in arguments]),
                _columns("Flags", [_flag(option) for option in own if option.name != "help"]),
                "Everywhere: --json --url URL --quiet --no-color --timeout SECS (see hm --help)",
            )
        )


class GroupPage(TyperGroup):
    """A group of commands, in the order in which they were written, whose help is a page."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  # the signature is typer's
        """The names, in order."""
        return list(self.commands)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page."""
        root = ctx.parent is None
        options = [
            _flag(option) for option in self.params if option.param_type_name == "option" and option.name != "help"
        ]
        formatter.write(
            _joined(
                textwrap.fill(self.help or "", _width()),
                _block("Examples", (self.epilog or "").partition("\f")[0]),
                _columns("Commands", self._commands()),
                _columns("Flags, before or after the command", options) if root else "",
                (self.epilog or "").partition("\f")[2].strip("\n"),
                f"{ctx.command_path} COMMAND --help shows a command with examples.",
            )
        )

    def _commands(self) -> list[tuple[str, str]]:
        return list(leaves(self))


def leaves(app: TyperGroup, above: str = "") -> Iterator[tuple[str, str]]:
    """The commands of a group and of the groups in it, each with one line of what it does."""
    for name, command in app.commands.items():
        if isinstance(command, TyperGroup):
            yield from leaves(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", summary_of(command.help)


def without_command(ctx: typer.Context) -> NoReturn:
    """What a group does when no command follows: `hm` alone shows its page, a group below it says what it needs."""
    if ctx.parent is None:
        typer.echo(ctx.get_help())
        raise typer.Exit(0)
    names = ", ".join(getattr(ctx.command, "commands", {}))
    raise UsageError(f"{ctx.command_path} needs a command: {names}", hint=f"{ctx.command_path} --help shows examples")


def _in_usage(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    if argument.nargs != 1 and not name.endswith("…]"):
        name = f"{name}…"
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _flag(option: Any) -> tuple[str, str]:
    names = ", ".join(option.opts)
    return (names if option.is_flag else f"{names} {option.metavar or option.name.upper()}"), option.help or ""


def summary_of(text: str | None) -> str:
    """The first sentence of a help text, without its full stop."""
    # Up to the first full stop that ends a sentence, and without it.
    return (text or "").split(". ")[0].partition("\n")[0].rstrip(".")


def _width() -> int:
    return min(shutil.get_terminal_size().columns, 100)


def _joined(*blocks: str) -> str:
    return "\n\n".join(block for block in blocks if block) + "\n"


def _block(title: str, text: str | None) -> str:
    return f"{title}:\n{textwrap.indent(text.strip(chr(10)), '  ')}" if text and text.strip() else ""


def _columns(title: str, rows: list[tuple[str, str]]) -> str:
    if not rows:
        return ""
    left = max(len(name) for name, _ in rows) + 2
    lines = [f"{title}:"]
    for name, text in rows:
        first, *more = textwrap.wrap(text, max(_width() - left - 2, 30)) or [""]
        lines.append(f"  {name.ljust(left)}{first}".rstrip())
        lines += [f"  {' ' * left}{line}" for line in more]
    return "\n".join(lines)
