from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hivemind_bots.quote import compose, pieces
from hivemind_common.contracts.knowledge import Passage
from hivemind_common.ids import SnippetId, new_id


def passage(quote: str, coverage: float) -> Passage:
    return Passage(snippet_id=SnippetId(new_id()), title="t", body=f"{quote} more", quote=quote, coverage=coverage)


def test_an_answer_is_passages_with_the_numbers_of_their_citations() -> None:
    reply, citations = compose([passage("One.", 0.9), passage("Two.", 0.85)])

    assert reply == "One. [1]\n\nTwo. [2]"
    assert [citation.quote for citation in citations] == ["One.", "Two."]


def test_what_is_much_weaker_than_the_best_is_not_quoted() -> None:
    reply, _ = compose([passage("One.", 0.9), passage("Two.", 0.4)])

    assert reply == "One. [1]"


def test_three_passages_are_the_most() -> None:
    _, citations = compose([passage(f"{number}.", 0.9) for number in range(5)])

    assert len(citations) == 3


@given(st.text())
def test_the_pieces_are_the_reply(reply: str) -> None:
    assert "".join(pieces(reply)) == reply
