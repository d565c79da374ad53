"""The account that embedded servers run as: Postgres refuses to run as root, and NATS needs no such power."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ACCOUNT_NAME = "hivemind-embedded"


class AccountError(Exception):
    """The account cannot be made here; the text says why."""


@dataclass(frozen=True)
class Account:
    """A system account, by its numbers."""

    name: str
    uid: int
    gid: int


def embedded_account() -> Account | None:
    """Return the account for embedded servers: as root `hivemind-embedded`, made when missing; else None, oneself."""
    if os.geteuid() != 0:
        return None
    account = _find(ACCOUNT_NAME)
    if account is None:
        _make(ACCOUNT_NAME)
        account = _find(ACCOUNT_NAME)
    if account is None:
        raise AccountError(f"the system account {ACCOUNT_NAME} is missing and cannot be made")
    return account


def can_reach(account: Account | None, path: Path, right: Literal["r", "x"] = "x") -> bool:
    """Say whether the account may read or enter `path`, judged by the kernel: a program that runs as it asks."""
    if account is None:
        return os.access(path, os.R_OK if right == "r" else os.X_OK)
    asked = subprocess.run(  # noqa: S603 - the path is an argument, not a text for the shell
        ["/bin/sh", "-c", f'test -{right} "$1"', "sh", os.fspath(path)],
        user=account.uid,
        group=account.gid,
        extra_groups=[account.gid],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return asked.returncode == 0


def make_folder(path: Path, *, mode: int = 0o700, account: Account | None = None) -> None:
    """Make a folder for the account. One that stands already keeps its owner and mode: it may not be ours."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        return
    path.chmod(mode)
    if account is not None:
        os.chown(path, account.uid, account.gid)


def _find(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(name, entry.pw_uid, entry.pw_gid)


def _make(name: str) -> None:
    commands = (
        (
            "useradd",
            "--system",
            "--user-group",
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
            "--shell",
            "/usr/sbin/nologin",
        ),
        ("adduser", "-S", "-D", "-H", "-h", "/nonexistent", "-s", "/sbin/nologin"),  # BusyBox has no useradd
    )
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    for command in commands:
        program = shutil.which(command[0], path=path)
        if program is not None:
            # A failure is judged by whether the account is there: another start may have made it meanwhile.
            subprocess.run([program, *command[1:], name], check=False, capture_output=True)  # noqa: S603 - fixed words
            return
