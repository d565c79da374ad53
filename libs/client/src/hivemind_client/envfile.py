"""The workstation file: `KEY=value` lines that a person may edit, and that are never left half written."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hivemind_client.errors import ClientError

LARGEST = 1024 * 1024
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class EnvFileError(ClientError):
    """The file cannot be used as it is; nothing was changed."""

    code = "env_file"


def read(path: Path) -> dict[str, str]:
    """The values of the file; none when there is no file. EnvFileError, naming the line, when one is malformed."""
    return {name: value for name, value in map(_parsed, _lines(path)) if name}


def readable_by_others(path: Path) -> bool:
    """Whether somebody else on this machine may read the file."""
    try:
        return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
    except OSError:
        return False


def ensure_writable(path: Path) -> None:
    """Find out before something is done that cannot be done again. A malformed file counts as not writable."""
    _lines(path)
    try:
        handle, name = _scratch(path)
        os.close(handle)
        Path(name).unlink()
    except OSError as error:
        raise _unwritable(path, error) from error


def change(path: Path, values: Mapping[str, str]) -> None:
    """Set these values and keep every other line; the file is 0600, and whole at any moment."""
    lines = []
    missing = dict(values)
    for name, value in values.items():
        if not value.isprintable() or value != value.strip():  # it came from a server: it must stay on its line
            raise EnvFileError(f"{name} holds a line break or a blank at an end, so it cannot be kept in {path}")
    for line in _lines(path):
        name, _ = _parsed(line)
        if name not in values:
            lines.append(line.text)
        elif name in missing:
            lines.append(f"{name}={missing.pop(name)}")
    lines += [f"{name}={value}" for name, value in missing.items()]
    try:
        handle, scratch = _scratch(path)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write("".join(f"{line}\n" for line in lines))
                file.flush()
                os.fsync(file.fileno())
            Path(scratch).replace(path.resolve())  # of a link the file behind it, so that a dotfiles folder stays one
        except BaseException:
            Path(scratch).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _unwritable(path, error) from error


class _Line:
    def __init__(self, path: Path, number: int, text: str) -> None:
        self.path, self.number, self.text = path, number, text

    def wrong(self, why: str) -> EnvFileError:
        # The text itself is not repeated: it may be half a key.
        return EnvFileError(
            f"{self.path}, line {self.number}: {why}", hint="mend or delete that line; lines look like HIVEMIND_URL=…"
        )


def _lines(path: Path) -> list[_Line]:
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise EnvFileError(
            f"cannot read {path}: {(error.strerror or str(error)).lower()}", hint="it must be a file of yours"
        ) from error
    if len(raw) > LARGEST:
        raise EnvFileError(f"{path} is larger than {LARGEST} bytes", hint="it holds a few KEY=value lines")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Line(path, raw.count(b"\n", 0, error.start) + 1, "").wrong("not UTF-8") from None
    lines = [_Line(path, number, line) for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1)]
    if lines[-1].text == "":
        lines.pop()
    for line in lines:
        _parsed(line)
    return lines


def _parsed(line: _Line) -> tuple[str, str]:
    text = line.text.strip()
    if not text or text.startswith("#"):
        return "", ""
    name, equals, value = text.removeprefix("export ").partition("=")
    name, value = name.strip(), value.strip()
    if not equals:
        raise line.wrong("no KEY=value line; was the file written only half?")
    if not _NAME.fullmatch(name):
        raise line.wrong("the name before = is none")
    if not value.isprintable():
        raise line.wrong("the value holds a control character")
    if value[:1] in ("'", '"'):
        if len(value) < 2 or value[-1] != value[0]:
            raise line.wrong("the quote that opens the value does not close")
        value = value[1:-1]
    return name, value


def _scratch(path: Path) -> tuple[int, str]:
    folder = path.resolve().parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return tempfile.mkstemp(prefix=f".{path.name}.", dir=folder)  # 0600 from its first moment


def _unwritable(path: Path, error: OSError) -> EnvFileError:
    return EnvFileError(
        f"cannot write {path}: {(error.strerror or str(error)).lower()}", hint="XDG_CONFIG_HOME=DIR puts it elsewhere"
    )
