from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hivemind_client.cli import output
from hivemind_client.testing import GatewayDouble, answered, refused, streamed

Hm = Callable[..., Awaitable[Any]]
CHAT = "/api/v1/bots/helpdesk/chat"


@pytest.fixture(autouse=True)
def bot(double: GatewayDouble) -> None:
    double.add_bot("helpdesk")
    double.add_snippet("helpdesk", "Refunds", "Refunds take ten days.")


async def test_a_pipe_gets_the_reply_and_its_sources(hm: Hm, double: GatewayDouble) -> None:
    ran = await hm("chat", "helpdesk", "refunds?")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "Refunds take ten days. [1]\n\n[1] Refunds\n"
    assert double.seen[-1].headers["Accept"] == "application/json"
    assert (await hm("chat", "helpdesk", "refunds?", "--quiet")).out == "Refunds take ten days. [1]\n"


async def test_json_is_the_final_answer_as_it_came(hm: Hm, double: GatewayDouble) -> None:
    answer = (await hm("chat", "helpdesk", "weather?", "--json")).json
    assert answer["reply"].startswith("I don't know")
    assert (answer["citations"], answer["usage"]["cost_micro_usd"]) == ([], 0)


async def test_a_message_comes_from_standard_input_and_goes_on_with_a_conversation(
    hm: Hm, double: GatewayDouble
) -> None:
    double.conversations.add(going_on := double.new_id())
    ran = await hm("chat", "helpdesk", "-", "--conversation", going_on, "--json", stdin="And\nrefunds?\n")
    assert ran.json["conversation_id"] == going_on
    assert double.seen[-1].body == {"message": "And\nrefunds?", "conversation_id": going_on}
    assert (await hm("chat", "helpdesk", "-", stdin="")).code == 1
    assert (await hm("chat", "helpdesk", "   ")).code == 1
    assert (await hm("chat", "helpdesk", "-", stdin="x" * 8_001)).code == 1
    assert len(double.seen) == 2


async def test_a_terminal_gets_the_reply_as_it_comes(
    hm: Hm, double: GatewayDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_is_terminal", lambda _: True)
    ran = await hm("chat", "helpdesk", "refunds?")
    assert ran.out == "Refunds take ten days. [1]\n\n[1] Refunds\n"
    assert double.seen[-1].headers["Accept"] == "text/event-stream"
    assert "Go on: hm chat helpdesk --conversation 0192" in ran.err
    assert (await hm("chat", "helpdesk", "refunds?", "--no-stream")).code == 0
    assert double.seen[-1].headers["Accept"] == "application/json"


async def test_an_error_in_the_middle_of_a_stream_is_told_after_what_came(
    hm: Hm, double: GatewayDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_is_terminal", lambda _: True)
    error = b'event: error\ndata: {"status":504,"code":"provider_unavailable","detail":"it was too slow"}\n\n'
    double.script("POST", CHAT, streamed(b'event: delta\ndata: {"text":"Re\\u001b[2J"}\n\n', error))
    ran = await hm("chat", "helpdesk", "refunds?", "--no-color")
    assert (ran.code, ran.out) == (8, "Re[2J\n")
    assert ran.err.startswith("error: it was too slow\nhint: hm health")


async def test_a_refused_question_is_asked_once(hm: Hm, double: GatewayDouble) -> None:
    double.script("POST", CHAT, refused(503, "unavailable", headers={"Retry-After": "1"}))
    ran = await hm("chat", "helpdesk", "refunds?")
    assert (ran.code, ran.out) == (8, "")
    assert "try again in 1 s" in ran.err
    assert len(double.seen) == 1


async def test_an_answer_of_another_kind_is_6(hm: Hm, double: GatewayDouble) -> None:
    double.script("POST", CHAT, answered(200, '{"reply":"hello"}'))
    assert (await hm("chat", "helpdesk", "refunds?")).code == 6
