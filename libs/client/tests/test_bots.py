from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hivemind_client.testing import GatewayDouble, refused

Hm = Callable[..., Awaitable[Any]]


async def test_create_sends_what_was_given_and_nothing_else(hm: Hm, double: GatewayDouble) -> None:
    ran = await hm("bot", "create", "helpdesk", "--template", "customer-support")
    assert ran.code == 0
    assert ran.out == "Created helpdesk: Customer support, internal, 8 snippets.\n"
    assert double.seen[0].body == {"slug": "helpdesk", "template": "customer-support"}
    assert double.seen[0].headers["Idempotency-Key"]
    given = {"name": "Wiki", "description": "All of it", "tier": "public", "provider": "quote", "model": "m"}
    flags = [part for name, value in given.items() for part in (f"--{name}", value)]
    assert (await hm("bot", "create", "wiki", "--prompt", "Be kind.", *flags, "--json")).json["name"] == "Wiki"
    assert double.seen[1].body == {"slug": "wiki", "system_prompt": "Be kind.", **given}


async def test_a_prompt_comes_from_a_file_or_standard_input(hm: Hm, double: GatewayDouble, tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_bytes("\ufeffBe kind.\r\nBe brief.\n".encode())
    ran = await hm("bot", "create", "one", "--name", "One", "--prompt-file", str(tmp_path / "prompt.txt"), "--quiet")
    assert ran.out == "one\n"
    await hm("bot", "create", "two", "--name", "Two", "--prompt-file", "-", stdin="Be kind.\nBe brief.\n")
    assert [seen.body["system_prompt"] for seen in double.seen] == ["Be kind.\nBe brief."] * 2
    ran = await hm("bot", "create", "three", "--name", "Three", "--prompt-file", "-", stdin="x" * 32_001)
    assert ran.code == 1
    assert "standard input has 32,001 characters, at most 32,000 go" in ran.err
    assert len(double.seen) == 2


async def test_a_bot_of_nothing_says_what_is_missing(hm: Hm) -> None:
    ran = await hm("bot", "create", "helpdesk")
    assert ran.code == 1
    assert "hint: give --template T, or both --name and --prompt" in ran.err


@pytest.mark.parametrize(
    ("code", "hint"),
    [("slug_taken", "choose another slug"), ("unknown_template", "customer-support")],
)
async def test_a_refused_bot_says_what_to_do(hm: Hm, double: GatewayDouble, code: str, hint: str) -> None:
    double.script("POST", "/api/v1/bots", refused(409, code))
    ran = await hm("bot", "create", "helpdesk", "--template", "x")
    assert ran.code == 1
    assert f"hint: {hint}" in ran.err or hint in ran.err


async def test_several_wrong_members_are_all_named(hm: Hm, double: GatewayDouble) -> None:
    errors = [
        {"path": "slug", "code": "too_short", "message": "is short"},
        {"path": "tier", "code": "x", "message": "is odd"},
    ]
    double.script("POST", "/api/v1/bots", refused(422, "validation_failed", "slug: is short", errors=errors))
    ran = await hm("bot", "create", "a", "--template", "x")
    assert ran.err.splitlines()[0] == "error: slug: is short; tier: is odd"


async def test_a_list_is_one_document_of_all_pages(hm: Hm, double: GatewayDouble) -> None:
    for n in range(70):
        double.add_bot(f"bot-{n:02d}", tier="public" if n % 2 else "internal")
    document = (await hm("bot", "list", "--json")).json
    assert document == {"items": [double.bots[slug] for slug in sorted(double.bots)], "next": None}
    assert len((await hm("bot", "list", "--tier", "public", "--quiet")).out.splitlines()) == 35
    assert double.seen[-1].query["tier"] == "public"
    await hm("bot", "list", "--status", "archived")
    assert double.seen[-1].query["status"] == "archived"


async def test_a_list_for_pipes_is_plain_and_cut_nowhere(hm: Hm, double: GatewayDouble) -> None:
    double.add_bot("helpdesk", name="[bold]Help\x1b[31m\n\tdesk[/bold] " + "long " * 60)
    ran = await hm("bot", "list")
    header, row = ran.out.splitlines()
    assert header.split() == ["SLUG", "NAME", "TIER", "STATUS", "SNIPPETS", "READY"]
    assert row.startswith("helpdesk  [bold]Help[31m desk[/bold] long long")
    assert row.endswith("internal  active  0         no: no_knowledge")
    assert "\x1b" not in ran.out


async def test_an_empty_list_says_how_to_begin_but_not_to_scripts(hm: Hm) -> None:
    ran = await hm("bot", "list")
    assert (ran.code, ran.out) == (0, "")
    assert "hm bot create" in ran.err
    assert (await hm("bot", "list", "--quiet")).err == ""
    assert (await hm("bot", "list", "--json")).json == {"items": [], "next": None}


async def test_show_is_a_profile_with_the_prompt_below(hm: Hm, double: GatewayDouble) -> None:
    double.add_bot("helpdesk", cost_cap_day_micro_usd=5_000_000, rate_limit_per_minute=60)
    ran = await hm("bot", "show", "helpdesk")
    for line in (
        "answers by   quote, model quote",
        "cap a day    $5.00",
        "a minute     60 in all, 20 for one speaker",
        "ready        no: no_knowledge",
    ):
        assert line in ran.out.splitlines()
    assert ran.out.endswith("\n\nBe kind.\n")
    assert (await hm("bot", "show", "helpdesk", "--json")).json == double.bots["helpdesk"]


async def test_a_caller_who_sees_five_members_only_is_shown_them(hm: Hm, double: GatewayDouble) -> None:
    five = {"slug": "helpdesk", "name": "Help", "description": "", "tier": "public", "status": "active"}
    double.bots["helpdesk"] = five
    assert (await hm("bot", "show", "helpdesk", "--json")).json == five
    assert [line.split() for line in (await hm("bot", "show", "helpdesk")).out.splitlines()][-1] == ["ready", "-"]
    assert (await hm("bot", "list")).out.splitlines()[1].split() == ["helpdesk", "Help", "public", "active", "-", "-"]
