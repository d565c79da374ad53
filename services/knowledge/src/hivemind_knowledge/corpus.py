"""What a bot knows, as an index in memory: a cache of the lexemes that Postgres keeps, and never wrong.

It is made of parts, each some times as large as the next, so that a snippet more costs little and a question looks at few
of them. What is deleted or edited is struck out, and gone when its part is next written anew.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

import numpy as np

from hivemind_knowledge import ranking
from hivemind_knowledge.postings import Counts, Floats, Lexed, Part
from hivemind_knowledge.ranking import Match, Word

GROWTH: Final = 4
"""A part is merged into the one before it unless that one is at least so many times as large."""

MOST_DEAD: Final = 0.3
"""Share of struck rows above which everything is written anew."""


class Corpus:
    """The index of one bot at one version of its corpus."""

    def __init__(self, version: int) -> None:
        self.version = version
        self._parts: list[Part] = []
        self._where: dict[UUID, tuple[Part, int]] = {}
        self._title_words = 0.0
        self._body_words = 0.0

    @classmethod
    def of(cls, version: int, snippets: list[Lexed]) -> Corpus:
        """Build an index of all snippets of a bot."""
        corpus = cls(version)
        corpus._append(snippets)
        return corpus

    def __len__(self) -> int:
        return len(self._where)

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        return sum(part.size for part in self._parts)

    def apply(self, version: int, changed: list[Lexed], removed: Iterable[UUID]) -> None:
        """Bring it to a later version: what was added or edited since, and what was deleted."""
        for snippet_id in removed:
            self._strike(snippet_id)
        for each in changed:
            self._strike(each.id)
        self._append(changed)
        if sum(len(part.ids) for part in self._parts) * (1 - MOST_DEAD) > len(self._where):
            self._merge(0)
        self.version = version

    def _append(self, snippets: list[Lexed]) -> None:
        if not snippets:
            return
        # The newest ids are the greatest: the order of rows is the order in which ties are broken.
        part = Part.of(sorted(snippets, key=lambda each: each.id))
        self._parts.append(part)
        self._note(part)
        self._title_words += float(part.title_lengths.sum())
        self._body_words += float(part.body_lengths.sum())
        first = len(self._parts) - 1
        while first > 0 and len(self._parts[first - 1].ids) < GROWTH * sum(
            len(part.ids) for part in self._parts[first:]
        ):
            first -= 1
        if first < len(self._parts) - 1:
            self._merge(first)

    def _strike(self, snippet_id: UUID) -> None:
        found = self._where.pop(snippet_id, None)
        if found is None:
            return
        part, row = found
        part.strike(row)
        self._title_words -= float(part.title_lengths[row])
        self._body_words -= float(part.body_lengths[row])

    def _merge(self, first: int) -> None:
        merged = Part.merged(self._parts[first:])
        self._parts[first:] = [merged] if merged.ids else []
        self._note(merged)

    def _note(self, part: Part) -> None:
        for row, snippet_id in enumerate(part.ids):
            self._where[snippet_id] = (part, row)

    def frequency(self, lexeme: str) -> int:
        """Return how many snippets hold a lexeme."""
        return sum(part.frequency(lexeme) for part in self._parts)

    def vocabulary(self, initial: str) -> Iterable[str]:
        """Return the lexemes with a first letter that are held, or were a while ago; some may come twice."""
        for part in self._parts:
            yield from part.starting_with(initial)

    def all_words(self) -> Iterable[str]:
        """Return all lexemes in the same way."""
        for part in self._parts:
            yield from part.words

    def rank(self, words: Sequence[Word], limit: int) -> list[tuple[UUID, Match]]:
        """Return the best snippets that hold a word that counts, the best first."""
        if not self._where or all(word.is_light for word in words):
            return []
        count = len(self._where)
        title_mean = max(self._title_words / count, 1.0)
        body_mean = max(self._body_words / count, 1.0)
        frequencies = {variant.lexeme: self.frequency(variant.lexeme) for word in words for variant in word.variants}
        rarities = {lexeme: ranking.rarity(frequency, count) for lexeme, frequency in frequencies.items()}
        heavy = [word for word in words if not word.is_light]
        most = ranking.ceiling([ranking.rarest(word, rarities, frequencies) for word in heavy])
        found: list[tuple[float, UUID, float, int]] = []
        for part in self._parts:
            norms = (
                1 - ranking.B + ranking.B * part.title_lengths / title_mean,
                1 - ranking.B + ranking.B * part.body_lengths / body_mean,
            )
            scores, titled = np.zeros(len(part.ids)), np.zeros(len(part.ids))
            held = np.zeros(len(part.ids), dtype=np.int32)
            for word in heavy:
                held[_add(part, norms, word, rarities, scores, titled)] += 1
            held[~part.is_alive] = 0
            solid = scores.copy()
            for word in words:
                if word.is_light:
                    _add(part, norms, word, rarities, scores, titled)
            scores *= 1 + ranking.WHOLE_TITLE * titled / np.maximum(part.title_lengths, 1.0)
            scores[held == 0] = 0.0
            found.extend(
                (-round(float(scores[row]), ranking.DIGITS), part.ids[row], float(solid[row]), int(held[row]))
                for row in _best(scores, limit)
            )
        return [
            (snippet_id, Match(-score, ranking.coverage(solid, most, held_words, len(heavy), count)))
            for score, snippet_id, solid, held_words in heapq.nsmallest(limit, found)
        ]


def _add(
    part: Part,
    norms: tuple[Floats, Floats],
    word: Word,
    rarities: dict[str, float],
    scores: Floats,
    titled: Floats,
) -> Counts:
    """Add to each row's score what it earns by a word, count it where the title holds it, and return the rows that do at all."""
    gains = []
    for variant in word.variants:
        postings = part.postings(variant.lexeme)
        if postings is None:
            continue
        rows, title, body = postings
        often = ranking.TITLE * title / norms[0][rows] + body / norms[1][rows]
        factor = word.weight * variant.weight * rarities[variant.lexeme] * (ranking.K1 + 1)
        gains.append((rows, factor * often / (ranking.K1 + often), title > 0))
    if not gains:
        return np.zeros(0, dtype=np.int32)
    if len(gains) == 1:
        rows, gain, in_title = gains[0]
        scores[rows] += gain
        titled[rows] += in_title
        return rows
    best, anywhere = np.zeros(len(scores)), np.zeros(len(scores), dtype=np.bool_)
    for rows, gain, in_title in gains:
        best[rows] = np.maximum(best[rows], gain)
        anywhere[rows] |= in_title
    scores += best
    titled += anywhere
    return np.flatnonzero(best).astype(np.int32)


def _best(scores: Floats, limit: int) -> list[int]:
    """Return the rows of the highest scores above 0; of those that tie at the end, all."""
    rows = np.flatnonzero(scores)
    if len(rows) > limit:
        values = scores[rows]
        least = np.partition(values, len(values) - limit)[len(values) - limit]
        rows = rows[values >= least - 10.0**-ranking.DIGITS]
    return [int(row) for row in rows]
