"""Words that a bot's snippets do not hold, replaced by what is nearest there: for typing errors and compound words."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from typing import Final

from rapidfuzz import process
from rapidfuzz.distance import OSA

from hivemind_knowledge.corpus import Corpus
from hivemind_knowledge.ranking import Variant, Word

SHORTEST: Final = 5
"""Letters that a word must have: of shorter ones nearly each has a neighbour that means something else."""

TWO_EDITS: Final = 8
"""Letters from which a word may have two errors."""

AT_ONE_EDIT: Final = 0.8
AT_TWO_EDITS: Final = 0.6
AS_BEGINNING: Final = 0.7
IN_COMPOUND: Final = 0.6
"""How much what is only similar counts."""

LONGEST_ENDING: Final = 6
LONGEST_JOINT: Final = 4
"""Letters between the two words of a compound that the stemmer took from the first one: -s-, -ungs-, -heits-."""

SHORTEST_HALF: Final = 4
LONGEST_JOIN: Final = 6
"""Parts of a name or number that is looked for as a whole too."""

MOST_NEIGHBOURS: Final = 8
MOST_WORDS: Final = 24
"""Unknown words of a question that are looked at; a text of thousands of words has enough that are known."""

COMPOUNDING: Final = frozenset({"da", "de", "fi", "nl", "no", "sv"})
"""Languages that write compounds as one word."""


def without_joins(words: Sequence[Word], frequency: Callable[[str], int]) -> list[Word]:
    """Leave out what is unknown as a whole and whose parts are asked for too: puis-je, as it is not written elsewhere."""
    texts = [word.text for word in words]
    joins = {
        "".join(texts[start:end])
        for start in range(len(texts))
        for end in range(start + 2, min(start + LONGEST_JOIN, len(texts)) + 1)
    }
    return [
        word for word in words if word.text not in joins or any(frequency(variant.lexeme) for variant in word.variants)
    ]


def known_words(words: Sequence[Word], corpus: Corpus, *, has_compounds: bool) -> list[Word]:
    """Return the words of a question with each that is unknown replaced by its neighbours, where it has any.

    What has a figure in it is left alone: the next part number is another part.
    """
    found: list[Word] = []
    tries = 0
    for word in words:
        is_tried = (
            not word.is_light
            and len(word.text) >= SHORTEST
            and word.text.isalpha()
            and tries < MOST_WORDS
            and not any(corpus.frequency(variant.lexeme) for variant in word.variants)
        )
        if not is_tried:
            found.append(word)
            continue
        tries += 1
        found.extend(_replacements(word, corpus, has_compounds=has_compounds) or [word])
    return found


def _replacements(word: Word, corpus: Corpus, *, has_compounds: bool) -> list[Word]:
    near = _near(word, corpus)
    if near:
        return [Word(word.text, tuple(near))]
    if not has_compounds:
        return []
    for lexeme in _lexemes(word):
        halves = _halves(lexeme, corpus)
        if halves:
            return [Word(half, (Variant(half),)) for half in halves]
    inside = {
        each
        for lexeme in _lexemes(word)
        if len(lexeme) >= SHORTEST
        for each in corpus.all_words()
        if len(each) >= len(lexeme) + SHORTEST_HALF and (each.startswith(lexeme) or each.endswith(lexeme))
    }
    return [Word(word.text, tuple(_most_held(dict.fromkeys(inside, IN_COMPOUND), corpus)))] if inside else []


def _near(word: Word, corpus: Corpus) -> list[Variant]:
    weights: dict[str, float] = {}
    for lexeme in _lexemes(word):
        choices = list(corpus.vocabulary(lexeme[0]))
        folded = fold(lexeme)
        most = 2 if len(word.text) >= TWO_EDITS else 1
        for each, distance, _ in process.extract(
            lexeme, choices, scorer=OSA.distance, score_cutoff=most, limit=None, processor=None
        ):
            if each.isalpha() and len(each) >= SHORTEST - 1:
                weight = 1.0 if fold(each) == folded else AT_ONE_EDIT if distance <= 1 else AT_TWO_EDITS
                weights[each] = max(weights.get(each, 0.0), weight)
        # An error in the ending keeps the stemmer from finding the stem, which then begins the word.
        for end in range(max(SHORTEST - 1, len(lexeme) - LONGEST_ENDING), len(lexeme)):
            if corpus.frequency(lexeme[:end]):
                weights[lexeme[:end]] = max(weights.get(lexeme[:end], 0.0), AS_BEGINNING)
    alive = {each: weight for each, weight in weights.items() if corpus.frequency(each)}
    best = max(alive.values(), default=0.0)
    return _most_held({each: weight for each, weight in alive.items() if weight >= min(best, AS_BEGINNING)}, corpus)


def _most_held(weights: dict[str, float], corpus: Corpus) -> list[Variant]:
    held = sorted(weights, key=lambda each: (-weights[each], -corpus.frequency(each), each))
    return [Variant(each, weights[each]) for each in held[:MOST_NEIGHBOURS] if corpus.frequency(each)]


def _halves(lexeme: str, corpus: Corpus) -> tuple[str, str] | None:
    """Find two words that a compound is made of, those that cover most of it."""
    ends = [end for end in range(SHORTEST_HALF, len(lexeme) - SHORTEST_HALF + 1) if corpus.frequency(lexeme[:end])]
    starts = [
        start for start in range(SHORTEST_HALF, len(lexeme) - SHORTEST_HALF + 1) if corpus.frequency(lexeme[start:])
    ]
    fitting = [(start - end, -end, start) for end in ends for start in starts if 0 <= start - end <= LONGEST_JOINT]
    if not fitting:
        return None
    _, end, start = min(fitting)
    return lexeme[:-end], lexeme[start:]


def _lexemes(word: Word) -> list[str]:
    return list(dict.fromkeys([*(variant.lexeme for variant in word.variants if variant.lexeme), word.text]))


def fold(text: str) -> str:
    """Return a word without its accents, as people type it who have none on their keys."""
    return "".join(letter for letter in unicodedata.normalize("NFD", text) if not unicodedata.combining(letter))
