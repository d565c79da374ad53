from __future__ import annotations

import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hivemind_client.testing import GatewayDouble, refused

Hm = Callable[..., Awaitable[Any]]
NOBODY = 65_534
ADD = "/api/v1/bots/helpdesk/knowledge"


@pytest.fixture(autouse=True)
def bot(double: GatewayDouble) -> None:
    double.add_bot("helpdesk")


@pytest.mark.parametrize(
    ("content", "title", "body"),
    [
        (
            b"# How long do refunds take?\n\nTen days.\n\nAbroad: 20.\n",
            "How long do refunds take?",
            "Ten days.\n\nAbroad: 20.",
        ),
        (b"\xef\xbb\xbf# Refunds\r\nTen days.\r\n", "Refunds", "Ten days."),
        (b"Ten days.\n# Not the first line\n", "refunds.md", "Ten days.\n# Not the first line"),
        (b"## Second level\nTen days.", "refunds.md", "## Second level\nTen days."),
        (b"#tag\nTen days.", "refunds.md", "#tag\nTen days."),
        (b"#  \nTen days.", "refunds.md", "#  \nTen days."),
        (b"\n\n  indented\n", "refunds.md", "  indented"),
        ("# Rücksendung ☺\nZehn Tage.".encode(), "Rücksendung ☺", "Zehn Tage."),
    ],
)
async def test_a_file_is_one_snippet(
    hm: Hm, double: GatewayDouble, tmp_path: Path, content: bytes, title: str, body: str
) -> None:
    (tmp_path / "refunds.md").write_bytes(content)
    for flag in ([], ["--file"]):
        ran = await hm("knowledge", "add", "helpdesk", *flag, str(tmp_path / "refunds.md"), "--json")
        assert ran.code == 0, ran.err
        assert ran.json == double.snippets["helpdesk"][0]
        assert double.seen[-1].body == {"title": title, "body": body, "source": "refunds.md"}


async def test_title_body_tags_and_source_as_flags(hm: Hm, double: GatewayDouble, tmp_path: Path) -> None:
    ran = await hm("knowledge", "add", "helpdesk", "--title", "Refunds", "--body", " Ten days. ", "--quiet")
    assert ran.out == f"{double.snippets['helpdesk'][0]['id']}\n"
    assert double.seen[-1].body == {"title": "Refunds", "body": " Ten days. "}
    (tmp_path / "a.md").write_text("# Part of the body\nTen days.\n")
    flags = ("--title", "Refunds", "--tag", "money", "--tag", "law", "--source", "Handbook")
    await hm("knowledge", "add", "helpdesk", str(tmp_path / "a.md"), *flags)
    assert double.seen[-1].body == {
        "title": "Refunds",
        "body": "# Part of the body\nTen days.",
        "tags": ["money", "law"],
        "source": "Handbook",
    }


async def test_standard_input_is_a_file_without_a_name(hm: Hm, double: GatewayDouble) -> None:
    assert (await hm("knowledge", "add", "helpdesk", "-", stdin="# Refunds\nTen days.\n")).code == 0
    assert double.seen[-1].body == {"title": "Refunds", "body": "Ten days."}
    assert (await hm("knowledge", "add", "helpdesk", "--title", "T", "--file", "-", stdin="Ten days.")).code == 0
    assert double.seen[-1].body == {"title": "T", "body": "Ten days."}
    ran = await hm("knowledge", "add", "helpdesk", "-", stdin="Ten days.")
    assert ran.code == 2
    assert "--title" in ran.err


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (None, 3, "no such file"),
        ("folder", 3, "is a folder"),
        (b"", 1, "is empty"),
        (b" \n\n", 1, "is empty"),
        (b"# Only a title\n", 1, "nothing below"),
        (b"caf\xe9", 1, "is not UTF-8 text (byte 4)"),
        (b"a\0b", 1, "NUL"),
        (b"# " + b"t" * 201 + b"\nbody", 1, "the title of"),
        (b"# t\n" + b"b" * 20_001, 1, "20,001 characters, at most 20,000"),
        (b"b" * 200_000, 1, "has more than 20,000 characters"),
    ],
)
async def test_a_bad_file_is_named_with_the_cure_and_nothing_is_sent(
    hm: Hm, double: GatewayDouble, tmp_path: Path, content: bytes | str | None, code: int, words: str
) -> None:
    file = tmp_path / "bad.md"
    if content == "folder":
        file.mkdir()
    elif isinstance(content, bytes):
        file.write_bytes(content)
    ran = await hm("knowledge", "add", "helpdesk", str(file))
    assert (ran.code, ran.out, double.seen) == (code, "", [])
    error, hint = ran.err.splitlines()
    assert str(file) in error
    assert words in error
    assert hint.startswith("hint: ")


