"""Planted secrets, and the look for them: in whatever form, in whatever place."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote, quote_plus

DATA: Final = Path(__file__).parent / "data" / "secrets"
SECRETS: Final = ("key", "token", "password", "mistyped", "setting")
"""Kinds of which only a digest may be anywhere; the others are what people write."""


class Canary(NamedTuple):
    """A value that exists nowhere else."""

    kind: str
    value: str
    name: str = ""

    @property
    def halves(self) -> tuple[str, str]:
        """Its two halves: a value that was cut is still a leak."""
        middle = len(self.value) // 2
        return self.value[:middle], self.value[middle:]


def rows_of(name: str) -> list[dict[str, str]]:
    """Read a table of the data."""
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def planted() -> list[Canary]:
    """Return the hundred."""
    return [Canary(row["kind"], row["value"], row["name"]) for row in rows_of("canaries.tsv")]


def matrix() -> dict[tuple[str, str], str]:
    """Return what is allowed, by kind and place."""
    return {
        (row["kind"], place): verdict
        for row in rows_of("places.tsv")
        for place, verdict in row.items()
        if place != "kind"
    }


def places() -> list[str]:
    """Return all places."""
    return [place for place in rows_of("places.tsv")[0] if place != "kind"]


def forms(text: str) -> Mapping[str, bytes]:
    """Return what a text looks like when it is written by something that escapes or encodes."""
    raw = text.encode()
    escaped = json.dumps(text)[1:-1]
    percent = quote(text, safe="")
    found = {
        "plain": raw,
        "json": json.dumps(text, ensure_ascii=False)[1:-1].encode(),
        "json in ascii": escaped.encode(),
        "json in json": json.dumps(escaped)[1:-1].encode(),
        "repr": repr(text)[1:-1].encode(),
        "repr of bytes": repr(raw)[2:-1].encode(),
        "percent": percent.encode(),
        "percent in small letters": re.sub("%..", lambda found: found[0].lower(), percent).encode(),
        "form": quote_plus(text).encode(),
        "html": html.escape(text).encode(),
        "sql": text.replace("'", "''").encode(),
        "hex": raw.hex().encode(),
        "hex in capitals": raw.hex().upper().encode(),
    }
    return (
        found
        | {f"base64 at {offset}": piece for offset, piece in enumerate(_base64(raw))}
        | {
            f"base64 for URLs at {offset}": piece.replace(b"+", b"-").replace(b"/", b"_")
            for offset, piece in enumerate(_base64(raw))
        }
    )


def _base64(raw: bytes) -> Iterator[bytes]:
    """Yield what is left of a value within something longer, at each of the three offsets."""
    for offset in range(3):
        whole = base64.b64encode(bytes(offset) + raw).rstrip(b"=")
        # What shares a character with its neighbours is not the value's alone.
        yield whole[-(-offset * 8 // 6) : (offset + len(raw)) * 8 // 6]


@cache
def needles(canary: Canary) -> dict[bytes, str]:
    """Return every form of both halves."""
    found: dict[bytes, str] = {}
    for half in canary.halves:
        for form, piece in forms(half).items():
            found.setdefault(piece, form)
    return found


def digests(canary: Canary) -> dict[bytes, str]:
    """Return every form of what is stored or sent instead of a secret."""
    prefix = "hivemind-password-v1:" if canary.kind == "password" else ""
    raw = hashlib.sha256((prefix + canary.value).encode()).digest()
    return {
        raw: "raw",
        raw.hex().encode(): "hex",
        raw.hex().upper().encode(): "hex in capitals",
        repr(raw)[2:-1].encode(): "repr of bytes",
    } | {piece: f"base64 at {offset}" for offset, piece in enumerate(_base64(raw))}


class Leak(NamedTuple):
    """A kind of secret that is where it must not be."""

    kind: str
    place: str
    where: str
    form: str


@dataclass
class Evidence:
    """Everything that was written or said, by place; the same bytes are kept once."""

    seen: dict[str, dict[bytes, str]] = field(default_factory=lambda: defaultdict(dict))

    def add(self, place: str, where: str, what: bytes) -> None:
        """Keep something for the look."""
        self.seen[place].setdefault(what, where)

    def find(self, canaries: Iterable[Canary]) -> set[Leak]:
        """Return every kind that is anywhere, allowed or not."""
        wanted = [(canary.kind, needles(canary)) for canary in canaries]
        wanted += [
            (f"{canary.kind} digest", digests(canary))
            for canary in canaries
            if canary.kind in {"key", "token", "password"}
        ]
        return {
            Leak(kind, place, where, form)
            for place, texts in self.seen.items()
            for where, text in _joined(texts)
            for kind, pieces in wanted
            for piece, form in pieces.items()
            if piece in text
        }


def _joined(texts: Mapping[bytes, str]) -> Iterator[tuple[str, bytes]]:
    """Yield the texts of each origin as one, since many short looks take longer than a long one."""
    by_origin: dict[str, list[bytes]] = defaultdict(list)
    for text, where in texts.items():
        by_origin[where].append(text)
    for where, parts in by_origin.items():
        yield where, b"\0\n".join(parts)


def judged(found: Iterable[Leak]) -> tuple[set[Leak], set[tuple[str, str]]]:
    """Return what must not be, and each kind and place where something must be and nothing is."""
    allowed = matrix()
    seen = set(found)
    leaks = {leak for leak in seen if allowed[leak.kind, leak.place] == "never"}
    missed = {cell for cell, verdict in allowed.items() if verdict == "must"} - {
        (leak.kind, leak.place) for leak in seen
    }
    return leaks, missed
