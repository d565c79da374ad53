"""A part of an index: for each lexeme the snippets that hold it, and how often. Written once, then only struck from."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

BYTES_A_LEXEME: Final = 200
"""What a lexeme costs beside its postings: its text, its place in a table, and three small arrays' heads, about."""

BYTES_A_SNIPPET: Final = 160


@dataclass(frozen=True)
class Lexed:
    """A snippet as the index takes it: its lexemes, and how often each stands in the title and in the body."""

    id: UUID
    version: int
    lexemes: tuple[str, ...]
    title: tuple[int, ...]
    body: tuple[int, ...]


@dataclass(frozen=True)
class Columns:
    """Postings, one row of each column for every snippet and lexeme in it."""

    words: Counts
    rows: Counts
    title: Counts
    body: Counts


class Part:
    """Postings of a set of snippets, which have the rows 0 to n - 1."""

    def __init__(
        self, ids: list[UUID], title_lengths: Floats, body_lengths: Floats, words: dict[str, int], columns: Columns
    ) -> None:
        self.ids = ids
        self.title_lengths = title_lengths
        self.body_lengths = body_lengths
        self.is_alive: Flags = np.ones(len(ids), dtype=np.bool_)
        self.alive = len(ids)
        self.words = words
        self._by_initial: dict[str, list[str]] | None = None
        order = np.argsort(columns.words, kind="stable")
        self._rows, self._title, self._body = columns.rows[order], columns.title[order], columns.body[order]
        self._starts: Counts = np.zeros(len(words) + 1, dtype=np.int32)
        np.cumsum(np.bincount(columns.words, minlength=len(words)), out=self._starts[1:])

    @classmethod
    def of(cls, snippets: list[Lexed]) -> Part:
        """Build a part of snippets."""
        sizes = np.fromiter((len(each.lexemes) for each in snippets), dtype=np.int32, count=len(snippets))
        words: dict[str, int] = {}
        places = (words.setdefault(sys.intern(lexeme), len(words)) for each in snippets for lexeme in each.lexemes)
        columns = Columns(
            np.fromiter(places, dtype=np.int32, count=int(sizes.sum())),
            np.repeat(np.arange(len(snippets), dtype=np.int32), sizes),
            np.fromiter((count for each in snippets for count in each.title), dtype=np.int32),
            np.fromiter((count for each in snippets for count in each.body), dtype=np.int32),
        )
        titles = np.array([sum(each.title) for each in snippets], dtype=np.float64)
        bodies = np.array([sum(each.body) for each in snippets], dtype=np.float64)
        return cls([each.id for each in snippets], titles, bodies, words, columns)

    @classmethod
    def merged(cls, parts: list[Part]) -> Part:
        """Build one part of what is still alive in several."""
        words: dict[str, int] = {}
        kept = [np.flatnonzero(part.is_alive) for part in parts]
        firsts = np.cumsum([0, *(len(rows) for rows in kept)])
        living = [part.living(int(first), words) for part, first in zip(parts, firsts, strict=False)]
        return cls(
            [part.ids[row] for part, rows in zip(parts, kept, strict=True) for row in rows],
            np.concatenate([part.title_lengths[rows] for part, rows in zip(parts, kept, strict=True)]),
            np.concatenate([part.body_lengths[rows] for part, rows in zip(parts, kept, strict=True)]),
            words,
            Columns(
                np.concatenate([columns.words for columns in living]),
                np.concatenate([columns.rows for columns in living]),
                np.concatenate([columns.title for columns in living]),
                np.concatenate([columns.body for columns in living]),
            ),
        )

    def living(self, first: int, words: dict[str, int]) -> Columns:
        """Return what is alive, its rows numbered from `first`, its lexemes as in `words`, which learns the new ones."""
        new_rows = np.cumsum(self.is_alive, dtype=np.int32) + np.int32(first - 1)
        stays = self.is_alive[self._rows]
        old_words = np.repeat(np.arange(len(self.words), dtype=np.int32), np.diff(self._starts))[stays]
        new_words = np.full(len(self.words), -1, dtype=np.int32)
        texts = list(self.words)
        for place in np.unique(old_words):
            new_words[place] = words.setdefault(texts[place], len(words))
        return Columns(new_words[old_words], new_rows[self._rows[stays]], self._title[stays], self._body[stays])

    def postings(self, lexeme: str) -> tuple[Counts, Counts, Counts] | None:
        """Return the rows that hold a lexeme, with its occurrences in their titles and bodies; struck rows included."""
        place = self.words.get(lexeme)
        if place is None:
            return None
        span = slice(self._starts[place], self._starts[place + 1])
        return self._rows[span], self._title[span], self._body[span]

    def frequency(self, lexeme: str) -> int:
        """Return how many snippets that are alive hold a lexeme."""
        found = self.postings(lexeme)
        if found is None:
            return 0
        return len(found[0]) if self.alive == len(self.ids) else int(self.is_alive[found[0]].sum())

    def starting_with(self, initial: str) -> list[str]:
        """Return the lexemes that begin with a letter."""
        if self._by_initial is None:
            self._by_initial = {}
            for lexeme in self.words:
                self._by_initial.setdefault(lexeme[0], []).append(lexeme)
        return self._by_initial.get(initial, [])

    def strike(self, row: int) -> None:
        """Let a row be found no more."""
        if self.is_alive[row]:
            self.is_alive[row] = False
            self.alive -= 1

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        arrays = self._rows.nbytes * 3 + self._starts.nbytes
        return arrays + BYTES_A_LEXEME * len(self.words) + BYTES_A_SNIPPET * len(self.ids)
