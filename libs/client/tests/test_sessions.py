from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hivemind_client import ApiError, HivemindClient, envfile
from hivemind_client.testing import KEY, SESSION, GatewayDouble, refused

Hm = Callable[..., Awaitable[Any]]
LOGIN = ("login", "--email", "ada@example.org", "--password-stdin")
PASSWORD = "twelvechars+"
NEW_PASSWORD = "another twelve"


@pytest.fixture
async def signed_in(unconfigured: Hm, double: GatewayDouble, config: Path) -> Hm:
    """`hm` whose only credential is a session."""
    double.admin = {"username": "ada", "email": "ada@example.org", "password": PASSWORD}
    assert (await unconfigured("--url", double.url, *LOGIN, stdin=PASSWORD)).code == 0
    double.seen.clear()
    return unconfigured


async def test_logout_ends_the_session_there_and_forgets_it_here(
    signed_in: Hm, double: GatewayDouble, config: Path
) -> None:
    ran = await signed_in("logout")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"Signed out of {double.url}: the session has ended, and {config / 'session'} is removed.\n"
    assert double.sessions == {}
    assert not (config / "session").exists()
    assert (await signed_in("whoami")).code == 3


async def test_a_second_logout_has_nothing_to_do_and_says_so(signed_in: Hm, double: GatewayDouble) -> None:
    assert (await signed_in("logout", "--json")).json == {"signed_out_of": double.url}
    double.seen.clear()
    ran = await signed_in("logout")
    assert (ran.code, ran.out) == (0, "No session is kept; there is nothing to sign out of.\n")
    assert (await signed_in("logout", "--json")).json == {"signed_out_of": None}
    assert (await signed_in("logout", "--quiet")).out == ""
    assert double.seen == []


async def test_a_session_that_is_dead_already_is_forgotten(signed_in: Hm, double: GatewayDouble, config: Path) -> None:
    double.sessions.clear()
    assert (await signed_in("logout")).code == 0
    assert not (config / "session").exists()


