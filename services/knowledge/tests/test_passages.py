from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemind_knowledge.passages import (
    LONGEST_EXCERPT,
    LONGEST_QUOTE,
    START_MARK,
    STOP_MARK,
    best_passage,
    excerpt_of,
    joined,
    matches_in,
    sentences_of,
    written_matches,
)


def spans(body: str, *words: str) -> list[tuple[int, int]]:
    return sorted((body.index(word), body.index(word) + len(word)) for word in words)


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


def test_a_text_without_an_end_is_cut_between_words() -> None:
    body = "word " * 4_000

    passage = best_passage(body, [(10_000, 10_004)])

    assert passage in body
    assert len(passage) <= LONGEST_QUOTE
    assert passage.startswith("word ")
    assert len(best_passage("x" * 20_000, [])) <= LONGEST_QUOTE


def test_sentences_end_without_blanks_where_a_script_has_none() -> None:
    body = "返金は十日かかります。送料は無料です！「はい。」次"

    assert [body[start:end] for start, end in sentences_of(body)] == [
        "返金は十日かかります。",
        "送料は無料です！",
        "「はい。」",
        "次",
    ]


@pytest.mark.parametrize(
    ("body", "lexeme", "found"),
    [
        ("返金は十日", "返金", ["返金"]),
        ("Order AB-1234 or ab1234, not AB12345", "ab1234", ["AB-1234", "ab1234"]),
        ("Call getUserName()", "user", ["User"]),
        ("A user is no User", "user", []),
        ("a.b", "a", []),
    ],
)
def test_what_the_index_takes_apart_is_marked(body: str, lexeme: str, found: list[str]) -> None:
    assert [body[start:end] for start, end in written_matches(body, [lexeme])] == found


def test_marks_that_overlap_are_one() -> None:
    assert joined([(4, 6), (0, 2), (1, 3), (3, 4)]) == [(0, 3), (3, 4), (4, 6)]
