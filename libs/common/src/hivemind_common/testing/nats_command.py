"""The stock `nats` command, against which tests hold the bus: `python -m hivemind_common.testing.nats_command` builds it.

It is built from its pinned source with `go`, once for a machine, and lies in the cache of whoever runs the tests.
Nothing of ours needs it to run. Where it cannot be had, its tests are skipped and say why.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Final

VERSION: Final = "v0.5.1"
_PACKAGE: Final = f"github.com/nats-io/natscli/nats@{VERSION}"
_LIMIT: Final = timedelta(minutes=8)
"""A cold build takes a quarter of it on two cores."""

_TELL_EVERY: Final = timedelta(seconds=15)


class MissingToolError(Exception):
    """The command is not here; the text says why in one line."""


def nats_command() -> Path:
    """Return the command; raises `MissingToolError`."""
    command = _folder() / "nats"
    if command.is_file():
        return command
    if _reason_file().is_file():
        raise MissingToolError(f"nats {VERSION} could not be built: {_reason_file().read_text(encoding='utf-8')}")
    if shutil.which("go") is None:
        raise MissingToolError(f"nats {VERSION} is not here, and neither is go, which builds it")
    raise MissingToolError(f"nats {VERSION} is not here; ./hivemind test builds it, unless told --fast")


def build() -> str | None:
    """Build the command where it is missing, and tell of progress; the value says why it could not be, None that it is here."""
    if (_folder() / "nats").is_file():
        return None
    go = shutil.which("go")
    if go is None:
        return "there is no go"
    try:
        _folder().mkdir(parents=True, exist_ok=True)
        _reason_file().unlink(missing_ok=True)
        # Built beside its place and moved there, so that whoever looks finds all of it or nothing.
        with tempfile.TemporaryDirectory(prefix="build-", dir=_folder()) as place:
            reason = _install(go, Path(place))
            if reason is None:
                (Path(place) / "nats").replace(_folder() / "nats")
            else:
                _reason_file().write_text(reason, encoding="utf-8")
    except OSError as fault:
        return f"{fault.strerror}: {fault.filename}"
    return reason


def _install(go: str, place: Path) -> str | None:
    print(f"building nats {VERSION} with go: some minutes, and only once", flush=True)
    environment = os.environ | {
        "GOBIN": str(place),
        # On a small machine the linker and two compilers are all that the memory is good for.
        "GOFLAGS": f"{os.environ.get('GOFLAGS', '')} -p=2".strip(),
        "CGO_ENABLED": "0",
    }
    started = time.monotonic()
    with (
        tempfile.TemporaryFile() as output,
        subprocess.Popen(  # noqa: S603 - the command is ours
            [go, "install", "-trimpath", _PACKAGE],
            cwd=place,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            while process.poll() is None:
                passed = time.monotonic() - started
                if passed > _LIMIT.total_seconds():
                    return f"it was not built within {_LIMIT.total_seconds():.0f} s"
                try:
                    process.wait(_TELL_EVERY.total_seconds())
                except subprocess.TimeoutExpired:
                    print(f"building nats … {time.monotonic() - started:.0f} s", flush=True)
        finally:
            if process.poll() is None:
                # Its compilers are processes of their own.
                os.killpg(process.pid, signal.SIGKILL)
        if process.returncode == 0:
            return None
        output.seek(0)
        said = output.read().decode(errors="replace").strip().splitlines()
        return said[-1][:300] if said else f"go ended with {process.returncode}"


def _folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache"
    return root / "hivemind" / f"nats-{VERSION}"


def _reason_file() -> Path:
    return _folder() / "missing.txt"


def main() -> int:
    """Build it; that it cannot be had is no failure, and is told by the tests that want it."""
    reason = build()
    print(f"nats {VERSION}: {reason or 'is here'}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
