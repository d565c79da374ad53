"""`hm` as a process of its own, as a person or a pipe has it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hivemind_client.testing import KEY, GatewayDouble, answered
from hivemind_client.testing.terminal import HM, terminal


@pytest.fixture(autouse=True)
def hearing() -> Iterator[None]:
    """Commands hear Ctrl-C even where the tests do not: what a shell runs in its background inherits deafness to it."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def env(double: GatewayDouble, config: Path) -> dict[str, str]:
    double.add_bot("helpdesk", name="Help [bold]desk")
    double.add_snippet("helpdesk", "Refunds", "Refunds take ten days.")
    return {
        **os.environ,
        "HIVEMIND_URL": double.url,
        "HIVEMIND_API_KEY": KEY,
        "TERM": "xterm",
        "COLUMNS": "80",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }


async def test_a_conversation_streams_cites_and_goes_on(env: dict[str, str], double: GatewayDouble) -> None:
    async with terminal(env, "chat", "helpdesk") as person:
        await person.until("you> ")
        person.type("refunds?\n")
        await person.until("Refunds take ten days. [1]\n\n[1] Refunds\n")
        await person.until("you> ")
        person.type("\nweather?\n")
        await person.until("I don't know.")
        await person.until("you> ")
        person.type("/quit\n")
        assert await person.end() == 0
    first, second = double.seen
    assert "conversation_id" not in first.body
    assert second.body["conversation_id"] == "0192c7f0-0000-7000-8000-c00000000000"


async def test_a_turn_that_fails_leaves_the_conversation_and_a_wrong_bot_ends_it(
    env: dict[str, str], double: GatewayDouble
) -> None:
    double.script("POST", "/api/v1/bots/helpdesk/chat", answered(502, "<html></html>", "text/html"))
    async with terminal(env, "chat", "helpdesk") as person:
        await person.until("you> ")
        person.type("refunds?\n")
        await person.until("error: ")
        await person.until("you> ")
        person.type("refunds?\n")
        await person.until("[1] Refunds")
        await person.until("you> ")
        person.type("\x04")
        assert await person.end() == 0
    async with terminal(env, "chat", "nobody") as person:
        await person.until("you> ")
        person.type("hello\n")
        await person.until("there is no such bot")
        assert await person.end() == 9


async def test_setup_asks_and_shows_no_password(env: dict[str, str], double: GatewayDouble, config: Path) -> None:
    env = {name: value for name, value in env.items() if name != "HIVEMIND_API_KEY"}
    async with terminal(env, "setup", "--no-color") as person:
        await person.until("User name")
        person.type("ada\n")
        await person.until("E-mail address: ")
        person.type("ada@example.org\n")
        await person.until("12 characters or more: ")
        person.type("twelvechars+\n")
        await person.until("The same again: ")
        person.type("twelvechars+\n")
        await person.until("shown only now: " + KEY)
        assert await person.end() == 0
        assert "twelvechars" not in person.shown
    assert double.admin == {"username": "ada", "email": "ada@example.org", "password": "twelvechars+"}
    assert KEY in (config / "env").read_text()


async def test_passwd_asks_for_the_current_password_and_twice_for_the_new_one(
    env: dict[str, str], double: GatewayDouble
) -> None:
    double.admin = {"username": "ada", "email": "ada@example.org", "password": "twelvechars+"}
    for again, code in (("another one, mistyped", 2), ("another twelve", 0)):
        async with terminal(env, "passwd", "--no-color") as person:
            await person.until("Current password: ")
            person.type("twelvechars+\n")
            await person.until("New password, 12 characters or more: ")
            person.type("another twelve\n")
            await person.until("The same again: ")
            person.type(f"{again}\n")
            assert await person.end() == code
        assert "twelve" not in person.shown.replace("12 characters", "")
        assert [seen.method for seen in double.seen] == ["PATCH"] * (code == 0)
    assert double.admin["password"] == "another twelve"


async def test_delete_asks_and_everything_but_yes_is_no(env: dict[str, str], double: GatewayDouble) -> None:
    snippet = double.snippets["helpdesk"][0]["id"]
    async with terminal(env, "knowledge", "delete", "helpdesk", snippet) as person:
        await person.until("Delete 'Refunds' of helpdesk for good? [y/N]")
        person.type("\n")
        await person.until("nothing was deleted")
        assert await person.end() == 2
    async with terminal(env, "knowledge", "delete", "helpdesk", snippet) as person:
        await person.until("[y/N]")
        person.type("y\n")
        await person.until("Deleted")
        assert await person.end() == 0
    assert double.snippets["helpdesk"] == []


