"""`hm` as people run it, on the gateway itself: bots from their minting to their end, and what happens when it goes wrong."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest

from hivemind_client.testing.terminal import HM, Ran, terminal
from tests.conftest import Instance

Hm = Callable[..., Awaitable[Ran]]


@pytest.fixture
def env(instance: Instance, tmp_path: Path) -> dict[str, str]:
    """What the terminal of an administrator holds."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HIVEMIND_")}
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nprintf "%s" "$HM_TYPES" > "$1"\n')
    editor.chmod(0o755)
    return kept | {
        "HIVEMIND_URL": instance.url,
        "HIVEMIND_API_KEY": instance.key,
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "TERM": "xterm",
        "COLUMNS": "100",
        "EDITOR": str(editor),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }


@pytest.fixture
def hm(env: dict[str, str]) -> Hm:
    async def run(*arguments: str, stdin: str = "", **more: str) -> Ran:
        process = await asyncio.create_subprocess_exec(
            *HM,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=env | more,
        )
        async with asyncio.timeout(60):
            out, err = await process.communicate(stdin.encode())
        return Ran(process.returncode or 0, out.decode(), err.decode())

    return run


async def good(ran: Awaitable[Ran]) -> Ran:
    done = await ran
    assert done.code == 0, done
    return done


async def test_a_bot_from_a_template_is_filled_in_and_answers(hm: Hm, env: dict[str, str]) -> None:
    told = await good(hm("template", "list"))
    assert [line.split()[0] for line in told.out.splitlines()[1:]] == [
        *("customer-support", "hr-faq", "internal-it-faq", "product-docs", "sales-sdr"),
    ]
    assert "- Payday and payslips" in (await good(hm("template", "show", "hr-faq"))).out
    made = await good(hm("bot", "create", "people", "--template", "hr-faq", "--name", "People"))
    assert made.out == "Created people: People, internal, 13 snippets.\n"
    assert "hm bot fill people" in made.err
    assert "placeholders_left" in (await good(hm("bot", "show", "people"))).out

    filled = await good(hm("bot", "fill", "people", "company=Acme Ltd", "payday=25th", "--json"))
    assert filled.json == {
        "filled": ["company", "payday"],
        "left": ["hr_email", "hr_portal", "vacation_days", "works_council_email"],
        "prompt": True,
        "snippets": 2,
    }
    async with terminal(env, "bot", "fill", "people") as person:
        for question, answer in (
            ("hr email", "hr@acme.example"),
            ("hr portal", "hr.acme.example"),
            ("vacation days", "30"),
        ):
            await person.until(f"{question}: ")
            person.type(f"{answer}\n")
        await person.until("works council email: ")
        person.type("\n")
        await person.until("Still open: works_council_email")
        assert await person.end() == 0
    await good(hm("bot", "fill", "people", "works_council_email=wc@acme.example"))
    shown = (await good(hm("bot", "show", "people", "--json"))).json
    assert shown["readiness"] == []
    said = await good(hm("chat", "people", "When is payday?"))
    assert "25th" in said.out
    assert "\n[1] Payday and payslips\n" in said.out
    for wrong in ("colour=red", "company", "=x", "company="):
        ran = await hm("bot", "fill", "people", wrong)
        assert (ran.code, ran.out) == (2, "")


