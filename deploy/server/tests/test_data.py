from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hivemind_common.secrets import SecretStr
from hivemind_server.console import RefusalError
from hivemind_server.data import DataFolder

NOBODY = 65_534


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_folder_is_made_and_closed_to_others(tmp_path: Path) -> None:
    with DataFolder(tmp_path / "a" / "dätä folder") as data:
        assert mode(data.path) == 0o700
        assert mode(data.logs) == 0o700
        assert mode(data.path / "secrets") == 0o700
        assert len(data.integration_key().get_secret_value()) == 64
        data.setup_token()
        for name in ("lock", "setup-token", "secrets/integration_key"):
            assert mode(data.path / name) == 0o600


def test_secrets_are_made_once(tmp_path: Path) -> None:
    with DataFolder(tmp_path / "data") as data:
        first = (data.secret("nats_bots"), data.integration_key(), data.setup_token())
        assert data.secret("nats_auth") != first[0]
        data.keep_secret("nats_auth", SecretStr("given"))
    with DataFolder(tmp_path / "data") as data:
        assert (data.secret("nats_bots"), data.integration_key(), data.setup_token()) == first
        assert data.secret("nats_auth").get_secret_value() == "given"


def test_a_second_one_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    with (
        DataFolder(tmp_path / "data"),
        pytest.raises(RefusalError, match=f"in use by process {os.getpid()}"),
        DataFolder(tmp_path / "data"),
    ):
        pass
    with DataFolder(tmp_path / "data"):
        pass


def test_a_holder_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from hivemind_server.data import DataFolder
with DataFolder(Path({str(tmp_path / "data")!r})) as data:
    data.write_run({{"schema": 1}})
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    assert (tmp_path / "data" / "run.json").exists()
    with DataFolder(tmp_path / "data") as data:
        assert not data.run_file.exists()


def test_a_run_is_written_whole(tmp_path: Path) -> None:
    with DataFolder(tmp_path / "data") as data:
        data.write_run({"schema": 1, "pid": 1})
        data.write_run({"schema": 1, "pid": 2})
        assert json.loads(data.run_file.read_text()) == {"schema": 1, "pid": 2}
        assert mode(data.run_file) == 0o600
        assert [path.name for path in data.path.glob("run.*")] == ["run.json"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "data"):
        with pytest.raises(RefusalError, match="file"), DataFolder(path):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_the_folder_of_another_account_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)
    with pytest.raises(RefusalError, match="belongs to another account"), DataFolder(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_refused() -> None:
    was = os.geteuid()
    if was == 0:
        os.seteuid(NOBODY)  # root may write everywhere
    try:
        with (
            pytest.raises(RefusalError, match="cannot be used: Permission denied"),
            DataFolder(Path("/usr/hivemind-data")),
        ):
            pass
    finally:
        os.seteuid(was)
