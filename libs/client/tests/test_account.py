from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hivemind_client import envfile
from hivemind_client.testing import KEY, SESSION, GatewayDouble, answered, refused

Hm = Callable[..., Awaitable[Any]]
SETUP = ("setup", "--username", "ada", "--email", "ada@example.org", "--password-stdin")
LOGIN = ("login", "--email", "ada@example.org", "--password-stdin")
PASSWORD = "twelvechars+"


@pytest.fixture
def there(unconfigured: Hm, double: GatewayDouble, monkeypatch: pytest.MonkeyPatch) -> Hm:
    """`hm` that knows where the server is, and nothing else."""
    monkeypatch.setenv("HIVEMIND_URL", double.url)
    return unconfigured


async def test_setup_registers_shows_the_key_once_and_keeps_it(there: Hm, double: GatewayDouble, config: Path) -> None:
    (config / "env").write_text("# mine\nOTHER=1\n")
    (config / "env").chmod(0o600)
    ran = await there(*SETUP, stdin=f"{PASSWORD}\n")
    assert ran.code == 0
    assert ran.out.count(KEY) == 1
    assert KEY not in ran.err
    assert PASSWORD not in ran.out + ran.err
    assert (config / "env").read_text() == f"# mine\nOTHER=1\nHIVEMIND_URL={double.url}\nHIVEMIND_API_KEY={KEY}\n"
    assert (config / "env").stat().st_mode & 0o777 == 0o600
    assert double.seen[0].body == {"username": "ada", "email": "ada@example.org", "password": PASSWORD}
    whoami = await there("whoami", "--json")
    assert (whoami.json["username"], whoami.json["auth"]) == ("ada", "api_key")


async def test_setup_in_json_is_the_apis_document_and_in_quiet_the_key(there: Hm, double: GatewayDouble) -> None:
    assert (await there(*SETUP, "--json", stdin=PASSWORD)).json["api_key"] == KEY
    double.admin = None
    assert (await there(*SETUP, "--quiet", stdin=PASSWORD)).out == f"{KEY}\n"


async def test_setup_hands_in_the_token_when_it_is_needed(there: Hm, double: GatewayDouble, tmp_path: Path) -> None:
    double.setup_token = "token-of-the-data-folder"
    ran = await there(*SETUP, stdin=PASSWORD)
    assert ran.code == 4
    assert "hint: --setup-token-file F" in ran.err
    missing = await there(*SETUP, "--setup-token-file", str(tmp_path / "none"), stdin=PASSWORD)
    assert missing.code == 3
    assert "no such file" in missing.err
    (tmp_path / "setup-token").write_text("token-of-the-data-folder\n")
    assert (await there(*SETUP, "--setup-token-file", str(tmp_path / "setup-token"), stdin=PASSWORD)).code == 0


async def test_a_second_setup_changes_nothing(there: Hm, config: Path) -> None:
    await there(*SETUP, stdin=PASSWORD)
    before = (config / "env").read_text()
    ran = await there(*SETUP, stdin=PASSWORD)
    assert (ran.code, ran.out) == (1, "")
    assert "hint: sign in" in ran.err
    assert (config / "env").read_text() == before