async def test_a_table_fits_the_terminal_and_nobodys_brackets_are_markup(
    env: dict[str, str], double: GatewayDouble
) -> None:
    double.add_bot("long", name="a very long name " * 20)
    async with terminal(env, "bot", "list") as person:
        assert await person.end() == 0
    assert "Help [bold]desk" in person.shown
    assert max(map(len, person.shown.splitlines())) <= 80


async def test_errors_have_colour_where_it_is_wanted(env: dict[str, str]) -> None:
    for more, flags, coloured in (
        ({}, [], True),
        ({"NO_COLOR": ""}, [], True),
        ({"NO_COLOR": "1"}, [], False),
        ({}, ["--no-color"], False),
        ({"TERM": "dumb"}, [], False),
    ):
        async with terminal({**env, **more}, "bot", "show", "nobody", *flags) as person:
            assert await person.end() == 9
        assert ("\x1b[" in person.raw) is coloured


async def test_many_files_show_progress(env: dict[str, str], tmp_path: Path) -> None:
    names = [str(tmp_path / f"{n}.md") for n in range(3)]
    for name in names:
        await asyncio.to_thread(Path(name).write_text, "Answer.")
    async with terminal(env, "knowledge", "add", "helpdesk", *names) as person:
        assert await person.end() == 0
    assert "3/3" in person.shown


async def test_ctrl_c_ends_with_130_and_no_traceback(env: dict[str, str], double: GatewayDouble) -> None:
    arrived, forever = asyncio.Event(), asyncio.Event()

    async def silent(_: object) -> object:
        arrived.set()
        await forever.wait()
        raise AssertionError

    double.script("GET", "/auth/me", silent)  # type: ignore[arg-type]  # it never answers
    process = await asyncio.create_subprocess_exec(*HM, "whoami", env=env, stdout=-1, stderr=-1)
    await arrived.wait()
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert (process.returncode, out) == (130, b""), err
    assert b"Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "question"),
    [(["setup"], "User name"), (["login"], "API key: "), (["passwd"], "Current password: ")],
    ids=["setup", "login", "passwd"],
)
async def test_ctrl_c_at_a_question_ends_with_130(env: dict[str, str], arguments: list[str], question: str) -> None:
    async with terminal(env, *arguments) as person:
        await person.until(question)
        person.process.send_signal(signal.SIGINT)
        assert await person.end() == 130
    assert "Traceback" not in person.shown


async def test_a_closed_pipe_is_no_error(env: dict[str, str], double: GatewayDouble) -> None:
    for n in range(400):
        double.add_bot(f"bot-{n:03d}", description="x" * 400)
    for flags in ([], ["--json"], ["--quiet"]):
        reader, writer = os.pipe()
        os.close(reader)
        process = await asyncio.create_subprocess_exec(*HM, "bot", "list", *flags, env=env, stdout=writer, stderr=-1)
        os.close(writer)
        _, err = await process.communicate()
        assert (process.returncode, err) == (0, b"")


async def test_without_any_stdout_or_stdin_it_still_works(env: dict[str, str], double: GatewayDouble) -> None:
    command = [
        "sh",
        "-c",
        f'exec "{sys.executable}" -m hivemind_client knowledge add helpdesk --title T --body B <&- >&-',
    ]
    process = await asyncio.create_subprocess_exec(*command, env=env, stderr=-1)
    _, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert double.snippets["helpdesk"][0]["title"] == "T"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
async def test_a_result_that_cannot_be_written_is_an_error(env: dict[str, str]) -> None:
    with open("/dev/full", "wb") as full:  # noqa: ASYNC230, PTH123  # a device, at once
        process = await asyncio.create_subprocess_exec(*HM, "bot", "list", env=env, stdout=full, stderr=-1)
        _, err = await process.communicate()
    assert process.returncode == 1
    assert err.startswith(b"error: input or output failed: no space left on device")
    assert b"Traceback" not in err


def test_a_terminal_of_few_letters_is_no_error() -> None:
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([*HM, "--help"], env=env, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