async def test_a_bot_is_edited_by_flags_by_members_and_in_the_editor(hm: Hm, env: dict[str, str]) -> None:
    await good(hm("bot", "create", "desk", "--name", "Desk", "--prompt", "First."))
    changed = await good(
        hm(
            *[
                "bot",
                "edit",
                "desk",
                "--tier",
                "public",
                "--set",
                "channel_reply_mode=both",
                "--set",
                "rate_limit_per_minute=30",
            ],
            "--json",
        )
    )
    assert (changed.json["tier"], changed.json["channel_reply_mode"]) == ("public", "both")
    assert changed.json["rate_limit_per_minute"] == 30
    many = ("temperature=0.5", 'allowed_origins=["https://a.example"]', "retention_days=null", "name=5", "description=")
    changed = await good(hm("bot", "edit", "desk", *(part for each in many for part in ("--set", each)), "--json"))
    assert (changed.json["temperature"], changed.json["allowed_origins"]) == (0.5, ["https://a.example"])
    assert (changed.json["retention_days"], changed.json["name"], changed.json["description"]) == (None, "5", "")
    assert (await good(hm("bot", "edit", "desk", "--name", "5"))).out == "desk is as it was.\n"

    async with terminal(
        env | {"HM_TYPES": "Second, from the editor."}, "bot", "edit", "desk", "--note", "by hand"
    ) as person:
        await person.until("prompt version 2")
        assert await person.end() == 0
    assert (await good(hm("bot", "prompt", "desk"))).out == "Second, from the editor.\n"
    async with terminal(env | {"HM_TYPES": "Second, from the editor."}, "bot", "edit", "desk") as person:
        await person.until("nothing was changed")
        assert await person.end() == 2
    for wrong, code, words in (
        (["--set", "colour=red"], 1, "colour: is not known here"),
        (["--set", "temperature=warm"], 1, "temperature: must be a number"),
        (["--set", "slug=other"], 1, "never renamed"),
        (["--set", "nonsense"], 2, "MEMBER=VALUE"),
        (["--set", "name=x", "--name", "y"], 2, "given twice"),
        (["--prompt", "x", "--prompt-file", "y"], 2, "give one of the two"),
        (["--note", "x", "--name", "y"], 2, "no prompt"),
        (["--prompt-file", "/nowhere"], 3, "cannot read /nowhere"),
        ([], 2, "nothing to change"),
    ):
        ran = await hm("bot", "edit", "desk", *wrong)
        assert (ran.code, ran.out) == (code, ""), ran
        assert words in ran.err
    assert (await good(hm("bot", "prompt", "desk", "--json"))).json["version"] == 2


async def test_what_was_typed_in_the_editor_is_kept_when_somebody_else_was_quicker(
    hm: Hm, env: dict[str, str], tmp_path: Path
) -> None:
    await good(hm("bot", "create", "desk", "--name", "Desk", "--prompt", "First."))
    await good(hm("knowledge", "add", "desk", "--title", "Hours", "--body", "Nine to five."))
    [snippet] = (await good(hm("knowledge", "list", "desk", "-q"))).out.split()
    editor = tmp_path / "slow editor"
    editor.write_text('#!/bin/sh\nprintf "%s" "$HM_TYPES" > "$1"\necho editing\nread -r line\n')
    editor.chmod(0o755)
    slow = env | {"EDITOR": f"'{editor}'", "TMPDIR": str(tmp_path), "HM_TYPES": "# Mine\n\nTyped with care."}
    for command, other in (
        (("bot", "edit", "desk"), ("bot", "edit", "desk", "--prompt", "Quicker.")),
        (("knowledge", "edit", "desk", snippet), ("knowledge", "edit", "desk", snippet, "--body", "Quicker.")),
    ):
        async with terminal(slow, *command) as person:
            await person.until("editing")
            await good(hm(*other))
            person.type("\n")
            await person.until("ada has changed it since")
            await person.until("what you wrote is kept in ")
            assert await person.end() == 1
        [kept] = tmp_path.glob("hm-*-*.md")
        assert "Typed with care." in kept.read_text()
        kept.unlink()


async def test_versions_of_a_prompt_are_listed_compared_restored_and_pinned(hm: Hm) -> None:
    await good(hm("bot", "create", "desk", "--name", "Desk", "--prompt", "One.\nSame."))
    await good(hm("bot", "edit", "desk", "--prompt-file", "-", "--note", "second", stdin="Two.\nSame.\n"))
    listed = (await good(hm("bot", "prompt", "desk", "--versions"))).out.splitlines()
    assert listed[1].split()[:3] == ["2", "live", "ada"]
    assert listed[1].endswith("second")
    told = await good(hm("bot", "prompt", "desk", "--diff", "1", "2"))
    assert told.out.splitlines() == ["--- desk@1", "+++ desk@2", "@@ -1,2 +1,2 @@", "-One.", "+Two.", " Same."]
    assert (await good(hm("bot", "prompt", "desk", "--restore", "1"))).out == "Version 3 is live.\n"
    assert (await good(hm("bot", "prompt", "desk", "--pin", "2"))).out == "Version 2 is pinned and live.\n"
    edited = await good(hm("bot", "edit", "desk", "--prompt", "Four."))
    assert "Version 2 is pinned and stays live" in edited.err
    assert (await good(hm("bot", "prompt", "desk"))).out == "Two.\nSame.\n"
    assert (await good(hm("bot", "prompt", "desk", "--version", "4"))).out == "Four.\n"
    assert (await good(hm("bot", "prompt", "desk", "--unpin"))).out == "Version 4 is live.\n"
    assert (await good(hm("chat", "desk@2", "Hello?", "--json"))).json["version"] == 2
    for wrong, code in (
        (["--diff", "1", "9"], 9),
        (["--restore", "9"], 9),
        (["--unpin"], 9),
        (["--pin", "1", "--unpin"], 2),
        (["--versions", "--version", "1"], 2),
        (["--pin", "0"], 2),
        (["--diff", "1"], 2),
    ):
        ran = await hm("bot", "prompt", "desk", *wrong)
        assert (ran.code, ran.out) == (code, ""), ran


