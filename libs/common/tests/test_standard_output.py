"""Lines go out a few at a time, and none is kept longer than a moment."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import structlog

from hivemind_common.telemetry import StandardOutput, configure_logging, get_logger
from hivemind_common.testing.waiting import until


class Counted(io.BytesIO):
    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    def write(self, data: Any, /) -> int:
        self.writes += 1
        return super().write(data)


@pytest.fixture
def written() -> Counted:
    return Counted()


def test_without_a_loop_a_line_is_written_at_once(written: Counted) -> None:
    StandardOutput(written).write("bots", b"one\n")

    assert written.getvalue() == b"one\n"


async def test_lines_of_a_moment_are_written_together_and_in_order(written: Counted) -> None:
    output = StandardOutput(written)
    for number in range(50):
        output.write("bots", b"%d\n" % number)
    assert written.writes == 0

    async def is_out() -> bool:
        return written.writes > 0

    await until(is_out, limit=5, what="what was held is written")
    assert written.getvalue().split() == [b"%d" % number for number in range(50)]
    assert written.writes == 1


async def test_a_flood_does_not_pile_up(written: Counted) -> None:
    output = StandardOutput(written)
    for _ in range(1_000):
        output.write("bots", b"x\n")

    assert len(written.getvalue()) >= 1_600


@pytest.mark.parametrize("level", ["warning", "error"])
async def test_what_is_urgent_goes_out_at_once_and_takes_along_what_was_held(written: Counted, level: str) -> None:
    output = StandardOutput(written)
    configure_logging("info", output.write, output.flush)
    try:
        get_logger().info("held")
        assert written.writes == 0
        getattr(get_logger(), level)("urgent")
    finally:
        structlog.reset_defaults()

    assert [json.loads(line)["event"] for line in written.getvalue().splitlines()] == ["held", "urgent"]
    assert written.writes == 1
