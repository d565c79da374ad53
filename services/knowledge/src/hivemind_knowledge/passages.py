"""Which sentences of a snippet to show for a question. No I/O: texts and places in, texts out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import Final

Span = tuple[int, int]
"""First character, and the one behind the last."""

START_MARK: Final = "\ue000"
STOP_MARK: Final = "\ue001"
MARKS: Final = (START_MARK, STOP_MARK)
"""Private-use characters; a text that holds them by itself is shown without highlights."""

LONGEST_EXCERPT: Final = 300
LONGEST_QUOTE: Final = 700
MOST_SENTENCES: Final = 8

LATER: Final = 0.25
"""How much of a word a passage loses for each sentence that stands before it."""

IDLE: Final = 0.3
"""And for each of its own sentences that holds none of them."""

MOST_MATCHES: Final = 400
"""Places in one text that are looked at; a text of 20,000 characters may hold thousands."""

_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*(?=\s|$)|[。！？]+[」』）]*|\n\s*\n|\n(?=\s*(?:[-*#>|]|\d+[.)]|```))")
_UNSPACED = re.compile("[\u0e00-\u0e7f\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff]")


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


def written_matches(body: str, lexemes: Iterable[str]) -> list[Span]:
    """Find words that Postgres takes apart otherwise when it marks a text than when it reads it for the index.

    Those are pairs of characters where no blanks part the words, part numbers in any spelling, and words inside a name
    such as getUserName.
    """
    patterns = [pattern for lexeme in lexemes if (pattern := _written(lexeme))]
    if not patterns:
        return []
    found = re.finditer("|".join(patterns), body)
    return [match.span() for match, _ in zip(found, range(MOST_MATCHES), strict=False)]


def _written(lexeme: str) -> str:
    if _UNSPACED.search(lexeme):
        return re.escape(lexeme)
    if any(letter.isdigit() for letter in lexeme):
        spelled = "[-_.]?".join(re.escape(letter) for letter in lexeme)
        return rf"(?i:(?<![^\W_]){spelled}(?![^\W_]))"
    return rf"(?<=[a-z0-9]){re.escape(lexeme.capitalize())}" if len(lexeme) > 2 else ""


def joined(spans: Iterable[Span]) -> list[Span]:
    """Return spans in order, those that overlap as one."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start < found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found[:MOST_MATCHES]


def sentences_of(body: str) -> list[Span]:
    """Split a text into sentences, without the blanks between them; lines of lists and code count as sentences.

    What is longer than `LONGEST_QUOTE` without an end is cut between words.
    """
    spans: list[Span] = []
    start = 0
    for end in [*(match.end() for match in _SENTENCE_END.finditer(body)), len(body)]:
        text = body[start:end]
        stripped = text.strip()
        if stripped:
            first = start + text.index(stripped[0])
            spans.extend(_cut(body, first, first + len(stripped)))
        start = end
    return spans


def _cut(body: str, start: int, end: int) -> Iterator[Span]:
    while end - start > LONGEST_QUOTE:
        blank = body.rfind(" ", start + LONGEST_QUOTE // 2, start + LONGEST_QUOTE)
        stop = blank if blank > 0 else start + LONGEST_QUOTE
        yield start, stop
        start = stop + 1 if blank > 0 else stop
    if body[start:end].strip():
        yield start, end


def best_passage(body: str, matches: list[Span]) -> str:
    """Choose the run of whole sentences that holds the most different words of the question.

    An answer begins with what matters, so a run further down must hold more of them.
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