async def test_setup_looks_whether_the_key_can_be_kept_before_it_registers(
    there: Hm, double: GatewayDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plain").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "plain"))
    ran = await there(*SETUP, stdin=PASSWORD)
    assert (ran.code, ran.out, double.seen) == (3, "", [])


async def test_a_key_that_could_not_be_kept_is_shown_all_the_same(
    there: Hm, double: GatewayDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise envfile.EnvFileError("cannot write it: no space left on device")

    monkeypatch.setattr(envfile, "change", full)
    ran = await there(*SETUP, stdin=PASSWORD)
    assert ran.code == 11
    assert KEY in ran.out
    assert "the key was not kept" in ran.err


@pytest.mark.parametrize("stdin", ["", "\n", "twelve\nchars+", b"\xff\xfe", "x" * 5000])
async def test_what_is_no_password_is_not_sent(there: Hm, double: GatewayDouble, stdin: str | bytes) -> None:
    ran = await there(*SETUP, stdin=stdin)
    assert (ran.code, ran.out, double.seen) == (1, "", [])
    assert "xxxx" not in ran.err


async def test_a_password_is_kept_to_the_letter(there: Hm, double: GatewayDouble) -> None:
    assert (await there(*SETUP, stdin="  blanks and ümlauts \r\n")).code == 0
    assert double.seen[0].body["password"] == "  blanks and ümlauts "


async def test_a_short_password_is_refused_by_the_server(there: Hm, config: Path) -> None:
    ran = await there(*SETUP, stdin="short")
    assert (ran.code, ran.out) == (1, "")
    assert "password: must be at least 12 characters long" in ran.err
    assert not (config / "env").exists()


async def test_login_tries_a_key_and_keeps_only_one_that_works(there: Hm, double: GatewayDouble, config: Path) -> None:
    ran = await there("login", "--key-stdin", stdin="hm_wrong")
    assert (ran.code, ran.out) == (4, "")
    assert "invalid or inactive API key" in ran.err
    assert not (config / "env").exists()
    for malformed in ("hm_a\nhm_b", "hm_ä", ""):
        ran = await there("login", "--key-stdin", stdin=malformed)
        assert ran.code in (1, 2)
        assert "hm_" not in ran.err
    ran = await there("login", "--key-stdin", stdin=f"{KEY}\n")
    assert ran.code == 0
    assert KEY not in ran.out + ran.err
    assert envfile.read(config / "env") == {"HIVEMIND_URL": double.url, "HIVEMIND_API_KEY": KEY}


async def test_login_by_password_keeps_the_session_and_the_last_login_holds(
    there: Hm, double: GatewayDouble, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await there(*SETUP, stdin=PASSWORD)
    wrong = await there(*LOGIN, stdin="not the password")
    assert (wrong.code, wrong.out) == (4, "")
    ran = await there(*LOGIN, stdin=PASSWORD)
    assert ran.code == 0
    assert SESSION not in ran.out + ran.err
    assert (config / "session").stat().st_mode & 0o777 == 0o600
    assert envfile.read(config / "session")["HIVEMIND_SESSION"] == SESSION
    monkeypatch.delenv("HIVEMIND_URL")
    assert (await there("whoami", "--json")).json["auth"] == "session"
    assert (await there("login", "--key-stdin", stdin=KEY)).code == 0
    assert (await there("whoami", "--json")).json["auth"] == "api_key"
    assert not (config / "session").exists()


async def test_after_a_login_elsewhere_the_next_command_finds_the_server(
    unconfigured: Hm, double: GatewayDouble, config: Path
) -> None:
    double.admin = {"username": "ada", "email": "ada@example.org", "password": PASSWORD}
    assert (await unconfigured("--url", f"{double.url}/", *LOGIN, stdin=PASSWORD)).code == 0
    assert (await unconfigured("whoami", "--json")).json["auth"] == "session"
    # A key that is kept for one server never begins to travel to another.
    envfile.change(config / "env", {"HIVEMIND_URL": "http://other", "HIVEMIND_API_KEY": "key-of-the-other"})
    ran = await unconfigured("--url", double.url, *LOGIN, stdin=PASSWORD)
    assert "names another server" in ran.err
    assert envfile.read(config / "env")["HIVEMIND_URL"] == "http://other"


async def test_a_dead_session_says_how_to_sign_in_again(there: Hm, double: GatewayDouble) -> None:
    double.admin = {"username": "ada", "email": "ada@example.org", "password": PASSWORD}
    await there(*LOGIN, stdin=PASSWORD)
    double.script("GET", "/auth/me", refused(401, "invalid_session", "session is not valid; sign in again"))
    ran = await there("whoami")
    assert ran.code == 4
    assert "hint: sign in again: hm login --email" in ran.err


async def test_a_login_without_a_cookie_is_no_login(there: Hm, double: GatewayDouble, config: Path) -> None:
    double.script(
        "POST", "/auth/login", answered(200, '{"username":"ada","email":"a@b","role":"user","expires_at":"x"}')
    )
    ran = await there(*LOGIN, stdin=PASSWORD)
    assert ran.code == 6
    assert not (config / "session").exists()


async def test_a_key_in_the_environment_that_goes_first_is_mentioned(hm: Hm, double: GatewayDouble) -> None:
    ran = await hm("login", "--key-stdin", stdin=KEY)
    assert ran.code == 0
    assert "warning: HIVEMIND_API_KEY is set in the environment and goes before" in ran.err


async def test_whoami_for_people(hm: Hm, double: GatewayDouble) -> None:
    ran = await hm("whoami")
    assert ran.out.splitlines() == [
        "user    ada",
        "email   ada@example.org",
        "role    admin",
        "by      api key from the environment",
        "may     admin",
        f"server  {double.url}",
    ]
