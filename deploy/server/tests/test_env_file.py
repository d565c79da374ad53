from __future__ import annotations

from pathlib import Path

import pytest

from hivemind_server.console import RefusalError
from hivemind_server.env_file import parse_line, read_env_file


@pytest.mark.parametrize(
    ("line", "means"),
    [
        ("", {}),
        ("   # a comment", {}),
        ("KEY=value", {"KEY": "value"}),
        ("  export KEY = value  ", {"KEY": "value"}),
        ("KEY=", {"KEY": ""}),
        ("KEY=# nothing", {"KEY": ""}),
        ("KEY=a b # why", {"KEY": "a b"}),
        ("KEY=a#b", {"KEY": "a#b"}),
        ("KEY=a=b", {"KEY": "a=b"}),
        ("KEY='a # b'  # why", {"KEY": "a # b"}),
        (r"KEY='\n$HOME'", {"KEY": r"\n$HOME"}),
        (r'KEY="say \"hi\"\\\n"', {"KEY": 'say "hi"\\\n'}),
        ('KEY="ü # b"', {"KEY": "ü # b"}),
        ('KEY=""', {"KEY": ""}),
        ("KEY", None),
        ("=value", None),
        ("1KEY=value", None),
        ("KEY NAME=value", None),
        ("KEY='open", None),
        ('KEY="a" b', None),
        ("KEY=a\0b", None),
    ],
)
def test_a_line_means_what_compose_makes_of_it(line: str, means: dict[str, str] | None) -> None:
    assert parse_line(line) == means


def test_the_last_of_two_lines_counts_and_line_ends_do_not_matter(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_bytes(b"\xef\xbb\xbfA=1\r\nA=2\r\n\r\nB=3")
    assert read_env_file(file) == {"A": "2", "B": "3"}


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("A=1\n\nnonsense\n")
    with pytest.raises(RefusalError, match="line 3: this is not KEY=value"):
        read_env_file(file)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "env"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RefusalError, match="env file"):
        read_env_file(file)
