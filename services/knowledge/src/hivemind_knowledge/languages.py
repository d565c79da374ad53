"""Which language a text is in. The model is loaded when it is first needed: an instance in one language rarely does."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from functools import cache
from typing import Any, Final

from hivemind_common.contracts.knowledge import LANGUAGES

NONE_WE_KNOW: Final = "und"
"""ISO 639-2 for undetermined: such a text is found by its words as they stand, uninflected."""

SURE: Final = 0.7
LIKELY: Final = 0.2
LONGEST_LOOKED_AT: Final = 4_000


async def detect(text: str, usual: Collection[str]) -> str:
    """Return the language of a text, or `NONE_WE_KNOW`.

    `usual` are those that the bot was taught in, the first one first: a text too short to tell is in one of them.
    """
    return await asyncio.to_thread(_detect, text[:LONGEST_LOOKED_AT], tuple(usual))


def _detect(text: str, usual: tuple[str, ...]) -> str:
    ranked = _identifier().rank(text)
    scores = dict(ranked)
    first, probability = ranked[0]
    if probability >= SURE:
        return first if first in LANGUAGES else NONE_WE_KNOW
    # Doubt between a language that we know and a neighbour of it that we do not is none.
    best = max(LANGUAGES, key=lambda language: scores[language])
    if scores[best] >= max(LIKELY, SURE * sum(scores[language] for language in LANGUAGES)):
        return best
    known = [language for language in usual or ("en",) if language in LANGUAGES]
    return max(known, key=lambda language: scores[language], default=NONE_WE_KNOW)


async def choose(text: str, among: Collection[str]) -> str:
    """Return which of several languages a question is most likely in."""
    return await asyncio.to_thread(_choose, text[:LONGEST_LOOKED_AT], tuple(among))


def _choose(text: str, among: tuple[str, ...]) -> str:
    scores = dict(_identifier().rank(text))
    return max(among, key=lambda language: scores.get(language, 0.0))


@cache
def _identifier() -> Any:
    # Here, for it takes 80 MB that most never need.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # type: ignore[import-untyped]  # has no types

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
