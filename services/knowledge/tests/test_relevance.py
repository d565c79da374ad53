from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemind_knowledge.relevance import (
    LONGEST_EXCERPT,
    START_MARK,
    STOP_MARK,
    best_passage,
    coverage,
    covers,
    excerpt_of,
    matches_in,
    sentences_of,
)


def spans(body: str, *words: str) -> list[tuple[int, int]]:
    return sorted((body.index(word), body.index(word) + len(word)) for word in words)


def test_a_rare_word_weighs_more_than_a_common_one() -> None:
    frequencies = {"day": 900, "refund": 3}

    rare = coverage(["day", "refund"], ["refund"], frequencies, 1000)
    common = coverage(["day", "refund"], ["day"], frequencies, 1000)

    assert rare > 0.9
    assert common < 0.1
    assert coverage(["day", "refund"], ["day", "refund"], frequencies, 1000) == 1
    assert coverage([], [], {}, 0) == 0


def test_one_shared_word_covers_only_a_question_of_one_word() -> None:
    assert covers(["refund"], ["refund"], 1.0)
    assert not covers(["refund", "policy"], ["refund"], 0.9)
    assert covers(["refund", "policy", "mars"], ["refund", "policy"], 0.6)
    assert not covers(["a", "b", "c", "d", "e", "f"], ["a", "b"], 0.2)


def test_marks_become_places() -> None:
    body = "A refund takes ten days."
    marked = body.replace("refund", f"{START_MARK}refund{STOP_MARK}")

    assert matches_in(body, marked) == spans(body, "refund")


@pytest.mark.parametrize("marked", ["another text", f"A {STOP_MARK}", ""])
def test_marked_text_that_is_not_the_body_marks_nothing(marked: str) -> None:
    assert matches_in("A body.", marked) == []


def test_sentences_end_where_people_end_them() -> None:
    body = "Use 1.5 GB. Is it safe? (Yes!) See hivemind.example.\n\n- one\n- two\n\n```sh\nrun\n```\n"

    assert [body[start:end] for start, end in sentences_of(body)] == [
        "Use 1.5 GB.",
        "Is it safe?",
        "(Yes!)",
        "See hivemind.example.",
        "- one",
        "- two",
        "```sh\nrun",
        "```",
    ]


def test_the_passage_holds_the_most_words_of_the_question() -> None:
    body = "We like you. Shipping is free everywhere in the world and always was. A refund takes ten days after the return."

    passage = best_passage(body, spans(body, "refund", "days", "return"))

    assert passage == "A refund takes ten days after the return."


def test_a_short_passage_takes_the_next_sentence_along() -> None:
    body = "Yes, refunds. They take ten days after the return reached us, sometimes eleven."

    assert best_passage(body, spans(body, "refunds")) == body


@given(st.text(min_size=1, max_size=3000).filter(str.strip), st.data())
def test_passages_and_excerpts_stand_in_the_body_letter_for_letter(body: str, data: st.DataObject) -> None:
    places = st.integers(0, len(body))
    pairs = data.draw(st.lists(st.tuples(places, places), max_size=8))
    matches = sorted({(min(pair), max(pair)) for pair in pairs})

    assert best_passage(body, matches) in body
    excerpt, highlights = excerpt_of(body, matches)
    assert excerpt in body
    assert len(excerpt) <= LONGEST_EXCERPT
    assert all(0 <= start <= end <= len(excerpt) for start, end in highlights)
