"""An event stream, read byte by byte: bytes in, events out, no I/O."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_LINE = 4 * 1024 * 1024  # `done` carries a whole answer in one line


class BrokenStreamError(ValueError):
    """These bytes are no event stream, or one with a line that nobody should have to keep."""


@dataclass(frozen=True)
class Event:
    """One event, complete. `id` is the last one that the stream named."""

    name: str
    data: str
    id: str = ""


class EventReader:
    """Cuts a stream into events; lines may end in LF, CR LF or CR, and chunks anywhere."""

    def __init__(self, longest_line: int = LONGEST_LINE) -> None:
        self._longest_line = longest_line
        self._rest = b""
        self._after_cr = False
        self._first = True
        self._name = ""
        self._data: list[str] = []
        self._size = 0
        self._id = ""

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next bytes and return the events that they complete; an event cut off by the end is never told."""
        return [event for line in self._lines(chunk) if (event := self._take(line)) is not None]

    def _lines(self, chunk: bytes) -> list[bytes]:
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]  # the second half of a CR LF that was cut in two
        if chunk:
            self._after_cr = chunk.endswith(b"\r")
        *lines, self._rest = (self._rest + chunk).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        if max(map(len, [*lines, self._rest])) > self._longest_line:
            raise BrokenStreamError(f"a line of the event stream is longer than {self._longest_line} bytes")
        return lines

    def _take(self, raw: bytes) -> Event | None:
        try:
            line = raw.decode()
        except UnicodeDecodeError:
            raise BrokenStreamError("the event stream is not UTF-8") from None
        if self._first:
            line, self._first = line.removeprefix("\ufeff"), False
        if not line:
            return self._dispatch()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                self._name = value
            case "data":
                self._size += len(value)
                if self._size > self._longest_line:
                    raise BrokenStreamError(f"an event is longer than {self._longest_line} characters")
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
            case _:
                pass  # a comment, which keeps the line alive, or a field that nobody knows
        return None

    def _dispatch(self) -> Event | None:
        name, data = self._name or "message", self._data
        self._name, self._data, self._size = "", [], 0
        return Event(name, "\n".join(data), self._id) if data else None
