"""docs/security.md names only tests that there are, and no promise without one."""

from __future__ import annotations

import re
from typing import Final

from tests.contract.test_evidence import ROOT, names_in

PAGE: Final = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
LINK: Final = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")


def test_every_promise_names_a_test_that_there_is() -> None:
    promised = PAGE.partition("## What is promised\n")[2].partition("\n## ")[0].strip()
    for promise in promised.split("\n\n"):
        tests = [(text, path) for text, path in LINK.findall(promise) if "/tests/" in path and path.endswith(".py")]
        assert tests, promise
        for text, path in tests:
            assert f"test_{text.replace(' ', '_')}" in names_in((ROOT / "docs" / path).resolve()), text


def test_every_link_leads_to_a_file() -> None:
    for page in (ROOT / "docs" / "security.md", ROOT / "SECURITY.md"):
        for text, link in LINK.findall(page.read_text(encoding="utf-8")):
            assert (page.parent / link).resolve().is_file(), text
