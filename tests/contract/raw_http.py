"""HTTP by hand: bytes as they stand in a table go out, and every answer is read to its end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from yarl import URL

from tests.conftest import Instance

DATA: Final = Path(__file__).parent / "data" / "hostile"
LIMIT: Final = 10.0
_REPEATED: Final = re.compile("⟨(.+?)\\*(\\d+)⟩")
_ESCAPED: Final = re.compile(rb"\\(?:x([0-9a-f]{2})|([rnt\\]))")
_MEANT: Final = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"\\": b"\\"}


def rows(name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of a table with their numbers."""
    for number, line in enumerate((DATA / f"{name}.tsv").read_text().split("\n"), 1):
        if line and not line.startswith("#"):
            yield number, line.split("\t")


def repeated(text: str) -> str:
    """Write `⟨x*9⟩` out."""
    return _REPEATED.sub(lambda found: found[1] * int(found[2]), text)


def written_out(text: str) -> bytes:
    """Return the bytes that a cell of a table means."""
    return _ESCAPED.sub(
        lambda found: bytes([int(found[1], 16)]) if found[1] else _MEANT[found[2]], repeated(text).encode()
    )


@dataclass(frozen=True)
class Answer:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """The problem document; empty where it is none."""
        is_one = self.headers.get("content-type") == "application/problem+json"
        return dict(orjson.loads(self.body)) if is_one else {}


class Line:
    """A connection to the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self.continued = 0
        """How often the word came that a body may follow."""

    @classmethod
    async def to(cls, instance: Instance) -> Line:
        """Connect."""
        url = URL(instance.url)
        return cls(*await asyncio.open_connection(url.host, url.port))

    async def send(self, raw: bytes) -> None:
        """Send, as far as it is taken: who was refused half way is not listened to any more."""
        if self.writer.is_closing():
            return
        self.writer.write(raw)
        with suppress(ConnectionError):
            await asyncio.wait_for(self.writer.drain(), LIMIT)

    async def answer(self, *, has_body: bool = True) -> Answer | None:
        """Return the next answer; None at the end of the connection."""
        async with asyncio.timeout(LIMIT):
            try:
                head = await self._reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
            first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
            status = int(first.split(" ")[1])
            if status == 100:
                self.continued += 1
                return await self.answer(has_body=has_body)
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            length = int(headers.get("content-length", "0")) if has_body else 0
            return Answer(status, headers, await self._reader.readexactly(length))

    async def close(self) -> None:
        """Hang up."""
        self.writer.transport.abort()
