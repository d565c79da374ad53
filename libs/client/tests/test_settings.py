from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hivemind_client import envfile
from hivemind_client.settings import DEFAULT_URL, SettingsError, keep_session, resolve
from hivemind_client.testing import KEY, GatewayDouble

Hm = Callable[..., Awaitable[Any]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "hivemind" / "env"
    file.parent.mkdir()
    file.touch(0o600)
    return file


def test_the_first_that_is_set_holds_and_empty_is_not_set(tmp_path: Path, file: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "HIVEMIND_URL": "", "HIVEMIND_API_KEY": ""}
    assert (resolve(environ).url, resolve(environ).api_key) == (DEFAULT_URL, None)
    file.write_text("HIVEMIND_URL=http://file\nHIVEMIND_API_KEY=key-of-the-file\n")
    assert (resolve(environ).url, resolve(environ).api_key) == ("http://file", "key-of-the-file")
    environ |= {"HIVEMIND_URL": "http://environment", "HIVEMIND_API_KEY": "key-of-the-environment"}
    assert (resolve(environ).url, resolve(environ).api_key) == ("http://environment", "key-of-the-environment")
    assert resolve(environ, "http://flag").url == "http://flag"


def test_without_xdg_config_home_the_file_is_below_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".config" / "hivemind"
    folder.mkdir(parents=True)
    (folder / "env").write_text("HIVEMIND_URL=http://home\n")
    for environ in ({}, {"XDG_CONFIG_HOME": ""}, {"XDG_CONFIG_HOME": "relative"}):
        assert resolve(environ).url == "http://home"


def test_a_key_may_stand_in_a_file_of_its_own_but_not_twice(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "HIVEMIND_API_KEY_FILE": str(tmp_path / "key")}
    assert resolve(environ).api_key == KEY
    with pytest.raises(SettingsError, match="both HIVEMIND_API_KEY and HIVEMIND_API_KEY_FILE"):
        resolve({**environ, "HIVEMIND_API_KEY": KEY})
    with pytest.raises(SettingsError, match="no such file"):
        resolve({**environ, "HIVEMIND_API_KEY_FILE": str(tmp_path / "none")})
    (tmp_path / "key").write_text("\n")
    with pytest.raises(SettingsError, match="holds no secret"):
        resolve(environ)


def test_a_session_goes_before_the_key_of_the_file_and_only_to_its_own_server(tmp_path: Path, file: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    file.write_text("HIVEMIND_URL=http://file\nHIVEMIND_API_KEY=key-of-the-file\n")
    keep_session(environ, "http://file", "the-session", "later")
    settings = resolve(environ)
    assert (settings.session, settings.api_key) == ("the-session", None)
    elsewhere = resolve(environ, "http://elsewhere")
    assert (elsewhere.session, elsewhere.api_key) == (None, "key-of-the-file")
    environment = resolve({**environ, "HIVEMIND_API_KEY": "key-of-the-environment"})
    assert (environment.session, environment.api_key) == (None, "key-of-the-environment")
    assert "the-session" not in repr(settings)
    assert "key-of-the-file" not in repr(elsewhere)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("HIVEMIND_URL=http://a\nHIVEMIND_API_K", 2),
        ("=value\n", 1),
        ("# fine\n\nTWO WORDS=value\n", 3),
        ('HIVEMIND_URL="http://a\n', 1),
        ("HIVEMIND_API_KEY=a\0b\n", 1),
        (b"OTHER=1\nHIVEMIND_API_KEY=\xff\n", 2),
    ],
)
async def test_a_file_that_is_malformed_is_refused_with_its_line_and_not_its_text(
    unconfigured: Hm, config: Path, text: str | bytes, line: int
) -> None:
    (config / "env").write_bytes(text if isinstance(text, bytes) else text.encode())
    (config / "env").chmod(0o600)
    for arguments in (("bot", "list"), ("login", "--key-stdin"), ("setup",)):
        ran = await unconfigured(*arguments, stdin=KEY)
        assert (ran.code, ran.out) == (3, "")
        assert f"{config / 'env'}, line {line}: " in ran.err
        assert "HIVEMIND_API_K\n" not in ran.err
    assert (config / "env").read_bytes() == (text if isinstance(text, bytes) else text.encode())


async def test_a_file_that_others_may_read_is_warned_of(unconfigured: Hm, config: Path, double: GatewayDouble) -> None:
    (config / "env").write_text(f"HIVEMIND_URL={double.url}\nHIVEMIND_API_KEY={KEY}\n")
    (config / "env").chmod(0o644)
    ran = await unconfigured("whoami", "--quiet")
    assert (ran.code, ran.out) == (0, "ada\n")
    assert ran.err == f"warning: {config / 'env'} can be read by others on this machine: chmod 600 {config / 'env'}\n"
    (config / "env").chmod(0o600)
    assert (await unconfigured("whoami", "--quiet")).err == ""


async def test_a_folder_in_place_of_the_file_is_refused(unconfigured: Hm, config: Path) -> None:
    (config / "env").mkdir(parents=True)
    ran = await unconfigured("bot", "list")
    assert ran.code == 3
    assert "is a directory" in ran.err


@pytest.mark.parametrize("key", ["hm_a\nb", "hm_a b\t", "hm_ä"])
async def test_a_key_with_a_line_break_is_refused_with_its_source_and_not_repeated(
    hm: Hm, double: GatewayDouble, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("HIVEMIND_API_KEY", key)
    ran = await hm("whoami")
    assert (ran.code, double.seen) == (3, [])
    assert ran.err.startswith("error: the environment: the API key holds a line break")
    assert "hm_" not in ran.err


async def test_a_wrong_url_is_blamed_on_the_place_where_it_stands(
    hm: Hm, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIVEMIND_URL", "127.0.0.1:8585")
    ran = await hm("whoami")
    assert ran.code == 3
    assert ran.err.startswith(
        "error: HIVEMIND_URL: '127.0.0.1:8585' is no URL of a server\nhint: it looks like http://"
    )
    monkeypatch.delenv("HIVEMIND_URL")
    (config / "env").write_text("HIVEMIND_URL=ftp://a\n")
    assert f"error: {config / 'env'}: " in (await hm("whoami")).err


def test_other_lines_are_kept_and_the_file_is_whole_and_ours_alone(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "env"
    envfile.change(file, {"A": "1"})
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("A=1\n", 0o600)
    assert file.parent.stat().st_mode & 0o777 == 0o700
    file.write_text("# note\nA=1\nexport B='two words'\n\nA=again\nC=3")
    file.chmod(0o644)
    envfile.change(file, {"A": "4", "D": "5"})
    assert file.read_text() == "# note\nA=4\nexport B='two words'\n\nC=3\nD=5\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert envfile.read(file) == {"A": "4", "B": "two words", "C": "3", "D": "5"}
    assert [path.name for path in file.parent.iterdir()] == ["env"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    link = tmp_path / "env"
    link.symlink_to(tmp_path / "dotfiles" / "env")
    envfile.change(link, {"A": "1"})
    assert link.is_symlink()
    assert (tmp_path / "dotfiles" / "env").read_text() == "A=1\n"


def test_what_a_server_says_cannot_add_a_line(tmp_path: Path) -> None:
    with pytest.raises(envfile.EnvFileError, match="cannot be kept"):
        envfile.change(tmp_path / "env", {"A": "1\nHIVEMIND_URL=http://evil"})
    assert not (tmp_path / "env").exists()
