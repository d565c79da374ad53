"""Env files: `KEY=value` lines, as compose and systemd read them."""

from __future__ import annotations

import re
from pathlib import Path

from hivemind_server.console import RefusalError

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_COMMENT = re.compile(r"\s+#.*")
_ESCAPE = re.compile(r"\\(.)")


def read_env_file(path: Path) -> dict[str, str]:
    """Return what the file sets; raises `RefusalError` that names the line which cannot be read."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as fault:
        raise RefusalError(f"cannot read the env file {path}: {fault.strerror}") from None
    except UnicodeDecodeError:
        raise RefusalError(f"the env file {path} is not UTF-8") from None
    values = {}
    for number, line in enumerate(text.splitlines(), start=1):
        entry = parse_line(line)
        if entry is None:
            raise RefusalError(f"{path}, line {number}: this is not KEY=value", "HIVEMIND_LOG_LEVEL=info")
        values.update(entry)
    return values


def parse_line(line: str) -> dict[str, str] | None:
    r"""Read one line: empty for a comment, None for what is neither a comment nor `KEY=value`.

    Single quotes keep everything, double quotes know `\"`, `\\` and `\n`; without quotes ` #` begins a comment.
    """
    line = line.strip()
    if not line or line.startswith("#"):
        return {}
    found = _LINE.fullmatch(line)
    if found is None or "\0" in line:
        return None
    name, value = found.groups()
    if value[:1] in {"'", '"'}:
        unquoted = _unquote(value)
        return None if unquoted is None else {name: unquoted}
    return {name: _COMMENT.sub("", f" {value}").strip()}


def _unquote(value: str) -> str | None:
    quote = value[0]
    body = r"[^']*" if quote == "'" else r'(?:[^"\\]|\\.)*'
    found = re.fullmatch(rf"{quote}({body}){quote}\s*(?:#.*)?", value)
    if found is None:
        return None
    text = found.group(1)
    return text if quote == "'" else _ESCAPE.sub(lambda escape: "\n" if escape[1] == "n" else escape[1], text)
