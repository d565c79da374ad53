"""Processes as the kernel tells of them: who lives, who belongs to whom, and how it was started."""

from __future__ import annotations

from pathlib import Path


def alive(pid: int) -> bool:
    """Say whether a process runs; one that has ended and was not waited for does not."""
    fields = _stat(pid)
    return bool(fields) and fields[0] != "Z"


def family(eldest: int) -> list[int]:
    """Return a process and everything below it, the eldest first."""
    parents = {pid: int(fields[1]) for pid in _pids() if (fields := _stat(pid))}
    members = [eldest]
    for member in members:
        members += [pid for pid, parent in parents.items() if parent == member]
    return members


def command_line(pid: int) -> bytes:
    """Return how a process was started; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _stat(pid: int) -> list[str]:
    """Return state, parent and what follows them; nothing when the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