async def test_a_server_that_cannot_be_reached_does_not_keep_anybody_signed_in_here(
    signed_in: Hm, config: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets it, and it refuses
        envfile.change(config / "session", {"HIVEMIND_URL": f"http://127.0.0.1:{taken.getsockname()[1]}"})
        ran = await signed_in("logout", "--json")
    assert (ran.code, ran.out, ran.problem["code"]) == (11, "", "unreachable")
    assert f"{config / 'session'} is removed, but the session may go on there" in ran.err
    assert not (config / "session").exists()


async def test_a_server_that_refuses_does_not_either(signed_in: Hm, double: GatewayDouble, config: Path) -> None:
    double.script("POST", "/auth/logout", refused(503, "unavailable", "the database does not answer"))
    ran = await signed_in("logout")
    assert (ran.code, ran.out) == (11, "")
    assert "the database does not answer" in ran.err
    assert not (config / "session").exists()


async def test_logout_is_of_the_session_whatever_key_and_server_are_set(
    signed_in: Hm, double: GatewayDouble, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIVEMIND_API_KEY", KEY)
    monkeypatch.setenv("HIVEMIND_URL", "http://other.invalid")
    elsewhere = await signed_in("logout", "--url", "http://other.invalid")
    assert (elsewhere.code, len(double.sessions)) == (2, 1)
    assert f"belongs to {double.url}" in elsewhere.err
    assert (await signed_in("logout", "--url", f"{double.url}/")).code == 0
    assert double.sessions == {}
    assert "X-API-Key" not in double.seen[0].headers


async def test_session_list_is_a_table_ids_or_the_apis_documents(signed_in: Hm, double: GatewayDouble) -> None:
    double.open_session(address="192.0.2.7", user_agent="a telephone\x1b[31m")
    other, mine = (each["id"] for each in [*double.sessions.values()][::-1])
    head, *rows = (await signed_in("session", "list")).out.splitlines()
    assert head.split()[:3] == ["ID", "THIS", "ONE"]
    assert [row.split()[:2] for row in rows] == [[other, "-"], [mine, "yes"]]
    assert rows[0].endswith("192.0.2.7  a telephone[31m")
    assert (await signed_in("session", "list", "--quiet")).out == f"{other}\n{mine}\n"
    document = (await signed_in("session", "list", "--json")).json
    assert [(each["id"], each["current"]) for each in document["items"]] == [(other, False), (mine, True)]
    assert document["next"] is None


async def test_all_pages_of_sessions_are_one_list(signed_in: Hm, double: GatewayDouble) -> None:
    for _ in range(250):
        double.open_session()
    document = (await signed_in("session", "list", "--json")).json
    assert [each["id"] for each in document["items"]] == [each["id"] for each in [*double.sessions.values()][::-1]]
    assert document["next"] is None
    assert (await signed_in("session", "revoke", "--all-others")).out == "Ended 250 other sessions.\n"


async def test_no_session_at_all_is_no_table(hm: Hm) -> None:
    ran = await hm("session", "list")
    assert (ran.code, ran.out, ran.err) == (0, "", "You are signed in nowhere by password.\n")


async def test_session_revoke_ends_one_and_a_second_time_it_is_not_there(signed_in: Hm, double: GatewayDouble) -> None:
    other = double.sessions[double.open_session()]["id"]
    ran = await signed_in("session", "revoke", other)
    assert (ran.code, ran.out) == (0, f"Ended {other}.\n")
    assert list(double.sessions) == [SESSION]
    again = await signed_in("session", "revoke", other)
    assert (again.code, again.out) == (9, "")
    assert "there is no such session" in again.err
    third = double.sessions[double.open_session()]["id"]
    assert (await signed_in("session", "revoke", third, "--json")).json == {"deleted": third}


async def test_all_others_ends_all_but_the_one_that_asks(signed_in: Hm, double: GatewayDouble) -> None:
    for _ in range(3):
        double.open_session()
    gone = [each["id"] for each in double.sessions.values()][-1]
    double.script("DELETE", f"/api/v1/sessions/{gone}", refused(404, "not_found", "there is no such session"))
    ran = await signed_in("session", "revoke", "--all-others")
    assert (ran.code, ran.out) == (0, "Ended 3 other sessions.\n")
    assert set(double.sessions) == {SESSION, f"{SESSION}-4"}, "the one that had ended meanwhile is no failure"
    assert len((await signed_in("session", "revoke", "--all-others", "--json")).json["deleted"]) == 1
    assert (await signed_in("session", "revoke", "--all-others", "--json")).json == {"deleted": []}


async def test_all_others_stops_where_the_server_does(signed_in: Hm, double: GatewayDouble) -> None:
    first = double.sessions[double.open_session()]["id"]
    double.script("DELETE", f"/api/v1/sessions/{first}", refused(503, "unavailable"))
    ran = await signed_in("session", "revoke", "--all-others")
    assert (ran.code, ran.out) == (8, "")


async def test_passwd_takes_both_passwords_from_a_pipe(signed_in: Hm, double: GatewayDouble) -> None:
    double.open_session()
    ran = await signed_in("passwd", "--password-stdin", stdin=f"{PASSWORD}\r\n  {NEW_PASSWORD} \n")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "The password of ada is changed; all other sessions have ended.\n"
    assert double.seen[-1].body == {"password": f"  {NEW_PASSWORD} ", "current_password": PASSWORD}
    assert list(double.sessions) == [SESSION]
    stdin = f"  {NEW_PASSWORD} \n{PASSWORD}"
    assert (await signed_in("passwd", "--password-stdin", "--json", stdin=stdin)).json["auth"] == "session"
    assert (await signed_in("passwd", "--password-stdin", "-q", stdin=f"{PASSWORD}\n{PASSWORD}")).out == "ada\n"


async def test_a_wrong_current_password_changes_nothing(signed_in: Hm, double: GatewayDouble) -> None:
    ran = await signed_in("passwd", "--password-stdin", stdin=f"wrong\n{NEW_PASSWORD}\n")
    assert (ran.code, ran.out) == (1, "")
    assert "current_password: is not the current password" in ran.err
    assert double.admin is not None
    assert double.admin["password"] == PASSWORD


async def test_who_tries_too_often_hears_how_long_to_wait(signed_in: Hm) -> None:
    for _ in range(10):
        assert (await signed_in("passwd", "--password-stdin", stdin=f"wrong\n{NEW_PASSWORD}\n")).code == 1
    ran = await signed_in(*LOGIN, stdin=PASSWORD)
    assert (ran.code, ran.out) == (7, "")
    assert "too many wrong passwords" in ran.err
    assert "try again in 900 s" in ran.err


@pytest.mark.parametrize(
    "stdin", ["", "\n", PASSWORD, f"{PASSWORD}\n\n", "a\nb\nc\n", b"\xff\xfe\nx\n", f"x\n{'x' * 9000}"]
)
async def test_what_is_not_two_passwords_is_not_sent(signed_in: Hm, double: GatewayDouble, stdin: str | bytes) -> None:
    ran = await signed_in("passwd", "--password-stdin", stdin=stdin)
    assert (ran.code, ran.out, double.seen) == (1, "", [])
    assert PASSWORD not in ran.err


async def test_the_client_signs_in_looks_changes_and_signs_out(double: GatewayDouble) -> None:
    double.admin = {"username": "ada", "email": "ada@example.org", "password": PASSWORD}
    async with HivemindClient(double.url) as nobody:
        token = (await nobody.login("ada@example.org", PASSWORD)).token
        other = (await nobody.login("ada@example.org", PASSWORD)).token
        await nobody.logout()  # without a session there is nothing to end, and that is no error
    async with HivemindClient(double.url, session=token) as ada:
        sessions = await ada.sessions()
        assert [session.current for session in sessions] == [False, True]
        await ada.revoke_session(sessions[0].id)
        assert other not in double.sessions
        assert (await ada.change_password(PASSWORD, NEW_PASSWORD)).auth == "session"
        await ada.logout()
        with pytest.raises(ApiError, match="session is not valid") as refusal:
            await ada.sessions()
    assert (refusal.value.status, refusal.value.code) == (401, "invalid_session")
