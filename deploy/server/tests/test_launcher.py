"""The launchers, from a clone of their own. Nothing is fetched: what an environment needs is lent by this one's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from hivemind_common.embedded.account import can_reach, embedded_account
from hivemind_server.settings import without_ours

ROOT = Path(__file__).resolve().parents[3]
LENT = sysconfig.get_path("purelib")
LIMIT = 120


@pytest.fixture
def clone(open_folder: Path) -> Iterator[Path]:
    folder = open_folder / "klön einer"
    ignored = shutil.ignore_patterns(
        ".git", ".venv", ".*_cache", "__pycache__", "hivemind-data", "docs", "node_modules"
    )
    shutil.copytree(ROOT, folder, ignore=ignored, symlinks=True)
    for name in ("build", "runtime", "dev"):
        (folder / "requirements" / f"{name}.txt").write_text("# nothing: it is lent\n")
    yield folder
    if folder.exists():
        folder.chmod(0o755)


def variables(**more: str) -> dict[str, str]:
    return without_ours() | {"PYTHONPATH": LENT, "PIP_NO_INDEX": "1", "LC_ALL": "C"} | more


def launch(launcher: Path, *arguments: str, user: int | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    python = more.pop("python", sys.executable)
    return subprocess.run(
        [python, str(launcher), *arguments],
        env=variables(**more),
        cwd="/",
        user=user,
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT,
        check=False,
    )


def made(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line.rpartition(": ")[2] for line in done.stderr.splitlines() if line.startswith("Making")]


@pytest.mark.processes
def test_two_at_once_make_one_environment_and_nobody_makes_it_again(clone: Path) -> None:
    both = [
        subprocess.Popen(
            [sys.executable, str(clone / name), "version"],
            env=variables(),
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        for name in ("hivemind", "hm")
    ]
    said = [each.communicate(timeout=LIMIT) for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    assert said[0][0].startswith("hivemind ")
    assert sum(errors.count("Making") for _, errors in said) == 2

    again = launch(clone / "hivemind", "version")
    assert (again.returncode, again.stderr) == (0, "")

    # From elsewhere, by a link.
    link = clone.parent / "hivemind"
    link.symlink_to(clone / "hivemind")
    assert launch(link, "version").stderr == ""

    # A change of ours, a change of what is needed, a move.
    with (clone / "deploy" / "server" / "pyproject.toml").open("a") as file:
        file.write("\n")
    assert made(launch(clone / "hivemind", "version")) == ["hivemind ..."]
    with (clone / "requirements" / "runtime.txt").open("a") as file:
        file.write("# changed\n")
    assert made(launch(clone / "hivemind", "version")) == ["what it stands on ...", "hivemind ..."]
    moved = clone.rename(clone.with_name("anderswo"))
    assert made(launch(moved / "hivemind", "version")) == ["what it stands on ...", "hivemind ..."]


@pytest.mark.processes
def test_where_it_may_not_write_the_environment_lies_in_the_cache(clone: Path, open_folder: Path) -> None:
    user, python = None, sys.executable
    account = embedded_account()
    if account is not None:
        user, python = account.uid, "/usr/bin/python3"
        wanted = tuple(sys.version_info[:2])
        probe = [python, "-c", f"import ensurepip, sys; sys.exit(sys.version_info[:2] != {wanted})"]
        if not can_reach(account, Path(LENT)) or subprocess.run(probe, capture_output=True, check=False).returncode:
            pytest.skip("no Python here that another account can run")
    home = open_folder / "home"
    home.mkdir()
    if user is not None:
        os.chown(home, user, -1)
    clone.chmod(0o555)
    done = launch(clone / "hivemind", "version", user=user, python=python, HOME=str(home))
    assert done.returncode == 0, done.stderr
    assert not (clone / ".venv").exists()
    assert len(list((home / ".cache" / "hivemind").glob("venv-*/hivemind-ready"))) == 1
    assert launch(clone / "hivemind", "version", user=user, python=python, HOME=str(home)).stderr == ""


def refused(prelude: str, launcher: str = "hivemind", **more: str) -> str:
    """Run the launcher in a Python that has been tampered with; it must refuse, in a line and a hint."""
    code = f"import importlib.util, runpy, sys; sys.argv = [{str(ROOT / launcher)!r}, 'version']\n{prelude}\nrunpy.run_path(sys.argv[0], run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables(**more), capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stderr
    lines = done.stderr.splitlines()
    assert [line.split(":")[0] for line in lines] == ["error", "hint"]
    return done.stderr


def test_an_old_python_is_told_in_a_line() -> None:
    told = refused("sys.version_info = (3, 10, 13)", "hm")
    assert "Python 3.11 or newer, and this is 3.10" in told


def test_a_python_without_venv_is_told_the_cure(tmp_path: Path) -> None:
    told = refused("importlib.util.find_spec = lambda name: None", HIVEMIND_VENV=str(tmp_path / "venv"))
    assert "apt install python3-venv" in told


def test_another_python_that_is_not_there_is_named() -> None:
    assert "/nonexistent/python" in refused("", HIVEMIND_PYTHON="/nonexistent/python")


def test_a_folder_of_somebody_else_is_never_cleared(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear diary")
    assert "not empty" in refused("", HIVEMIND_VENV=str(tmp_path))
    assert (tmp_path / "letter.txt").read_text() == "dear diary"


def test_the_launchers_are_short_and_plain() -> None:
    assert (ROOT / "hm").resolve() == ROOT / "hivemind"
    text = (ROOT / "hivemind").read_text()
    assert len(text.splitlines()) <= 120
    compile(text, "hivemind", "exec", flags=0)
    imported = [line.split()[1].split(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))]
    assert set(imported) <= set(sys.stdlib_module_names)
