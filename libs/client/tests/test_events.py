from __future__ import annotations

import pytest

from hivemind_client.events import BrokenStreamError, Event, EventReader

STREAM = (
    b'event: start\nid: m.0\ndata: {"a":1}\n\n: hb\n\nevent: delta\r\nid: m.1\r\ndata: one\r\ndata:two\r\n\r\n'
    b"data: plain\rid: m.2\r\revent: lonely\n\nretry: 5\nunknown\ndata: \xc3\xbc\n\nevent: cut\ndata: off"
)
EVENTS = [
    Event("start", '{"a":1}', "m.0"),
    Event("delta", "one\ntwo", "m.1"),
    Event("message", "plain", "m.2"),
    Event("message", "ü", "m.2"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_the_same_however_the_stream_is_cut(size: int) -> None:
    reader = EventReader()
    told = [event for at in range(0, len(STREAM), size) for event in reader.feed(STREAM[at : at + size])]
    assert told == EVENTS


def test_an_event_without_data_is_none_and_its_name_is_forgotten() -> None:
    assert EventReader().feed(b"event: a\n\ndata: x\n\n") == [Event("message", "x")]


def test_a_byte_order_mark_is_no_part_of_the_first_field() -> None:
    assert EventReader().feed(b"\xef\xbb\xbfdata: x\n\n") == [Event("message", "x")]


def test_a_line_that_never_ends_is_refused() -> None:
    reader = EventReader(longest_line=100)
    with pytest.raises(BrokenStreamError, match="longer than 100"):
        _ = [reader.feed(b"data: aaaaaaaaaaaaaaaaaaaaa") for _ in range(10)]


def test_an_event_that_never_ends_is_refused() -> None:
    reader = EventReader(longest_line=100)
    with pytest.raises(BrokenStreamError, match="longer than 100"):
        _ = [reader.feed(b"data: aaaaaaaaaaaaaaaaaaaaa\n") for _ in range(10)]


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(BrokenStreamError, match="UTF-8"):
        EventReader().feed(b"data: \xff\n")
