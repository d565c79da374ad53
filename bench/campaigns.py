"""The long forms of the fault tests, and what they found: `.venv/bin/python -m bench.campaigns`.

It runs the tests that have a long form as `./hivemind test --full` does, and keeps the figures that they record.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from bench.report import ROOT, Figure, figure, finish

CAMPAIGNS: Final = (
    "tests/e2e/test_storm.py",
    "tests/e2e/test_frozen.py",
    "tests/e2e/test_drain.py",
    "tests/contract/test_reconnect.py",
    "tests/contract/test_leaks.py",
)


def run(report: Path) -> int:
    """Run the tests in their long form; returns pytest's exit code."""
    command = [sys.executable, "-P", "-m", "pytest", "-q", "--junit-xml", str(report), "-o", "junit_family=xunit1"]
    return subprocess.run(
        [*command, *CAMPAIGNS], cwd=ROOT, env={**os.environ, "HIVEMIND_FULL": "1"}, check=False
    ).returncode


def figures_of(report: Path) -> Iterator[Figure]:
    """Yield what each test recorded, `what=value unit`, and whether it passed."""
    for case in ET.parse(report).getroot().iter("testcase"):
        name = case.attrib["name"].removeprefix("test_").replace("_", " ")
        has_passed = not any(case.find(kind) is not None for kind in ("failure", "error", "skipped"))
        yield figure("passed", name, float(has_passed), "", least=1)
        for each in case.iter("property"):
            value, _, unit = each.attrib["value"].partition(" ")
            yield figure(each.attrib["name"], name, float(value), unit)


def main() -> int:
    """Run, print the table, and keep it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hivemind-campaigns-") as name:
        report = Path(name) / "report.xml"
        ending = run(report)
        figures = list(figures_of(report))
    finish("campaigns", figures, [], writes=not options.no_write)
    return ending


if __name__ == "__main__":
    sys.exit(main())
