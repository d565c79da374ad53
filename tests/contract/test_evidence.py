"""docs/evidence.md says what was measured last, and names only tests that there are."""

from __future__ import annotations

import ast
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def evidence() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "bench" / "render_evidence.py"))


def test_the_page_is_what_its_sources_make(evidence: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8")
    assert page == evidence["render"](), "run .venv/bin/python -m bench.render_evidence"


def test_every_promise_is_shown_by_tests_that_there_are(evidence: dict[str, Any]) -> None:
    missing = [
        test
        for tests in evidence["promises"]().values()
        for test in tests or ["a promise without a test"]
        if test.partition("::")[2] not in names_in(ROOT / test.partition("::")[0])
    ]
    assert missing == []


def names_in(path: Path) -> set[str]:
    if not path.is_file():
        return set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
