"""What all benchmarks do with their figures: compare them with the aims, print a table, keep the rounds."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"

Figure = dict[str, Any]

BUSY: Final = round(os.getloadavg()[0], 1)
"""How busy the machine was before the benchmark began: whether anybody else was on it."""


def figure(
    what: str, mode: str, value: float, unit: str, *, least: float | None = None, most: float | None = None
) -> Figure:
    """Return one line of the table: what was measured, and whether the aim was met."""
    rounded = round(value, 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2)
    # What is told is what is judged, so that nobody reads "3 s, not met" of an aim of 3 s.
    if least is not None:
        return _line(what, mode, rounded, unit, f"≥ {least:g} {unit}", met=rounded >= least)
    if most is not None:
        return _line(what, mode, rounded, unit, f"≤ {most:g} {unit}", met=rounded <= most)
    return _line(what, mode, rounded, unit, "none", met=None)


def _line(what: str, mode: str, value: float, unit: str, aim: str, *, met: bool | None) -> Figure:
    return {"what": what, "mode": mode, "value": value, "unit": unit, "aim": aim, "met": met}


def options_of(text: str | None) -> argparse.Namespace:
    """Read the command line that every benchmark has."""
    parser = argparse.ArgumentParser(description=(text or "").partition("\n")[0])
    parser.add_argument("--no-write", action="store_true", help="print only")
    parser.add_argument("--rounds", type=int, help="how many, when it should be quick or exact")
    return parser.parse_args()


def note(text: str) -> None:
    """Tell of progress."""
    print(text, file=sys.stderr, flush=True)


def finish(name: str, figures: Sequence[Figure], rounds: Sequence[dict[str, Any]], *, writes: bool) -> int:
    """Print the table, and keep it with the rounds that it was made from."""
    result = {
        "benchmark": name,
        "command": f".venv/bin/python -m bench.{name}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": _commit(),
        "cores": os.cpu_count(),
        "machine": _machine(),
        "figures": list(figures),
        "rounds": list(rounds),
    }
    if writes:
        RESULTS.mkdir(exist_ok=True)
        text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
        (RESULTS / f"{name}.json").write_text(text, encoding="utf-8")
    width, mode = (max(len(each[name]) for each in figures) + 2 for name in ("what", "mode"))
    print(f"{'what':{width}}{'mode':{mode}}{'measured':>16}{'aim':>16}")
    for each in figures:
        missed = "  NOT MET" if each["met"] is False else ""
        measured = f"{each['value']:g} {each['unit']}"
        print(f"{each['what']:{width}}{each['mode']:{mode}}{measured:>16}{each['aim']:>16}{missed}")
    return 0


def _commit() -> str:
    """Return the commit that was measured, marked when files differ from it."""
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout.strip() or "unknown"


def _machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {
        "cpu": model,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": BUSY,
    }
