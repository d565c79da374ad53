"""docs/getting-started.md, word for word: whoever follows it from a clone gets what it says.

Fenced `sh` blocks run in their order in one POSIX shell, in the folder of the clone. `sh background` stays running. The
lines of a `text` block must stand in the output of the block before it, where `…` stands for anything within a line.
Only one thing is ever added: in the mode with a process per service, `--processes` at the end of `./hivemind up`.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from hivemind_common.testing.processes import alive, command_line
from hivemind_common.testing.waiting import wait_until
from hivemind_server.settings import without_ours
from tests.documented import blocks

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "getting-started.md"
PLAIN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
STARTED = 30
FETCHED = 600
"""Seconds: the first start fetches its packages."""
MODES = pytest.mark.parametrize("more", ["", " --processes"], ids=["tasks", "processes"])


@dataclass(frozen=True)
class Account:
    """Who follows the page, and what an ordinary terminal of theirs holds."""

    uid: int
    environment: Mapping[str, str]


class Shell:
    """One POSIX shell, which ends at the first command that fails; everything that it prints is kept in a file."""

    def __init__(self, folder: Path, account: Account, output: Path) -> None:
        self._output = output
        self._seen = 0
        self._blocks = 0
        output.touch()
        with output.open("ab") as file:
            self._process = subprocess.Popen(
                ["/bin/sh", "-e"],
                cwd=folder,
                env=dict(account.environment),
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                user=account.uid if account.uid != os.geteuid() else None,
                group=account.uid if account.uid != os.geteuid() else None,
                extra_groups=[] if account.uid != os.geteuid() else None,
            )

    def run(self, text: str, limit: float) -> str:
        """Run a block and return what it printed."""
        self._blocks += 1
        end = f"--- end of block {self._blocks}\n"
        self._type(f"{text}\necho '{end.strip()}'\n")
        return self._wait_for(re.compile(re.escape(end)), limit)

    def run_in_background(self, text: str, awaited: re.Pattern[str], limit: float) -> str:
        """Start a block, wait for a line of its output, and return what it printed until then."""
        self._type(f"{text} &\nbackground=$!\n")
        return self._wait_for(awaited, limit)

    def stop_background(self) -> str:
        """End the block in the background as Ctrl-C does, and return how it ended."""
        return self.run('kill -TERM "$background"; wait "$background"; echo "it ended with $?"', STARTED)

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate(timeout=STARTED)

    def _wait_for(self, awaited: re.Pattern[str], limit: float) -> str:
        def found() -> str:
            said = self._output.read_text(encoding="utf-8", errors="replace")[self._seen :]
            match = awaited.search(said)
            return said[: match.end()] if match else ""

        try:
            printed = wait_until(lambda: found() or self._process.poll() is not None, limit=limit, what=awaited.pattern)
            assert isinstance(printed, str), "a command failed"
        except AssertionError as fault:
            raise AssertionError(f"{fault}; the shell said:\n{self._output.read_text(errors='replace')}") from None
        self._seen += len(printed)
        return printed

    def _type(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())
        self._process.stdin.flush()


def walk(clone: Path, account: Account, scratch: Path, more: str, limit: float) -> None:
    """Follow the page; afterwards nothing runs, and nothing but the data folder is left."""
    scratch.mkdir()
    os.chown(scratch, account.uid, -1)
    for name in ("tmp", "config"):
        (scratch / name).mkdir()
        os.chown(scratch / name, account.uid, -1)
    port = free_port()
    environment = dict(account.environment) | {
        "HIVEMIND_BIND": f"127.0.0.1:{port}",
        "HIVEMIND_URL": f"http://127.0.0.1:{port}",
        "XDG_CONFIG_HOME": str(scratch / "config"),
        "TMPDIR": str(scratch / "tmp"),
    }
    shell = Shell(clone, Account(account.uid, environment), scratch / "output")
    try:
        for kind, text, promised in blocks(PAGE):
            if kind == "sh background":
                assert text == "./hivemind up"
                printed = shell.run_in_background(text + more, promised[0], limit)
            else:
                printed = shell.run(text, STARTED)
            for line in promised:
                assert line.search(printed), f"{line.pattern!r} is not in the output of\n{text}\n{printed}"
        started = started_below(clone)
        assert len(started) >= 3 + 4 * bool(more)
        assert "it ended with 0" in shell.stop_background()
    finally:
        shell.close()
        left = wait_for_the_end(clone)
    assert left == []
    assert not (clone / "hivemind-data" / "run.json").exists()
    assert list((scratch / "tmp").iterdir()) == []
    shutil.rmtree(clone / "hivemind-data")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def started_below(clone: Path) -> list[int]:
    """Every process that was started from the clone, or on its data."""
    sign = os.fsencode(clone)
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int(entry.name) != os.getpid() and sign in (entry / "cmdline").read_bytes() + os.fsencode(
                (entry / "cwd").readlink()
            ):
                found.append(int(entry.name))
    return found


def wait_for_the_end(clone: Path) -> list[str]:
    """What still runs a moment after the end; it is killed, for the next test's sake."""
    for pid in started_below(clone):  # of a walk that failed half-way
        if b"\0hivemind_server\0up" in command_line(pid):
            os.kill(pid, signal.SIGTERM)
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not started_below(clone), limit=STARTED, what="the end of everything")
    left = []
    for pid in started_below(clone):
        with contextlib.suppress(OSError):
            left.append(Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " "))
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(alive(pid) for pid in started_below(clone)), limit=5, what="the end of what was killed")
    return left


