"""What Hivemind is measured against stays what it was."""

from __future__ import annotations

from bench.bot_read import NAIVE, frozen_sums, sum_of


def test_the_naive_baseline_is_the_one_that_was_committed() -> None:
    now = {path.name: sum_of(path) for path in NAIVE.iterdir() if path.is_file() and path.name != "SHA256SUMS"}

    assert now == frozen_sums()