async def test_letters_are_counted_and_not_bytes(hm: Hm, double: GatewayDouble, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# " + "ü" * 200 + "\n" + "😀" * 20_000)
    assert (await hm("knowledge", "add", "helpdesk", str(tmp_path / "a.md"))).code == 0
    assert double.seen[-1].body["body"] == "😀" * 20_000


async def test_a_file_that_may_not_be_read_is_3(hm: Hm, monkeypatch: pytest.MonkeyPatch) -> None:
    was = os.geteuid()
    with tempfile.TemporaryDirectory(prefix="hivemind-client-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        monkeypatch.setenv("XDG_CONFIG_HOME", name)
        (folder / "a.md").touch(0o000)
        if was == 0:
            os.seteuid(NOBODY)  # root may read everything
        try:
            ran = await hm("knowledge", "add", "helpdesk", str(folder / "a.md"))
        finally:
            os.seteuid(was)
    assert ran.code == 3
    assert "permission denied" in ran.err


async def test_several_files_are_a_list_in_order(hm: Hm, double: GatewayDouble, tmp_path: Path) -> None:
    names = []
    for n in range(3):
        (tmp_path / f"{n}.md").write_text(f"# Question {n}\nAnswer.")
        names.append(str(tmp_path / f"{n}.md"))
    ran = await hm("knowledge", "add", "helpdesk", *names, "--tag", "faq", "--json")
    assert [snippet["title"] for snippet in ran.json] == ["Question 0", "Question 1", "Question 2"]
    assert [snippet["tags"] for snippet in ran.json] == [["faq"]] * 3
    ran = await hm("knowledge", "add", "helpdesk", *names)
    assert [line.split("  ")[1] for line in ran.out.splitlines()] == ["Question 0", "Question 1", "Question 2"]
    assert ran.err == "3 snippets added to helpdesk.\n"


async def test_of_several_the_good_ones_are_in_and_the_bad_ones_named(
    hm: Hm, double: GatewayDouble, tmp_path: Path
) -> None:
    for name, content in (
        ("a.md", b"# A\nGood."),
        ("b.md", b"\xff"),
        ("c.md", b"# C\nSecret."),
        ("d.md", b"# D\nGood."),
    ):
        (tmp_path / name).write_bytes(content)
    names = [str(tmp_path / name) for name in ("a.md", "b.md", "none.md", "c.md", "d.md")]
    secret = refused(422, "looks_like_secret", "body: looks like a key")

    async def answer(request: Any) -> Any:
        if (await request.json())["title"] == "C":
            return await secret(request)
        return await passed(request)

    async def passed(request: Any) -> Any:
        from aiohttp import web

        return web.json_response(double.add_snippet("helpdesk", **await request.json()), status=201)

    double.script("POST", ADD, answer, answer, answer)
    ran = await hm("knowledge", "add", "helpdesk", *names, "--json")
    assert ran.code == 11
    assert [snippet["title"] for snippet in ran.json] == ["A", "D"]
    lines = ran.err.splitlines()
    assert lines[0].startswith(f"error: {tmp_path / 'b.md'} is not UTF-8")
    assert lines[1].startswith(f"error: cannot read {tmp_path / 'none.md'}: no such file")
    assert lines[2].startswith(f"error: {tmp_path / 'c.md'}: body: looks like a key (")
    assert lines[3] == "error: 2 of 5 files were added"
    assert ran.problem["code"] == "partly_done"
    assert [failed["code"] for failed in ran.problem["failed"]] == ["refused", "unreadable_file", "looks_like_secret"]
    assert ran.problem["failed"][0]["file"] == str(tmp_path / "b.md")


async def test_of_several_none_is_no_partial_success(hm: Hm, tmp_path: Path) -> None:
    ran = await hm("knowledge", "add", "helpdesk", str(tmp_path / "a"), str(tmp_path / "b"), "--json")
    assert (ran.code, ran.out) == (3, "")
    assert "error: none of 2 files was added" in ran.err
    assert ran.problem["code"] == "unreadable_file"


async def test_what_would_meet_every_file_ends_it_at_the_first(hm: Hm, double: GatewayDouble, tmp_path: Path) -> None:
    names = []
    for n in range(4):
        (tmp_path / f"{n}.md").write_text("Answer.")
        names.append(str(tmp_path / f"{n}.md"))
    ran = await hm("knowledge", "add", "nobody", *names)
    assert (ran.code, ran.out, len(double.seen)) == (9, "", 1)
    assert ran.err.startswith("error: there is no such bot\n")

    async def passed(request: Any) -> Any:
        from aiohttp import web

        return web.json_response(double.add_snippet("helpdesk", **await request.json()), status=201)

    double.script("POST", ADD, passed, refused(503, "unavailable", "the database does not answer"))
    ran = await hm("knowledge", "add", "helpdesk", *names)
    assert ran.code == 11
    assert len(ran.out.splitlines()) == 1
    assert ran.err.count("not tried after that") == 2
    assert len(double.seen) == 3


async def test_a_file_whose_name_is_no_utf8_can_be_added(hm: Hm, double: GatewayDouble, tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(str(tmp_path)) + b"/caf\xe9.md")
    with open(name, "w") as file:  # noqa: ASYNC230, PTH123  # a name as bytes would have it
        file.write("Open at nine.")
    assert (await hm("knowledge", "add", "helpdesk", name, "--json")).code == 0
    assert double.seen[-1].body["title"] == "caf\ufffd.md"


async def test_list_show_and_delete(hm: Hm, double: GatewayDouble) -> None:
    ids = [double.add_snippet("helpdesk", f"Title {n}", f"Body\n{n}", tags=["x"])["id"] for n in range(60)]
    assert len((await hm("knowledge", "list", "helpdesk", "--json")).json["items"]) == 60
    assert (await hm("knowledge", "list", "helpdesk", "--limit", "55", "--json")).json["next"] is None
    assert (await hm("knowledge", "list", "helpdesk", "--limit", "2", "--quiet")).out.split() == ids[:-3:-1]
    assert "Title 59  x" in (await hm("knowledge", "list", "helpdesk")).out
    assert (await hm("knowledge", "show", "helpdesk", ids[0], "--json")).json["body"] == "Body\n0"
    assert (await hm("knowledge", "show", "helpdesk", ids[0])).out.endswith("\n\nBody\n0\n")
    assert (await hm("knowledge", "delete", "helpdesk", ids[0], "--yes", "--json")).json == {"deleted": ids[0]}
    assert (await hm("knowledge", "delete", "helpdesk", ids[0], "--yes")).code == 9
    assert (await hm("knowledge", "delete", "helpdesk", "..", "--yes")).code == 2
    assert len(double.snippets["helpdesk"]) == 59


async def test_search(hm: Hm, double: GatewayDouble) -> None:
    snippet = double.add_snippet("helpdesk", "Refunds", "Refunds take ten days.")
    ran = await hm("knowledge", "search", "helpdesk", "refunds & more?", "--limit", "3", "--json")
    assert double.seen[-1].query == {"q": "refunds & more?", "limit": "3"}
    assert [hit["id"] for hit in ran.json["items"]] == [snippet["id"]]
    assert ran.json["next"] is None
    assert "Refunds take ten days." in (await hm("knowledge", "search", "helpdesk", "refunds")).out
    ran = await hm("knowledge", "search", "helpdesk", "weather")
    assert (ran.code, ran.out, ran.err) == (0, "", "helpdesk has nothing about that.\n")
    assert (await hm("knowledge", "search", "helpdesk", "\udcff")).code == 2


async def test_edit_by_flags_and_by_a_file(hm: Hm, double: GatewayDouble, tmp_path: Path) -> None:
    snippet = double.add_snippet("helpdesk", "Refunds", "Ten days.", tags=["a"], source="x.md")
    edit = ("knowledge", "edit", "helpdesk", snippet["id"])
    flags = ("--title", "Money back", "--tag", "b", "--tag", "c", "--clear", "source", "--language", "de")

    ran = await hm(*edit, *flags, "--json")

    assert ran.json == double.snippets["helpdesk"][0]
    assert double.seen[-1].body == {"source": None, "title": "Money back", "tags": ["b", "c"], "language": "de"}
    assert double.seen[-1].headers["If-Match"].startswith('"')
    (tmp_path / "new.md").write_text("# Repayments\nEight days.\n")
    assert (await hm(*edit, str(tmp_path / "new.md"))).out == f"{snippet['id']}  Repayments\n"
    assert double.seen[-1].body == {"title": "Repayments", "body": "Eight days."}
    assert (await hm(*edit, "--body", "Eight days.")).out == f"{snippet['id']}  Repayments (as it was)\n"
    assert (await hm(*edit, "--body", "Nine.", "--quiet", "--allow-secret", "it is none")).out == f"{snippet['id']}\n"
    assert double.seen[-1].body == {"body": "Nine.", "allow_secret": "it is none"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "there is nothing to change"),
        (("--clear", "title"), "--clear title"),
        (("new.md", "--body", "x"), "--body and a file"),
    ],
)
async def test_an_edit_that_cannot_be_is_refused_before_anything_is_sent(
    hm: Hm, double: GatewayDouble, arguments: tuple[str, ...], words: str
) -> None:
    snippet = double.add_snippet("helpdesk", "Refunds", "Ten days.")
    ran = await hm("knowledge", "edit", "helpdesk", snippet["id"], *arguments)
    assert ran.code == 2
    assert words in ran.err
    assert double.seen == []