def make_clone(folder: Path) -> Path:
    """Copy what a clone would hold into a folder whose name has a space and an umlaut."""
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines()]
    folder.mkdir()
    clone = folder / "für alle" / "hivemind"
    shutil.copytree(ROOT, clone, ignore=shutil.ignore_patterns(".git", *ignored), symlinks=True)
    for passed in (folder, clone.parent, clone):
        passed.chmod(0o755)  # else root's data would go to the system's folder
    return clone


# As whoever runs the tests. Its environment is lent by theirs, so that nothing is fetched.


@pytest.fixture(scope="module")
def own_clone(open_folder: Path) -> Path:
    clone = make_clone(open_folder / "own")
    for name in ("build", "runtime", "dev"):
        (clone / "requirements" / f"{name}.txt").write_text("# nothing: it is lent\n")
    return clone


@MODES
def test_it_works_word_for_word(own_clone: Path, open_folder: Path, more: str) -> None:
    lent = {"PYTHONPATH": sysconfig.get_path("purelib"), "PIP_NO_INDEX": "1", "HIVEMIND_PYTHON": sys.executable}
    account = Account(os.geteuid(), without_ours() | lent)
    walk(own_clone, account, open_folder / f"walk of mine{more}", more, limit=120)


# As an ordinary user, from a bare clone: the launcher makes the environment.


@pytest.fixture(scope="module")
def ordinary(open_folder: Path) -> Iterator[Account]:
    if os.geteuid() != 0:
        pytest.skip("whoever runs the tests is an ordinary user already")
    name = f"hivemind-reader-{os.getpid()}"
    if shutil.which("useradd") is None:
        pytest.skip("no useradd here, so no ordinary user can be made")
    home = open_folder / "home"
    subprocess.run(["useradd", "--user-group", "--no-create-home", "--home-dir", str(home), name], check=True)
    try:
        uid = pwd.getpwnam(name).pw_uid
        home.mkdir(mode=0o700)
        os.chown(home, uid, uid)
        kept = {key: value for key, value in without_ours().items() if not key.startswith(("PYTHON", "PYENV", "XDG_"))}
        environment = kept | {"HOME": str(home), "USER": name, "LOGNAME": name, "PATH": PLAIN_PATH, "LC_ALL": "C.UTF-8"}
        yield Account(uid, environment)
    finally:
        subprocess.run(["userdel", name], check=True, capture_output=True)


def has_python(account: Account) -> bool:
    """Whether the launcher's `#!/usr/bin/env python3` finds one that can make an environment."""
    probe = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"
    command = ["/usr/bin/env", "python3", "-c", probe]
    done = subprocess.run(
        command, env=dict(account.environment), user=account.uid, cwd="/", capture_output=True, check=False
    )
    return done.returncode == 0


@pytest.fixture(scope="module")
def ordinary_clone(open_folder: Path, ordinary: Account) -> Path:
    if not has_python(ordinary) and shutil.which("apt-get"):
        install = ["apt-get", "install", "--yes", "--no-install-recommends", "python3-venv"]
        subprocess.run(
            install, capture_output=True, check=False, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        )
    if not has_python(ordinary):
        pytest.skip("no python3 >= 3.11 with venv and ensurepip that another account can run")
    fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-cache-dir", "--no-deps", "--only-binary", ":all:"]
    fetched = subprocess.run(
        [*fetch, "--dest", str(open_folder / "probe"), "flit_core"], capture_output=True, text=True, check=False
    )
    if fetched.returncode != 0:
        pytest.skip(f"no package index answers, so no environment can be made: {fetched.stderr.strip()[-200:]}")
    clone = make_clone(open_folder / "ordinary")
    for path in (clone.parent, clone, *clone.rglob("*")):
        os.chown(path, ordinary.uid, ordinary.uid, follow_symlinks=False)
    return clone


@MODES
def test_it_works_word_for_word_for_an_ordinary_user(
    ordinary: Account, ordinary_clone: Path, open_folder: Path, more: str
) -> None:
    walk(ordinary_clone, ordinary, open_folder / f"walk of another{more}", more, limit=FETCHED)
    assert (ordinary_clone / ".venv" / "hivemind-ready").exists()