async def test_the_life_of_a_bot(hm: Hm, env: dict[str, str]) -> None:
    await good(hm("bot", "create", "desk", "--name", "Desk", "--prompt", "Hello."))
    await good(hm("knowledge", "add", "desk", "--title", "Hours", "--body", "Open from nine to five."))
    assert (await good(hm("bot", "pause", "desk"))).out == "Paused desk.\n"
    ran = await hm("chat", "desk", "When do you open?")
    assert (ran.code, ran.out) == (1, "")
    assert "paused" in ran.err
    assert (await good(hm("bot", "resume", "desk"))).out == "desk answers again.\n"
    assert (await good(hm("bot", "clone", "desk", "twin"))).out == "Cloned desk as twin: Desk, internal, 1 snippet.\n"
    refused = await hm("bot", "delete", "desk")
    assert (refused.code, refused.out) == (2, "")
    assert "--yes" in refused.err
    async with terminal(env, "bot", "delete", "desk") as person:
        await person.until("[y/N] ")
        person.type("n\n")
        await person.until("nothing was deleted")
        assert await person.end() == 2
    async with terminal(env, "bot", "delete", "desk") as person:
        await person.until("Archive desk? It answers nobody any more, and can be restored for 30 days. [y/N] ")
        person.type("y\n")
        await person.until("Archived desk.")
        assert await person.end() == 0
    assert (await good(hm("bot", "list", "--status", "archived", "-q"))).out == "desk\n"
    assert (await hm("bot", "show", "desk")).code == 9
    assert (await good(hm("bot", "restore", "desk"))).out.startswith("Restored desk")
    assert (await good(hm("bot", "delete", "desk", "--purge", "--yes", "--json"))).json == {"deleted": "desk"}
    assert (await hm("bot", "delete", "desk", "--purge", "--yes")).code == 9
    ran = await hm("bot", "clone", "twin", "twin", "--json")
    assert (ran.code, ran.out, ran.problem["code"]) == (1, "", "slug_taken")


async def test_golden_questions_are_kept_by_hm(hm: Hm, env: dict[str, str]) -> None:
    await good(hm("bot", "create", "desk", "--name", "Desk", "--prompt", "Hello."))
    added = await good(
        hm("bot", "question", "add", "desk", "Money back?", "--snippet", "Refunds", "--not-contains", "never", "--json")
    )
    assert added.json["expect"]["snippets"] == ["Refunds"]
    question = added.json["id"]
    edited = await good(
        hm("bot", "question", "edit", "desk", question, "--contains", "ten days", "--clear", "snippets", "--no-refuses")
    )
    assert edited.out == f"{question}  Money back?: hold 'ten days', not hold 'never', know\n"
    listed = await good(hm("bot", "question", "list", "desk", "--json"))
    assert [each["expect"]["contains"] for each in listed.json["items"]] == [["ten days"]]
    assert listed.json["next"] is None
    async with terminal(env, "bot", "question", "delete", "desk", question) as person:
        await person.until("Delete 'Money back?' of desk for good? [y/N] ")
        person.type("yes\n")
        assert await person.end() == 0
    assert "has none yet" in (await good(hm("bot", "question", "list", "desk"))).err
    for wrong, code in (
        (["add", "desk", "x"], 2),
        (["add", "desk", "x", "--refuses", "--cites"], 1),
        (["edit", "desk", question], 2),
        (["edit", "desk", question, "--clear", "colour"], 2),
        (["edit", "desk", question, "--refuses"], 9),
        (["delete", "desk", question], 2),
        (["delete", "desk", question, "--yes"], 9),
    ):
        ran = await hm("bot", "question", *wrong)
        assert (ran.code, ran.out) == (code, ""), ran


