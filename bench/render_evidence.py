"""Make docs/evidence.md from the last full figures and the list of promises: `.venv/bin/python -m bench.render_evidence`."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BENCH = ROOT / "bench"
PAGE = ROOT / "docs" / "evidence.md"


def promises() -> dict[str, list[str]]:
    """Return each promise with the tests that show it."""
    return tomllib.loads((BENCH / "promises.toml").read_text(encoding="utf-8"))


def results() -> Iterator[dict[str, Any]]:
    """Yield what each benchmark has left, by name."""
    for path in sorted((BENCH / "results").glob("*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


def render() -> str:
    """Return the page."""
    template = (BENCH / "evidence.md.in").read_text(encoding="utf-8")
    figures = "\n\n".join(_figures(result) for result in results())
    missed = "\n".join(_missed()) or "- None."
    rows = "\n".join(f"| {promise} | {'<br>'.join(map(_link, tests))} |" for promise, tests in promises().items())
    return template.replace("{{figures}}", figures).replace("{{missed}}", missed).replace("{{promises}}", rows)


def _figures(result: dict[str, Any]) -> str:
    rows = [
        f"| {each['what']} | {each['mode']} | {each['value']:g} {each['unit']} | {each['aim']}{_judged(each)} |"
        for each in result["figures"]
    ]
    busy = f"{result['cores']} cores with a load of {result['machine']['load_before']} before it began"
    when = f"{result['date']}, commit `{result['commit']}`, {busy}: `{result['command']}`"
    return "\n".join([when, "", "| what | mode | measured | aim |", "| --- | --- | --- | --- |", *rows])


def _missed() -> Iterator[str]:
    for result in results():
        for each in result["figures"]:
            if each["met"] is False:
                yield f"- {each['what']}, {each['mode']}: {each['value']:g} {each['unit']}, and {each['aim']} was aimed at."


def _judged(figure: dict[str, Any]) -> str:
    return "" if figure["aim"] == "none" else ", met" if figure["met"] else ", **not met**"


def _link(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[{name.removeprefix('test_').replace('_', ' ')}](../{path})"


def main() -> int:
    """Write the page."""
    PAGE.write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
