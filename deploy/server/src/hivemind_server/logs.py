"""A log file per service, that never outgrows its share of the disk."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from pathlib import Path

MAX_BYTES = 10 * 1024 * 1024
MAX_FILES = 5


def cut(path: Path, max_bytes: int = MAX_BYTES) -> bool:
    """Move what a program has written beyond `max_bytes` into `<name>.1`, and go on with an empty file; true if it was.

    The program keeps its file open for appending, so the file is emptied and not renamed. A line that is written just
    then is lost.
    """
    with contextlib.suppress(OSError):
        if path.stat().st_size > max_bytes:
            shutil.copyfile(path, path.with_name(f"{path.name}.1"))
            os.truncate(path, 0)
            return True
    return False


class LogFiles:
    """Where lines go under `hivemind up`: `<folder>/<service>.log`, and stderr too when it is asked for."""

    def __init__(
        self, folder: Path, *, to_stderr: bool = False, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES
    ) -> None:
        self._folder = folder
        self._to_stderr = to_stderr
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._open: dict[str, _LogFile] = {}

    def write(self, service: str, line: bytes) -> None:
        """Append one line. A disk that is full loses lines, and stops nothing."""
        with contextlib.suppress(OSError):
            file = self._open.get(service)
            if file is None:
                file = self._open[service] = _LogFile(self._folder / f"{service}.log")
            if file.size + len(line) > self._max_bytes and file.size > 0:
                file.rotate(self._max_files)
            file.append(line)
        if self._to_stderr:
            with contextlib.suppress(OSError):
                sys.stderr.buffer.write(line)
                sys.stderr.buffer.flush()

    def close(self) -> None:
        """Close the files."""
        for file in self._open.values():
            file.close()
        self._open.clear()


class _LogFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._reopen()

    def _reopen(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.size = os.fstat(self._file).st_size

    def append(self, line: bytes) -> None:
        os.write(self._file, line)
        self.size += len(line)

    def rotate(self, files: int) -> None:
        """`x.log.4` is the oldest of five; each moves up by one, and the last one goes."""
        for number in range(files - 1, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{number}")
            newer = self._path if number == 1 else self._path.with_name(f"{self._path.name}.{number - 1}")
            if newer.exists():
                newer.replace(older)
        self.close()
        self._reopen()

    def close(self) -> None:
        os.close(self._file)