async def test_bots_go_out_as_files_and_come_back(hm: Hm, env: dict[str, str], tmp_path: Path) -> None:
    await good(hm("bot", "create", "people", "--template", "hr-faq"))
    await good(hm("bot", "create", "desk", "--name", "Desk", "--prompt", "Hello."))
    folder = tmp_path / "bots äöü"
    written = await good(hm("bot", "export", "--all", "--output", str(folder)))
    assert written.out.splitlines() == [str(folder / "desk.yaml"), str(folder / "people.yaml")]
    before = (await good(hm("bot", "export", "people"))).out
    assert (folder / "people.yaml").read_text() == before
    for slug in ("desk", "people"):
        await good(hm("bot", "delete", slug, "--purge", "--yes"))

    planned = await good(hm("apply", "-f", str(folder), "--dry-run"))
    assert planned.out.splitlines()[0] == "create desk"
    assert planned.out.endswith("Plan: 2 to create. Nothing was changed.\n")
    assert (await good(hm("bot", "list", "-q"))).out == ""
    assert (await good(hm("apply", "-f", str(folder)))).out == "created desk\ncreated people\nDone: 2 created.\n"
    assert (await good(hm("bot", "export", "people"))).out == before
    assert (await good(hm("apply", "-f", str(folder)))).out == "Done: 2 as they are.\n"

    (folder / "desk.yaml").write_text(
        (folder / "desk.yaml").read_text().replace("Hello.", "Goodbye.").replace("tier: internal", "tier: public")
    )
    (folder / "people.yaml").unlink()
    async with terminal(env, "apply", "-f", str(folder), "--prune", "--dry-run") as person:
        await person.until("Plan: 1 to update, 1 to archive.")
        assert await person.end() == 0
        assert "\x1b[31m-tier: internal\x1b[0m" in person.raw
        assert "\x1b[32m+tier: public\x1b[0m" in person.raw
        assert "\x1b[36m@@ system_prompt @@\x1b[0m" in person.raw
    plain = await good(hm("apply", "-f", str(folder), "--prune", "--dry-run"))
    assert "\x1b" not in plain.out
    await good(hm("chat", "people", "When is payday?"))
    applied = await good(hm("apply", "-f", str(folder), "--prune", "--json"))
    assert {change["slug"]: change["action"] for change in applied.json["changes"]} == {
        "desk": "update",
        "people": "archive",
    }
    await good(hm("bot", "restore", "people"))
    pruned = await good(hm("apply", "-f", str(folder), "--prune"))
    assert pruned.out == "archived people\nDone: 1 archived, 1 as it is.\n"
    assert pruned.err.startswith("warning: people: its conversation is kept for 30 days with it; hm bot restore people")
    through = await good(hm("apply", "-f", "-", "-f", str(folder / "desk.yaml"), stdin=before))
    assert through.out == "updated people\nDone: 1 updated, 1 as it is.\n"


