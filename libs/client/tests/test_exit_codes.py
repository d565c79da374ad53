from __future__ import annotations

import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hivemind_client.testing import GatewayDouble, answered, refused, streamed

Hm = Callable[..., Awaitable[Any]]
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (refused(400, "malformed_json"), 1),
        (refused(409, "bot_paused"), 1),
        (refused(412, "precondition_failed"), 1),
        (refused(413, "payload_too_large"), 1),
        (refused(415, "unsupported_media_type"), 1),
        (refused(422, "validation_failed"), 1),
        (refused(405, "method_not_allowed"), 1),
        (refused(401, "invalid_api_key"), 4),
        (refused(403, "insufficient_scope"), 4),
        (answered(200, "<html></html>", "text/html"), 6),
        (answered(302, "", "text/html", Location="/login"), 6),
        (refused(402, "cost_cap_reached"), 7),
        (refused(429, "rate_limited", headers={"Retry-After": "120"}), 7),
        (refused(500, "internal"), 8),
        (refused(502, "provider_unavailable"), 8),
        (answered(502, "<html></html>", "text/html"), 8),
        (answered(504, "", "text/plain"), 8),
        (refused(404, "bot_not_found"), 9),
    ],
)
async def test_each_refusal_has_its_exit_code_words_and_problem_document(
    hm: Hm, double: GatewayDouble, answer: Answer, code: int
) -> None:
    command = ("bot", "show", "helpdesk")
    for arguments in (command, ("--json", *command), (*command, "--json")):
        double.script("GET", "/api/v1/bots/helpdesk", answer)
        ran = await hm(*arguments)
        assert (ran.code, ran.out) == (code, "")
        assert ran.err.startswith("error: ")
        assert ran.err.count("error: ") == 1
        assert "Traceback" not in ran.err
        if "--json" in arguments:
            assert ran.problem["code"]
            assert ran.problem["detail"] == ran.problem["error"]


async def test_with_json_the_last_line_is_the_servers_own_document(hm: Hm) -> None:
    ran = await hm("bot", "show", "nobody", "--json")
    assert ran.code == 9
    assert ran.err.splitlines()[:2] == [
        "error: there is no such bot",
        "hint: hm bot list shows the bots that you may see",
    ]
    assert (ran.problem["code"], ran.problem["request_id"]) == ("bot_not_found", "0192-double")


@pytest.mark.parametrize(
    "arguments",
    [
        ("bot",),
        ("bot", "creat"),
        ("bot", "show"),
        ("bot", "show", "a", "b"),
        ("bot", "list", "--nonsense"),
        ("bot", "list", "--timeout", "soon"),
        ("bot", "list", "--timeout", "0"),
        ("bot", "list", "--timeout", "nan"),
        ("--timeout", "-1", "bot", "list"),
        ("bot", "list", "--url", "localhost:8585"),
        ("bot", "show", ""),
        ("bot", "create", "a-b", "--prompt", "x", "--prompt-file", "y"),
        ("knowledge", "list", "a-b", "--limit", "0"),
        ("knowledge", "search", "a-b", "x", "--limit", "51"),
        ("knowledge", "add", "a-b"),
        ("knowledge", "add", "a-b", "--body", "x"),
        ("knowledge", "add", "a-b", "--title", "x"),
        ("knowledge", "add", "a-b", "--title", "x", "--body", "y", "--file", "z"),
        ("knowledge", "add", "a-b", "--title", "x", "y", "z"),
        ("knowledge", "add", "a-b", "-", "-"),
        ("knowledge", "delete", "a-b", "1"),
        ("chat", "a-b"),
        ("chat", "a-b", "--json"),
        ("login",),
        ("login", "--email", "ada@example.org"),
        ("login", "--password-stdin"),
        ("login", "--key-stdin", "--email", "ada@example.org"),
        ("setup", "--username", "ada"),
        ("passwd",),
        ("session",),
        ("session", "revoke"),
        ("session", "revoke", "1", "--all-others"),
    ],
)
async def test_what_cannot_be_meant_is_usage_and_nothing_is_sent(
    hm: Hm, double: GatewayDouble, arguments: tuple[str, ...]
) -> None:
    ran = await hm(*arguments)
    assert (ran.code, ran.out) == (2, "")
    error, hint = [*ran.err.splitlines(), ""][:2]
    assert error.startswith("error: ")
    assert (
        hint.startswith("hint: ")
        or "--timeout takes" in error
        or "needs" in error
        or "read once" in error
        or "no slug" in error
    )
    assert double.seen == []
    in_json = await hm("--json", *arguments)
    assert in_json.code == 2
    assert in_json.problem["code"] in ("usage", "invalid_input")


async def test_without_a_key_nothing_is_sent_and_the_next_step_is_named(
    unconfigured: Hm, double: GatewayDouble
) -> None:
    ran = await unconfigured("bot", "list", "--url", double.url, "--json")
    assert (ran.code, ran.out, ran.problem["code"], double.seen) == (3, "", "not_configured", [])
    assert "hm setup" in ran.err
    assert "hm login" in ran.err


