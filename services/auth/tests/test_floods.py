from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from hivemind_auth.floods import MOST_A_MINUTE, MOST_SOURCES, Floods

START = datetime(2026, 11, 22, tzinfo=UTC)


class Clock:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


def test_the_first_of_a_minute_are_let_through_and_the_others_counted() -> None:
    clock = Clock()
    floods = Floods(clock)

    told = [floods.admit("one") for _ in range(MOST_A_MINUTE + 5)]
    assert told == [0] * MOST_A_MINUTE + [None] * 5
    assert floods.admit("another") == 0
    clock.now += timedelta(minutes=1)
    assert [floods.admit("one"), floods.admit("one")] == [5, 0]


@given(st.lists(st.integers(0, 30), max_size=400))
def test_nothing_is_left_uncounted(pauses: list[int]) -> None:
    clock = Clock()
    floods = Floods(clock)
    rows = counted = 0
    for pause in pauses:
        clock.now += timedelta(seconds=pause)
        left_out = floods.admit("one")
        rows += left_out is not None
        counted += left_out or 0
    clock.now += timedelta(minutes=1)

    assert rows + counted + (floods.admit("one") or 0) == len(pauses)
    assert rows <= MOST_A_MINUTE * (1 + (clock.now - START) // timedelta(minutes=1))


def test_however_many_sources_there_are_they_take_only_so_much_memory() -> None:
    clock = Clock()
    floods = Floods(clock)
    told = [floods.admit(str(number)) for number in range(MOST_SOURCES + 10)]

    assert told == [0] * len(told)
    assert len(floods._sources) == MOST_SOURCES
    clock.now += timedelta(minutes=1)
    floods.admit("late")
    assert len(floods._sources) == 1