async def test_files_that_cannot_be_applied_are_told_in_one_line_and_nothing_is_done(hm: Hm, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bots").mkdir()
    (tmp_path / "bots" / "a.yaml").write_text("slug: aaa\nname: A\nsystem_prompt: x\n")
    (tmp_path / "bots" / "b.yaml").write_text("slug: bbb\nname: [\n")
    (tmp_path / "latin").write_bytes("slug: aaa\nname: Ä\n".encode("latin-1"))
    (tmp_path / "wrong.yaml").write_text("slug: aaa\nname: A\nsystem_prompt: x\ncolour: red\n")
    (tmp_path / "unreadable.yaml").write_text("x")
    for arguments, code, words in (
        ([], 2, "which documents?"),
        (["-f", str(tmp_path / "nothing")], 3, "cannot read"),
        (["-f", str(tmp_path / "empty")], 3, "holds no *.yaml"),
        (["-f", str(tmp_path / "latin")], 1, "is not UTF-8"),
        (["-f", str(tmp_path / "bots")], 1, f"line 3 of {tmp_path / 'bots' / 'b.yaml'}"),
        (["-f", str(tmp_path / "wrong.yaml")], 1, "aaa.colour: is not known here"),
        (["-f", "-", "-f", "-"], 2, "once only"),
        (["-f", "-"], 1, "standard input is empty"),
    ):
        ran = await hm("apply", "--prune", *arguments)
        assert (ran.code, ran.out) == (code, ""), ran
        assert words in ran.err
        assert len([line for line in ran.err.splitlines() if line.startswith("error: ")]) == 1
    for arguments, code in ((["bot", "export"], 2), (["bot", "export", "--all"], 2), (["bot", "export", "nobody"], 9)):
        ran = await hm(*arguments)
        assert (ran.code, ran.out) == (code, ""), ran
    await good(hm("bot", "create", "desk", "--name", "Desk", "--prompt", "Hello."))
    blocked = await hm("bot", "export", "desk", "--output", "/dev/null/desk.yaml")
    assert (blocked.code, blocked.out) == (3, "")
    assert (await good(hm("bot", "list", "-q"))).out == "desk\n"


@pytest.fixture
async def completing(hm: Hm, env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """What a shell holds that finds `hm` on its path, with a bot to complete."""
    await good(hm("bot", "create", "desk", "--name", "Desk", "--prompt", "Hello."))
    (tmp_path / "hm").write_text(f'#!/bin/sh\nexec {" ".join(HM)} "$@"\n')
    (tmp_path / "hm").chmod(0o755)
    return env | {"PATH": f"{tmp_path}:{env['PATH']}", "HOME": str(tmp_path)}


COMPLETIONS: Final = {
    "bash": """
        source "$0"; ask() { COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); _hm; echo "${COMPREPLY[@]}"; }
        ask hm bo; ask hm bot question ""; ask hm bot show ""; ask hm --url x bot edit desk --no; ask hm completion z
    """,
    "fish": """
        source $argv[1]
        for line in 'hm bo' 'hm bot question ' 'hm bot show ' 'hm --url x bot edit desk --no' 'hm completion z'
            complete -C $line | cut -f1 | string join ' '
        end
    """,
}


@pytest.mark.parametrize("shell", COMPLETIONS)
async def test_a_shell_completes_commands_flags_and_bots(
    hm: Hm, completing: dict[str, str], tmp_path: Path, shell: str
) -> None:
    script = tmp_path / f"hm.{shell}"
    script.write_text((await good(hm("completion", shell))).out)
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    process = await asyncio.create_subprocess_exec(
        *(shell, "-c", COMPLETIONS[shell], str(script)), stdout=asyncio.subprocess.PIPE, cwd=tmp_path, env=completing
    )
    out, _ = await process.communicate()
    told = [set(line.split()) for line in out.decode().splitlines()]
    assert told == [{"bot"}, {"add", "list", "edit", "delete"}, {"desk"}, {"--note", "--no-color"}, {"zsh"}]


async def test_zsh_completes_while_one_types(hm: Hm, completing: dict[str, str], tmp_path: Path) -> None:
    script = tmp_path / "hm.zsh"
    script.write_text((await good(hm("completion", "zsh"))).out)
    if shutil.which("zsh") is None:
        pytest.skip("there is no zsh here")
    async with terminal(completing, "-f", "-i", command=["zsh"]) as person:
        person.type(f"autoload -U compinit && compinit -u -D && source {script} && echo rea''dy\n")
        await person.until("ready\n")
        person.type("hm bo\t")
        await person.until("hm bot ")
        person.type("que\t")
        await person.until("question ")
        person.type("ad\t")
        await person.until("add ")
        person.type("des\t")
        await person.until("desk ")
        person.type("--ref\t")
        await person.until("--refuses ")
        person.type("\x15exit\n")
        await person.end()


async def test_no_other_shell_is_completed(hm: Hm) -> None:
    ran = await hm("completion", "tcsh")
    assert (ran.code, ran.out) == (2, "")
    assert "bash, zsh, fish" in ran.err


async def test_a_slow_answer_is_waited_for_aloud_on_a_terminal_only(hm: Hm, env: dict[str, str]) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await waited.wait()
        body = b'{"items":[],"next":null}'
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        await writer.drain()
        writer.close()

    waited = asyncio.Event()
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with terminal(env, "bot", "list", "--url", url) as person:
            await person.until(f"waiting for {url}, ")
            waited.set()
            await person.until("There is no bot yet")
            assert await person.end() == 0
        quiet = await good(hm("bot", "list", "--url", url))
        assert "waiting" not in quiet.err