async def test_a_server_that_is_not_there_is_5(hm: Hm) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets it, and it refuses
        ran = await hm("bot", "list", "--url", f"http://127.0.0.1:{taken.getsockname()[1]}", "--json")
    assert (ran.code, ran.out, ran.problem["code"]) == (5, "", "unreachable")
    assert ran.err.splitlines()[0].endswith(": connection refused")
    assert (await hm("health", "--url", "http://nowhere.invalid", "--timeout", "20")).code == 5


async def test_tls_where_there_is_none_is_5_and_says_so(hm: Hm, double: GatewayDouble) -> None:
    ran = await hm("bot", "list", "--url", double.url.replace("http:", "https:"))
    assert ran.code == 5
    assert "no TLS" in ran.err
    assert "http://" in ran.err


async def test_a_stream_that_breaks_off_is_5(hm: Hm, double: GatewayDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    from hivemind_client.cli import output

    monkeypatch.setattr(output, "_is_terminal", lambda _: True)
    double.script("POST", "/api/v1/bots/helpdesk/chat", streamed(b'event: delta\ndata: {"text":"Refunds"}\n\n'))
    ran = await hm("chat", "helpdesk", "refunds?", "--no-color")
    assert (ran.code, ran.out) == (5, "Refunds\n")
    assert "broke off" in ran.err


async def test_health_is_a_table_or_one_document_and_down_is_8(unconfigured: Hm, double: GatewayDouble) -> None:
    ran = await unconfigured("health", "--url", double.url)
    assert ran.code == 0
    assert "gateway    ok" in ran.out
    assert (await unconfigured("health", "--url", double.url, "--json")).json["status"] == "ok"
    assert (await unconfigured("health", "--url", double.url, "--quiet")).out == "ok\n"
    double.health, double.components["db"] = "down", {"status": "down", "detail": "no answer"}
    ran = await unconfigured("health", "--url", double.url, "--json")
    assert (ran.code, ran.out) == (8, "")
    assert ran.err.startswith("error: the server is down: db (no answer)\n")
    assert ran.problem["health"]["components"]["db"]["status"] == "down"
    assert len(double.seen) == 4  # down is an answer, and no reason to ask again


async def test_a_proxy_without_a_server_behind_it_is_told_as_such(unconfigured: Hm, double: GatewayDouble) -> None:
    double.script("GET", "/api/v1/health", answered(503, "<html>no backend</html>", "text/html"))
    ran = await unconfigured("health", "--url", double.url)
    assert ran.code == 8
    assert "proxy" in ran.err


async def test_what_a_server_says_cannot_paint_the_terminal(hm: Hm, double: GatewayDouble) -> None:
    double.script("GET", "/auth/me", refused(409, "odd", "a\x1b[31m\x9b1m\r\nb\u202ec"))
    ran = await hm("whoami")
    assert ran.err == "error: a[31m1m bc\n"


async def test_a_bug_of_our_own_says_that_it_is_one(hm: Hm, monkeypatch: pytest.MonkeyPatch) -> None:
    from hivemind_client.client import HivemindClient

    def broken(_: HivemindClient) -> None:
        raise KeyError("x")

    monkeypatch.setattr(HivemindClient, "whoami", broken)
    ran = await hm("whoami", "--json")
    assert (ran.code, ran.out) == (1, "")
    assert "error: hm failed on a bug of its own: KeyError" in ran.err
    assert json.loads(ran.err.splitlines()[-1])["code"] == "client_error"


async def test_ctrl_c_at_any_moment_is_130_and_no_traceback(hm: Hm, monkeypatch: pytest.MonkeyPatch) -> None:
    from hivemind_client.cli import program

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    for moment in ("application", "_output", "run"):
        with monkeypatch.context() as patched:
            patched.setattr(program, moment, interrupted)
            ran = await hm("whoami")
        assert (ran.code, ran.out, ran.err.strip()) == (130, "", "")


async def test_flags_work_before_between_and_after_the_command(hm: Hm, double: GatewayDouble, tmp_path: Path) -> None:
    double.add_bot("helpdesk")
    for arguments in (("--json", "bot", "list"), ("bot", "--json", "list"), ("bot", "list", "--json")):
        assert [bot["slug"] for bot in (await hm(*arguments)).json["items"]] == ["helpdesk"]
    ran = await hm("--url", "http://127.0.0.1:1", "bot", "--url", "http://127.0.0.1:2", "list", "--url", double.url)
    assert ran.code == 0
    assert (await hm("knowledge", "search", "helpdesk", "--quiet", "--", "--json")).code == 0
    assert double.seen[-1].query["q"] == "--json"
    assert (await hm("knowledge", "add", "helpdesk", "--title", "--json", "--body", "x", "--quiet")).code == 0
    assert double.snippets["helpdesk"][0]["title"] == "--json"
