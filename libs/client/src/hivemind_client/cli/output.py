"""What a command prints: plain text, a table that fits the terminal, or one JSON document."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TextIO

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_RAW_IN_JSON = re.compile("[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """Text of other people's without what a terminal would obey: escapes, control characters, turned directions."""
    return _CONTROL.sub("", text)


def one_line(text: str) -> str:
    """The same, and on one line."""
    return clean(" ".join(text.split()))


class Output:
    """Both streams of a command. Nothing goes to stdout before the command has succeeded, but for streamed answers."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False, color: bool = True) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.on_terminal = _is_terminal(sys.stdout)
        self.errors_on_terminal = _is_terminal(sys.stderr)
        self.has_progress = False
        """Whether something else shows on the terminal how far it is."""
        self._has_status = False
        # https://no-color.org: set and not empty
        self._color = color and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def line(self, text: str = "") -> None:
        """A line of the result."""
        self.write(f"{clean(text)}\n")

    def text(self, text: str) -> None:
        """A document as it is, line by line; on a terminal without what that would obey."""
        self.write(clean(text) if self.on_terminal else text)

    def write(self, text: str) -> None:
        """A piece of the result, at once: text is expected to be clean."""
        if sys.stdout is not None:
            sys.stdout.write(text)
            sys.stdout.flush()

    def document(self, value: Any) -> None:
        """The result as JSON. Characters that a terminal would obey are written as escapes, which mean the same."""
        encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "")
        text = json.dumps(value, indent=2, ensure_ascii=encoding != "utf8")
        self.write(_RAW_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")

    def items(self, values: Iterable[Any]) -> None:
        """A whole list, in the API's envelope."""
        self.document({"items": list(values), "next": None})

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Rows that fit the terminal; elsewhere nothing is cut, and columns are parted by two blanks or more."""
        cells = [[one_line(cell) for cell in row] for row in rows]
        if self.on_terminal:
            self._rich_table(columns, cells)
            return
        widths = [max(len(cell) for cell in column) for column in zip(columns, *cells, strict=True)]
        for row in (columns, *cells):
            padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.write("  ".join(padded).rstrip() + "\n")

    def members(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Names and values, one a line."""
        shown = [(name, one_line(value)) for name, value in pairs]
        width = max((len(name) for name, _ in shown), default=0)
        for name, value in shown:
            self.write(f"{name.ljust(width)}  {value}".rstrip() + "\n")

    def diff(self, text: str) -> None:
        """Lines with + and -, in green and red where colours may be."""
        painted = self.on_terminal and self._color
        colors = {"+": "32", "-": "31", "@": "36"}
        for line in clean(text).splitlines():
            color = colors.get(line[:1]) if painted else None
            self.write(f"\x1b[{color}m{line}\x1b[0m\n" if color else f"{line}\n")

    def note(self, text: str) -> None:
        """What is good to know beside the result."""
        if not self.quiet and not self.as_json:
            self.say(text)

    def status(self, text: str) -> None:
        """A line on a terminal that the next one takes the place of; an empty one takes it away."""
        if text or self._has_status:
            self._has_status = bool(text)
            with suppress(OSError):
                sys.stderr.write(f"\r\x1b[K{clean(text)}")
                sys.stderr.flush()

    def warn(self, text: str) -> None:
        """What somebody should look at."""
        self.say(f"{self._painted('warning:', '33')} {one_line(text)}")

    def say(self, text: str) -> None:
        """A line to stderr, which never holds results."""
        try:
            if sys.stderr is not None:
                sys.stderr.write(f"{text}\n")
                sys.stderr.flush()
        except BrokenPipeError:
            pass  # nobody listens, and nobody can be told

    def complain(self, text: str) -> None:
        """One of several errors; what the command as a whole comes to is told by `fail`."""
        self.say(f"{self._painted('error:', '1;31')} {one_line(text)}")

    def fail(self, message: str, hint: str, document: Mapping[str, Any]) -> None:
        """How a command says that it failed: an error, perhaps a hint, and for `--json` the problem document."""
        self.complain(message)
        if hint:
            self.say(f"{self._painted('hint:', '36')} {one_line(hint)}")
        if self.as_json:
            self.say(json.dumps(document))

    def _painted(self, text: str, color: str) -> str:
        return f"\x1b[{color}m{text}\x1b[0m" if self.errors_on_terminal and self._color else text

    def _rich_table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for index, column in enumerate(columns):
            # The first column is what one copies into the next command, so it stays whole.
            table.add_column(column, no_wrap=index == 0, overflow="fold" if index == 0 else "ellipsis")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))  # Text, so that nobody's brackets are markup
        Console(file=sys.stdout, no_color=not self._color, highlight=False).print(table)


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False  # closed
