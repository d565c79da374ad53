"""Pages whose commands are followed, word for word: fenced `sh` blocks, and `text` blocks with what they print."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

BLOCK: Final = re.compile(r"^```(sh background|sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> Iterator[tuple[str, str, list[re.Pattern[str]]]]:
    """A page's commands, each with its kind and the lines that it promises, where `…` stands for anything."""
    found = [(match[1], match[2].rstrip("\n")) for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]
    for place, (kind, text) in enumerate(found):
        if kind == "text":
            continue
        promised = found[place + 1][1].splitlines() if found[place + 1 :] and found[place + 1][0] == "text" else []
        yield kind, text, [_pattern(line) for line in promised]


def _pattern(line: str) -> re.Pattern[str]:
    return re.compile(f"^{'.*'.join(re.escape(part) for part in line.split('…'))}$", re.MULTILINE)
