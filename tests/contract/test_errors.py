"""docs/errors.md has a paragraph for every code that the door can answer, and for no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hivemind_common.errors import HivemindError
from hivemind_gateway.problems import EdgeError
from hivemind_server.services import SERVICES

PAGE: Final = Path(__file__).parents[2] / "docs" / "errors.md"
INNER: Final = {"credential_refused"}
"""Told by auth to the door only, which says what kind of credential it was."""


def refusals(of: type[HivemindError]) -> Iterator[type[HivemindError]]:
    for refusal in of.__subclasses__():
        if refusal.__module__.startswith("hivemind_") and ".testing" not in refusal.__module__:
            yield refusal
            yield from refusals(refusal)


def codes() -> set[str]:
    assert SERVICES  # imported, and with them every refusal that there is
    return {refusal.code for refusal in refusals(HivemindError) if refusal is not EdgeError} - INNER | {"internal"}


def paragraphs() -> dict[str, str]:
    """Return what stands below each code."""
    _, *parts = re.split(r"^### ", PAGE.read_text(), flags=re.MULTILINE)
    return {part.split("\n", 1)[0]: re.split(r"^## ", part, flags=re.MULTILINE)[0] for part in parts}


def test_every_code_that_can_be_answered_has_its_paragraph_and_no_other() -> None:
    assert set(paragraphs()) == codes()


def test_each_paragraph_says_why_and_gives_a_command() -> None:
    for code, text in paragraphs().items():
        _, why, *commands = text.split("\n\n")
        assert len(why) > 40, code
        assert any("```sh\n" in part for part in commands), code
