from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import hivemind_client

Hm = Callable[..., Awaitable[Any]]
COMMANDS = [
    *(["setup"], ["login"], ["whoami"], ["logout"], ["passwd"], ["chat"], ["health"], ["version"]),
    *(["bot", verb] for verb in ("create", "list", "show")),
    *(["session", verb] for verb in ("list", "revoke")),
    *(["knowledge", verb] for verb in ("add", "list", "show", "delete", "search")),
]


async def test_the_front_page_names_every_command_examples_first(unconfigured: Hm) -> None:
    ran = await unconfigured("--help")
    assert ran.code == 0
    for command in COMMANDS:
        assert f"\n  {' '.join(command)}  " in ran.out
    assert (
        ran.out.index("Examples:") < ran.out.index("Commands:") < ran.out.index("Flags,") < ran.out.index("Exit codes:")
    )
    assert (await unconfigured()).out == ran.out
    assert (await unconfigured("-h")).out == ran.out


@pytest.mark.parametrize("command", [*COMMANDS, ["session"], ["bot"], ["knowledge"]], ids=" ".join)
async def test_every_command_has_a_page_with_examples_of_itself(unconfigured: Hm, command: list[str]) -> None:
    ran = await unconfigured(*command, "--help")
    assert (ran.code, ran.err) == (0, "")
    summary, examples = ran.out.split("\n\n")[:2]
    assert summary
    assert examples.startswith("Examples:\n")
    assert " ".join(["hm", *command]) in examples or f" {' '.join(command)}" in examples


async def test_version_asks_nobody(unconfigured: Hm) -> None:
    assert (await unconfigured("version")).out == f"hm {hivemind_client.VERSION}\n"
    assert (await unconfigured("version", "--json")).json == {"version": hivemind_client.VERSION}
    assert (await unconfigured("--quiet", "version")).out == f"{hivemind_client.VERSION}\n"
    for arguments in (["--version"], ["version", "--url", "nonsense"], ["--timeout", "5", "version"]):
        assert (await unconfigured(*arguments)).out == f"hm {hivemind_client.VERSION}\n"


def test_the_package_says_the_same_version() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert project["version"] == hivemind_client.VERSION


def test_help_and_version_import_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from hivemind_client.cli import main\n"
        "codes = [main(['--help']), main(['version'])]\n"
        "heavy = {'aiohttp', 'pydantic', 'rich', 'asyncio', 'ssl', 'yarl'} & set(sys.modules)\n"
        "sys.exit(f'{codes} {heavy}' if any(codes) or heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_the_package_promises_is_there() -> None:
    for name in hivemind_client.__all__:
        assert getattr(hivemind_client, name) is not None
    with pytest.raises(AttributeError):
        _ = hivemind_client.nonsense


def test_nothing_of_the_server_is_imported() -> None:
    for file in Path(hivemind_client.__file__).parent.rglob("*.py"):
        assert "import hivemind_common" not in file.read_text()
        assert "from hivemind_common" not in file.read_text()
