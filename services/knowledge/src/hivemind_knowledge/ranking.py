"""How well a snippet answers a question: BM25F, and whether that is well enough. No I/O: counts in, numbers out.

The formula is BM25F of Robertson and Zaragoza, *The Probabilistic Relevance Framework: BM25 and Beyond*, 2009, sections
3.2 and 3.6: a word's occurrences in title and body are each set off against how long that field is, added up with the
fields' weights, and saturate together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

K1: Final = 2.0
"""How slowly further occurrences of a word stop counting."""

B: Final = 0.75
"""How much the length of a field counts against it."""

TITLE: Final = 5.0
"""How much an occurrence in the title counts, beside 1 in the body."""

WHOLE_TITLE: Final = 0.3
"""How much better a snippet is whose title the question holds whole, by the share of it that is held."""

LIGHT: Final = 0.35
"""How much a stop word or a question word counts: in short texts it carries meaning, but it finds nothing alone."""

PRIOR: Final = 50
"""Snippets that a small corpus is imagined to have besides its own, so that the rarity of words means something there."""

LEAST_COVERAGE: Final = {"lenient": 0.35, "normal": 0.52, "strict": 0.8}
"""The coverage from which a snippet counts as an answer, by the bot's strictness; docs/search.md has the curve."""

FEW: Final = 16
USUAL: Final = 200
MANY: Final = 3_000
"""Snippets of a bot: the thresholds are those of a bot of `USUAL` size."""

DIGITS: Final = 9
"""Scores that agree to so many digits are ties, whoever summed them up: the older snippet comes first."""


def rarity(frequency: float, snippet_count: int) -> float:
    """Return the inverse document frequency of a lexeme that `frequency` snippets hold (formula 3.6, made positive)."""
    total = snippet_count + PRIOR
    return math.log(1 + (total - frequency + 0.5) / (frequency + 0.5))


def ceiling(rarities: list[float]) -> float:
    """Return what a snippet could reach at most for words of these rarities, each of them there without end."""
    return (K1 + 1) * sum(rarities)


def coverage(score: float, most: float, held: int, asked: int, snippet_count: int) -> float:
    """Return how far a snippet covers a question, from its score for the words that count.

    That is the share of what they could reach at most, times how many of them it holds: a snippet that shares one word of
    many with the question needs much more of a share than one that shares several. Of a question with one word that word is
    all that can be asked for. Among more snippets one is more likely to share words by chance, and the best of them is what
    is judged; that grows with the logarithm of their number, between `FEW` and `MANY`.
    """
    if not most:
        return 0.0
    by_chance = math.log(min(max(snippet_count, FEW), MANY)) / math.log(USUAL)
    return score / most * max(held, 2.0 if held == asked else 1.5) / by_chance


@dataclass(frozen=True)
class Variant:
    """A lexeme that stands for a word of the question; `weight` is below 1 for what is only similar to it."""

    lexeme: str
    weight: float = 1.0


@dataclass(frozen=True)
class Word:
    """A word of a question: of its variants the one counts that a snippet holds best."""

    text: str
    variants: tuple[Variant, ...]
    is_light: bool = False

    @property
    def weight(self) -> float:
        """How much the word counts."""
        return LIGHT if self.is_light else 1.0


def rarest(word: Word, rarities: Mapping[str, float], frequencies: Mapping[str, int]) -> float:
    """Return how rare a word is: as its rarest variant that some snippet holds, or as a word that none does."""
    held = [variant.lexeme for variant in word.variants if frequencies[variant.lexeme]]
    return max((rarities[lexeme] for lexeme in held or (variant.lexeme for variant in word.variants)), default=0.0)


@dataclass(frozen=True)
class Match:
    """A snippet that was found: what orders it, and how far it covers the question."""

    score: float
    coverage: float
