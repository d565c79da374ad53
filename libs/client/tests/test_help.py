from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import hivemind_client
from hivemind_client.cli import server
from hivemind_client.testing import GatewayDouble, answered

Hm = Callable[..., Awaitable[Any]]
COMMANDS = [
    *(["setup"], ["login"], ["whoami"], ["logout"], ["passwd"], ["chat"], ["health"], ["version"]),
    *(["apply"], ["completion"], ["template", "list"], ["template", "show"]),
    *(["bot", verb] for verb in ("create", "list", "show", "fill", "edit", "prompt", "pause", "resume", "clone")),
    *(["bot", verb] for verb in ("delete", "restore", "export")),
    *(["bot", "question", verb] for verb in ("add", "list", "edit", "delete")),
    *(["session", verb] for verb in ("list", "revoke")),
    *(["knowledge", verb] for verb in ("add", "list", "show", "edit", "delete", "search", "gaps")),
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


@pytest.mark.parametrize(
    "command", [*COMMANDS, ["session"], ["bot"], ["bot", "question"], ["template"], ["knowledge"]], ids=" ".join
)
async def test_every_command_has_a_page_with_examples_of_itself(unconfigured: Hm, command: list[str]) -> None:
    ran = await unconfigured(*command, "--help")
    assert (ran.code, ran.err) == (0, "")
    summary, examples = ran.out.split("\n\n")[:2]
    assert summary
    assert examples.startswith("Examples:\n")
    assert " ".join(["hm", *command]) in examples or f" {' '.join(command)}" in examples


async def test_version_tells_whether_the_server_fits(hm: Hm, unconfigured: Hm, double: GatewayDouble) -> None:
    ours = hivemind_client.VERSION
    assert (await hm("version")).out == f"hm {ours}\nserver {ours}, {double.url}\n"
    told = {"url": double.url, "version": ours, "fits": True, "fault": ""}
    assert (await hm("version", "--json")).json == {"version": ours, "server": told}
    assert (await hm("--version")).out == f"hm {ours}\nserver {ours}, {double.url}\n"
    for answer, code, words in (
        (answered(200, '{"version": "9.0.1"}'), 6, f"error: hm {ours} does not fit version 9.0.1 at {double.url}"),
        (answered(200, "<html>", "text/html"), 6, f"error: hm {ours} does not fit something else at {double.url}"),
        (answered(502, "{}"), 6, "does not fit something else"),
        (answered(503, f'{{"status": "down", "version": "{ours}"}}'), 0, ""),
    ):
        double.script("GET", "/api/v1/health", answer)
        ran = await hm("version")
        assert ran.code == code
        assert words in ran.err
        assert bool(ran.out) is (code == 0)


async def test_version_is_told_without_a_server_too(unconfigured: Hm, double: GatewayDouble) -> None:
    ours = hivemind_client.VERSION
    assert (await unconfigured("--quiet", "version")).out == f"{ours}\n"
    assert double.seen == []
    ran = await unconfigured("version", "--url", "http://127.0.0.1:1")
    assert (ran.code, ran.out) == (0, f"hm {ours}\nserver none answers: connection refused, http://127.0.0.1:1\n")
    ran = await unconfigured("version", "--url", "nonsense")
    assert (ran.code, ran.out.splitlines()[0]) == (0, f"hm {ours}")


@pytest.mark.parametrize(
    ("ours", "theirs", "fit"),
    [
        ("0.1.0", "0.1.9", True),
        ("0.1.0", "0.2.0", False),
        ("1.4.0", "1.9.2", True),
        ("1.4.0", "2.0.0", False),
        ("0.9.0", "1.0.0", False),
        ("1.0.0", "0.9.0", False),
        ("0.1.0", "garbage", False),
    ],
)
def test_versions_fit_within_a_major_one_and_before_the_first_within_a_minor_one(
    ours: str, theirs: str, fit: bool
) -> None:
    assert server.fits(ours, theirs) is fit


def test_the_package_says_the_same_version() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert project["version"] == hivemind_client.VERSION


def test_help_and_version_import_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from hivemind_client.cli import main\n"
        "codes = [main(['--help'])]\n"
        "heavy = {'aiohttp', 'pydantic', 'rich', 'asyncio', 'ssl', 'yarl', 'http.client'} & set(sys.modules)\n"
        "codes += [main(['version', '-q']), main(['version'])]\n"
        "heavy |= {'aiohttp', 'pydantic', 'rich', 'asyncio', 'yarl'} & set(sys.modules)\n"
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
