"""The reference of all commands, out of their own help: `python -m hivemind_client.cli.reference > docs/hm-reference.md`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup

from hivemind_client.cli.program import application

WIDTH = 100

HEAD = """# Reference of `hm`

Every command, as `hm COMMAND --help` shows it. This page is made from the commands themselves:
`python -m hivemind_client.cli.reference > docs/hm-reference.md`. How they go together stands in [`hm`](hm.md).
"""


def reference() -> str:
    """The page, in Markdown."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(WIDTH)
    try:
        root = typer.main.get_command(application())
        return "\n".join([HEAD, *(_section(path, help_text) for path, help_text in _pages(root, None, "hm"))])
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def _pages(found: Any, parent: Any, name: str) -> Iterator[tuple[str, str]]:
    context = found.make_context(name, [], parent=parent, resilient_parsing=True)
    if parent is None or not isinstance(found, TyperGroup):
        yield context.command_path, context.get_help()
    if isinstance(found, TyperGroup):
        for below, each in found.commands.items():
            yield from _pages(each, context, below)


def _section(path: str, help_text: str) -> str:
    return f"## {path}\n\n```text\n{help_text.rstrip()}\n```\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
