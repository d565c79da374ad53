"""What Hivemind is measured against stays what it was."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

NAIVE = Path(__file__).resolve().parents[2] / "bench" / "naive"


def test_the_naive_baseline_is_the_one_that_was_committed() -> None:
    lines = (NAIVE / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    committed = {name: digest for digest, name in map(str.split, lines)}

    now = {path.name: sha256(path.read_bytes()).hexdigest() for path in NAIVE.iterdir() if path.is_file()}
    del now["SHA256SUMS"]

    assert now == committed