async def test_an_edit_in_the_editor(
    hm: Hm, double: GatewayDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snippet = double.add_snippet("helpdesk", "Refunds", "Ten days.")
    edit = ("knowledge", "edit", "helpdesk", snippet["id"])
    monkeypatch.setattr("hivemind_client.cli.editing.stdin_is_terminal", lambda: True)
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/Ten/Eight/' \"$1\"\n")
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))

    assert (await hm(*edit)).code == 0
    assert double.seen[-1].body == {"title": "Refunds", "body": "Eight days."}
    monkeypatch.setenv("VISUAL", "true")
    ran = await hm(*edit)
    assert (ran.code, "nothing was changed" in ran.err) == (2, True)
    for odd, words in (("false", "ended with 1"), ("/no/such/editor", "cannot be started")):
        monkeypatch.setenv("VISUAL", odd)
        ran = await hm(*edit)
        assert (ran.code, words in ran.err) == (2, True)


async def test_an_edit_never_goes_over_what_somebody_else_has_changed(hm: Hm, double: GatewayDouble) -> None:
    snippet = double.add_snippet("helpdesk", "Refunds", "Ten days.")
    path = f"{ADD}/{snippet['id']}"
    double.script("PATCH", path, refused(412, "precondition_failed", "ada has changed it since: look at it again"))
    ran = await hm("knowledge", "edit", "helpdesk", snippet["id"], "--body", "Nine days.")
    assert ran.code != 0
    assert "ada has changed it" in ran.err
    assert double.snippets["helpdesk"][0]["body"] == "Ten days."


