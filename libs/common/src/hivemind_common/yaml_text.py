"""YAML for documents that people keep: written so that any reader understands it, and read so that nothing surprises.

Read by the core schema of YAML 1.2 (section 10.3.2): `no` and `on` are words, and `2026-11-25` is no date. Anchors, tags and
members that are there twice are refused. Written with quotes wherever an older reader would see more in a word than its
letters, and texts of several lines as such.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

MOST_DEPTH: Final = 16
WIDTH: Final = 2**20
"""Lines are broken where the text breaks them, and nowhere else."""

_ODD: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,400}")
_OTHER_INTEGER: Final = re.compile(r"0o[0-7]{1,100}|0x[0-9a-fA-F]{1,100}")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: Final[Mapping[str, bool | None]] = (
    dict.fromkeys(("", "~", "null", "Null", "NULL"))
    | dict.fromkeys(("true", "True", "TRUE"), True)
    | dict.fromkeys(("false", "False", "FALSE"), False)
)


class NotYamlError(Exception):
    """The text cannot be read; the message says why, and in which line."""


def read(text: str) -> list[Any]:
    """Return the documents of a text, those without content left out; raises `NotYamlError`."""
    try:
        return [document for document in _documents(yaml.parse(text, Loader=yaml.CSafeLoader)) if document is not None]
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise NotYamlError(f"{fault.problem or fault.context}{where}") from None
    except yaml.YAMLError as fault:  # a character that YAML does not know
        raise NotYamlError(str(fault).partition("\n")[0]) from None


def write(value: Any) -> str:
    """Return a value as YAML, its members in their order."""
    written = yaml.dump(
        value,
        Dumper=_PlainWriter if _is_plain(value) else _Writer,
        allow_unicode=True,
        sort_keys=False,
        width=WIDTH,
    )
    # The mark of an end, which a text that ends in empty lines brings with it; others may go on behind it.
    return str(written[:-4] if written.endswith("\n...\n") else written)


def _documents(events: Iterator[Any]) -> Iterator[Any]:
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            yield _value(next(events), events, 0)


def _value(event: Any, events: Iterator[Any], depth: int) -> Any:
    if getattr(event, "anchor", None) is not None:
        raise _refused(event, "anchors and aliases are not read here: write the text out")
    if getattr(event, "tag", None) is not None:
        raise _refused(event, "tags are not read here: leave them out")
    if depth > MOST_DEPTH:
        raise _refused(event, f"it is nested deeper than {MOST_DEPTH} levels")
    if isinstance(event, yaml.SequenceStartEvent):
        return list(_items(events, depth))
    if isinstance(event, yaml.MappingStartEvent):
        return _mapping(events, depth)
    return _scalar(event.value) if event.implicit[0] else event.value


def _items(events: Iterator[Any], depth: int) -> Iterator[Any]:
    while not isinstance(event := next(events), yaml.SequenceEndEvent):
        yield _value(event, events, depth + 1)


def _mapping(events: Iterator[Any], depth: int) -> dict[str, Any]:
    members: dict[str, Any] = {}
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        if not isinstance(event, yaml.ScalarEvent):
            raise _refused(event, "the name of a member must be a word")
        if event.value in members:
            raise _refused(event, f"the member {event.value!r} is there twice")
        members[event.value] = _value(next(events), events, depth + 1)
    return members


def _scalar(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _OTHER_INTEGER.fullmatch(text):
        return int(text, 0)
    return float(text) if _FLOAT.fullmatch(text) else text


def _refused(event: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


def _is_plain(value: Any) -> bool:
    """Whether all characters are of the first plane: libyaml writes others, such as emoji, as escapes."""
    if isinstance(value, str):
        return value.isascii() or max(value) <= "\uffff"
    if isinstance(value, Mapping):
        return all(_is_plain(each) for each in value.values())
    return all(_is_plain(each) for each in value) if isinstance(value, list) else True


class _Writer(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # the signature is the library's
        """Write a value that is there twice twice."""
        return True


class _PlainWriter(yaml.CSafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # as above
        """Write a value that is there twice twice."""
        return True


def _text(dumper: Any, text: str) -> Any:
    # Quoted, these are written as escapes; left to themselves some of them end lines for one reader and not for another.
    style = '"' if _ODD.search(text) else "|" if "\n" in text else None
    if not isinstance(_scalar(text), str):
        style = "'"  # a number or a word of its own to us, if not to an older reader
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Writer.add_representer(str, _text)
_PlainWriter.add_representer(str, _text)
