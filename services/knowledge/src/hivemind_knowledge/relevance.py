"""What covers a question, and which sentences to show of it. No I/O: texts and counts in, verdicts out."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Final

Span = tuple[int, int]
"""First character, and the one behind the last."""

START_MARK: Final = "\ue000"
STOP_MARK: Final = "\ue001"
MARKS: Final = (START_MARK, STOP_MARK)
"""Private-use characters; a text that holds them by itself is shown without highlights."""

LEAST_COVERAGE: Final = 0.35
"""Share of a question's weight that a snippet must hold to count as an answer; a shared common word holds less."""

PRIOR: Final = 50
"""Snippets that a small corpus is imagined to have besides its own, so that the weight of words means something there."""

LONGEST_EXCERPT: Final = 300
LONGEST_QUOTE: Final = 700
MOST_SENTENCES: Final = 8

LATER: Final = 0.25
"""How much of a word a passage loses for each sentence that stands before it."""

IDLE: Final = 0.3
"""And for each of its own sentences that holds none of them."""

MOST_MATCHES: Final = 400
"""Places in one text that are looked at; a text of 20,000 characters may hold thousands."""

_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*(?=\s|$)|\n\s*\n|\n(?=\s*(?:[-*#>|]|\d+[.)]|```))")


def weight_of(frequency: int, snippet_count: int) -> float:
    """Return the inverse document frequency of a lexeme, as in BM25 (Robertson and Zaragoza 2009, formula 3.6)."""
    total = snippet_count + PRIOR
    return math.log(1 + (total - frequency + 0.5) / (frequency + 0.5))


def coverage(
    asked: Collection[str], matched: Collection[str], frequencies: Mapping[str, int], snippet_count: int
) -> float:
    """Return which share of a question a snippet holds, its lexemes weighed by how rare they are: 0 to 1."""
    weights = {lexeme: weight_of(frequencies.get(lexeme, 0), snippet_count) for lexeme in asked}
    whole = sum(weights.values())
    return sum(weights[lexeme] for lexeme in matched) / whole if whole else 0.0


def covers(asked: Collection[str], matched: Collection[str], share: float) -> bool:
    """Whether a snippet answers a question: it holds enough of it, and more than one word where more were asked."""
    return share >= LEAST_COVERAGE and len(matched) >= min(2, len(asked))


def matches_in(body: str, marked: str) -> list[Span]:
    """Read where the marks stand, as spans of `body`; none when the marked text is not the body with marks."""
    spans: list[Span] = []
    pieces = re.split(f"([{START_MARK}{STOP_MARK}])", marked)
    if "".join(piece for piece in pieces if piece not in {START_MARK, STOP_MARK}) != body:
        return []
    place, opened = 0, 0
    for piece in pieces:
        if piece == START_MARK:
            opened = place
        elif piece == STOP_MARK:
            spans.append((opened, place))
        else:
            place += len(piece)
    return spans[:MOST_MATCHES]


def sentences_of(body: str) -> list[Span]:
    """Split a text into sentences, without the blanks between them; lines of lists and code count as sentences."""
    spans = []
    start = 0
    for end in [*(match.end() for match in _SENTENCE_END.finditer(body)), len(body)]:
        text = body[start:end]
        stripped = text.strip()
        if stripped:
            first = start + text.index(stripped[0])
            spans.append((first, first + len(stripped)))
        start = end
    return spans


def best_passage(body: str, matches: list[Span]) -> str:
    """Choose the run of whole sentences that holds the most different words of the question.

    An answer begins with what matters, so a run further down must hold more of them. A sentence that is longer than
    `LONGEST_QUOTE` stands alone.
    """
    sentences = sentences_of(body)
    if not sentences:
        return body.strip()
    words = [{body[a:b].casefold() for a, b in matches if start <= a and b <= end} for start, end in sentences]
    best, best_score = sentences[0], -math.inf
    for first, (start, _) in enumerate(sentences):
        held: set[str] = set()
        idle = 0
        for place in range(first, min(first + MOST_SENTENCES, len(sentences))):
            end = sentences[place][1]
            if end - start > LONGEST_QUOTE and place > first:
                break
            held |= words[place]
            idle += not words[place]
            # A run grows for another word of the question, not for a word that it has already.
            score = len(held) - 0.001 * (end - start) - LATER * first - IDLE * idle
            if score > best_score:
                best, best_score = (start, end), score
    return body[best[0] : _completed(sentences, best)]


def _completed(sentences: list[Span], passage: Span) -> int:
    """Let a very short passage go on to the next sentence: a heading or a lone yes explains nothing."""
    end = passage[1]
    for start, stop in sentences:
        if start >= end and end - passage[0] < 80 and stop - passage[0] <= LONGEST_QUOTE:
            end = stop
    return end


def excerpt_of(body: str, matches: list[Span]) -> tuple[str, list[Span]]:
    """Cut at most `LONGEST_EXCERPT` characters around the densest matches; the spans are positions in the excerpt."""
    if len(body) <= LONGEST_EXCERPT:
        return body, matches
    best, most = 0, -1
    for start, _ in matches or [(0, 0)]:
        window = max(0, start - 40)
        words = {body[a:b].casefold() for a, b in matches if window <= a and b <= window + LONGEST_EXCERPT}
        if len(words) > most:
            best, most = window, len(words)
    if best and (blank := body.find(" ", best, best + 40)) >= 0:
        best = blank + 1
    end = min(len(body), best + LONGEST_EXCERPT)
    if end < len(body) and (blank := body.rfind(" ", best + LONGEST_EXCERPT // 2, end)) > 0:
        end = blank
    return body[best:end], [(a - best, b - best) for a, b in matches if best <= a and b <= end]