async def test_all_that_has_a_tag_is_deleted(hm: Hm, double: GatewayDouble) -> None:
    for number in range(3):
        double.add_snippet("helpdesk", f"Title {number}", "Body", tags=["x"] if number else ["y"])
    assert (await hm("knowledge", "delete", "helpdesk", "--tag", "x", "--yes")).out == "Deleted 2 snippets.\n"
    assert (await hm("knowledge", "delete", "helpdesk", "--tag", "y", "--yes", "--json")).json == {"deleted": 1}
    assert (await hm("knowledge", "delete", "helpdesk", "--yes")).code == 2
    assert (await hm("knowledge", "delete", "helpdesk", "some-id", "--tag", "x", "--yes")).code == 2


async def test_gaps_are_listed_answered_and_dismissed(hm: Hm, double: GatewayDouble, tmp_path: Path) -> None:
    first, second = (double.add_gap("helpdesk", f"Question {n}?", asked=n)["id"] for n in (1, 2))
    assert (await hm("knowledge", "gaps", "helpdesk", "--quiet")).out.split() == [second, first]
    assert "Question 2?" in (await hm("knowledge", "gaps", "helpdesk")).out
    assert len((await hm("knowledge", "gaps", "helpdesk", "--limit", "1", "--json")).json["items"]) == 1

    (tmp_path / "answer.md").write_text("# Question 1\nYes.\n")
    ran = await hm("knowledge", "add", "helpdesk", str(tmp_path / "answer.md"), "--gap", first)
    assert ran.code == 0
    assert double.snippets["helpdesk"][0]["title"] == "Question 1"
    assert (await hm("knowledge", "gaps", "helpdesk", "--dismiss", second)).out == f"Dismissed {second}.\n"
    assert (await hm("knowledge", "gaps", "helpdesk", "--dismiss", second)).code == 9
    ran = await hm("knowledge", "gaps", "helpdesk")
    assert (ran.code, ran.out) == (0, "")
    assert "had an answer" in ran.err
    assert (await hm("knowledge", "add", "helpdesk", "a.md", "b.md", "--gap", first)).code == 2
