"""docs/hm.md, word for word, and the reference of all commands beside it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

from hivemind_client.cli.reference import reference
from hivemind_client.testing.terminal import HM
from tests.conftest import Instance
from tests.documented import blocks

DOCS: Final = Path(__file__).parents[2] / "docs"
MARK: Final = "--- end of a block"


async def test_the_page_works_word_for_word(instance: Instance, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "hm"
    command.write_text(f'#!/bin/sh\nexec {" ".join(HM)} "$@"\n')
    command.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HIVEMIND_")}
    followed = list(blocks(DOCS / "hm.md"))
    script = "".join(f"{text}\necho '{MARK}'\n" for _, text, _ in followed)
    process = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-e", "-c", script),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=tmp_path,
        env=kept
        | {
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            "HIVEMIND_URL": instance.url,
            "HIVEMIND_API_KEY": instance.key,
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
    )
    async with asyncio.timeout(120):
        out, _ = await process.communicate()
    printed = out.decode().split(f"{MARK}\n")
    assert process.returncode == 0, out.decode()
    for (_, text, promised), told in zip(followed, printed, strict=False):
        for line in promised:
            assert line.search(told), f"{line.pattern!r} is not in the output of\n{text}\n{told}"


async def test_the_document_that_the_page_shows_can_be_applied(instance: Instance) -> None:
    page = (DOCS / "hm.md").read_text(encoding="utf-8")
    document = page.partition("```yaml\n")[2].partition("```")[0]
    headers = {"Content-Type": "application/yaml"}
    _, told, _ = await instance.call("POST", "/api/v1/apply", data=document.encode(), headers=headers, expect=200)
    assert [change["action"] for change in told["changes"]] == ["create"]


def test_the_reference_is_what_the_commands_say() -> None:
    again = "python -m hivemind_client.cli.reference > docs/hm-reference.md"
    assert (DOCS / "hm-reference.md").read_text(encoding="utf-8") == reference(), again
