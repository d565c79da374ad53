"""YAML is read without surprises, and what is written is read back letter for letter."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hivemind_common.yaml_text import NotYamlError, read, write

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30) | st.text(
    "a01eE .\n-:#|'\"\t\x85\u2028\U0001f642", max_size=12
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS.filter(bool), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES.filter(lambda value: value is not None))
def test_what_is_written_is_read_back(value: Any) -> None:
    assert read(write(value)) == [value]
    assert read(write([value]) + write([value])) == [[value, value]]


@given(st.dictionaries(st.sampled_from("abc"), TEXTS))
def test_what_is_written_says_the_same_to_an_older_reader(members: dict[str, str]) -> None:
    assert yaml.safe_load(write(members)) == members


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("2026-11-25", "2026-11-25"),
        ("12:30:45", "12:30:45"),
        ("1_000", "1_000"),
        ("0777", 777),
        ("0o17", 15),
        ("0x1F", 31),
        ("1e3", 1000.0),
        (".5", 0.5),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("'5'", "5"),
        ('"true"', "true"),
        ("True", True),
        ("a: ~", {"a": None}),
        ("a:", {"a": None}),
        ("a: |\n  x\n   y\n", {"a": "x\n y\n"}),
        ("<<: {a: 1}", {"<<": {"a": 1}}),
        ("=", "="),
    ],
)
def test_words_are_what_the_core_schema_says(text: str, value: Any) -> None:
    assert read(text) == [value]


def test_documents_without_content_are_none() -> None:
    assert read("") == read("---\n---\n# nothing\n") == []
    assert read("---\na: 1\n---\n---\nb: 2\n") == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [1", "line 2"),
        ("a: 1\na: 2", "'a' is there twice in line 2, column 1"),
        ("a: &x 1\nb: *x", "anchors and aliases are not read here: write the text out in line 1, column 4"),
        ("a: *x", "anchors and aliases"),
        ("a: !!python/object:os.system x", "tags are not read here"),
        ("a: !secret x", "tags are not read here"),
        ("[a]: 1", "the name of a member must be a word"),
        ("a: b: c", "line 1"),
        ("\tb: 1", "line 1"),
        ("a: \x07", "control characters are not allowed"),
        ("[" * 40, "nested deeper"),
        ("{a: " * 40, "nested deeper"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(text: str, why: str) -> None:
    with pytest.raises(NotYamlError, match=why.replace("(", r"\(")) as refused:
        read(text)
    assert "\n" not in str(refused.value)


def test_many_aliases_are_no_bomb() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"{c}: &{c} [*{p}, *{p}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True))
    with pytest.raises(NotYamlError):
        read(bomb)


def test_texts_of_several_lines_and_emoji_are_written_as_people_read_them() -> None:
    assert write({"a": "one\ntwo", "b": "🙂 good\nday"}) == "a: |-\n  one\n  two\nb: |-\n  🙂 good\n  day\n"
