"""The provider `quote`: no model at all. It answers with what the bot was taught, word for word, or says that it
does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hivemind_common.contracts.bots import Citation
from hivemind_common.contracts.knowledge import Passage

MOST_PASSAGES: Final = 3
NEARLY_AS_GOOD: Final = 0.85
"""A further passage is quoted when it covers at least this share of what the best one covers."""

I_DO_NOT_KNOW: Final = "I don't know. Nothing that I was taught covers this question."


def compose(passages: Sequence[Passage]) -> tuple[str, tuple[Citation, ...]]:
    """Write the answer and its citations; `[n]` in the answer points at the nth of them."""
    chosen = [passage for passage in passages if passage.coverage >= NEARLY_AS_GOOD * passages[0].coverage]
    chosen = chosen[:MOST_PASSAGES]
    reply = "\n\n".join(f"{passage.quote} [{number}]" for number, passage in enumerate(chosen, start=1))
    return reply, tuple(
        Citation(snippet_id=passage.snippet_id, title=passage.title, quote=passage.quote) for passage in chosen
    )


def pieces(reply: str) -> list[str]:
    """Cut a reply into the deltas of a stream; together they are the reply."""
    words = reply.split(" ")
    groups = [" ".join(words[start : start + 8]) for start in range(0, len(words), 8)]
    return [group + " " for group in groups[:-1]] + groups[-1:]
