"""Random messages: a strategy for every model of a contract, made from its fields and their limits."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin
from uuid import UUID

from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from hivemind_common.contracts.golden_questions import can_be_met
from hivemind_common.contracts.knowledge import LANGUAGES
from hivemind_common.contracts.texts import BLANKS, NOT_BLANK

M = TypeVar("M", bound=BaseModel)

Values = st.SearchStrategy[Any]

_MOST_ITEMS: Final = 3
_LONGEST: Final = 40
"""More of either is slower, and no different on the wire; what has to be longer than this is."""

_BIGGEST: Final = 2**63 - 1
_LIMITS: Final = ("ge", "le", "min_length", "max_length", "pattern", "strip_whitespace")

_BY_RULE: Final[Mapping[str, Values]] = {
    "_is_slug": st.from_regex(r"[a-z0-9][a-z0-9-]{1,30}[a-z0-9]", fullmatch=True).filter(lambda slug: slug != "new"),
    "_is_provider_name": st.from_regex(r"[a-z0-9][a-z0-9-]{1,30}[a-z0-9]", fullmatch=True),
    "_is_origin": st.from_regex(r"https?://[a-z0-9.-]{1,30}(:[0-9]{1,5})?", fullmatch=True),
    "_one_at": st.from_regex(f"[^@{BLANKS}]{{1,30}}@[^@{BLANKS}]{{1,30}}", fullmatch=True),
    "_known_language": st.sampled_from(LANGUAGES),
}
"""Texts that a validator of our own judges, by its name."""

_FILTERS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "not_blank": lambda text: re.search(NOT_BLANK, text) is not None,
    "can_be_met": lambda expect: _passes(can_be_met, expect),
    "_no_twins": lambda values: len(set(values)) == len(values),
}


def _passes(rule: Callable[[Any], Any], value: Any) -> bool:
    try:
        rule(value)
    except PydanticCustomError:
        return False
    return True


def messages_of(model: type[M]) -> st.SearchStrategy[M]:
    """Return messages of a model; each member that has a default is left out in some of them."""
    hints = {name: _values_of(field.annotation, field.metadata) for name, field in model.model_fields.items()}
    needed = {name: hints[name] for name, field in model.model_fields.items() if field.is_required()}
    others = {name: values for name, values in hints.items() if name not in needed}
    return st.fixed_dictionaries(needed, optional=others).map(model.model_validate)


def _values_of(annotation: Any, metadata: Any = ()) -> Values:
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return _values_of(inner, (*metadata, *more))
    rules = [each.func.__name__ for each in metadata if isinstance(each, AfterValidator)]
    for rule in rules:
        if rule in _BY_RULE:
            return _BY_RULE[rule]
    values = _plain(annotation, _limits(metadata))
    for rule in rules:
        values = values.filter(_FILTERS[rule])
    return values


def _limits(metadata: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in metadata:
        if isinstance(each, FieldInfo):
            found |= _limits(each.metadata)
        found |= {name: value for name in _LIMITS if (value := getattr(each, name, None)) is not None}
    return found


def _plain(annotation: Any, limits: Mapping[str, Any]) -> Values:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return messages_of(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return st.sampled_from(annotation)
    if hasattr(annotation, "__supertype__"):
        return _values_of(annotation.__supertype__)
    return _compound(annotation, limits) if get_origin(annotation) else _SIMPLE[annotation](limits)


def _compound(annotation: Any, limits: Mapping[str, Any]) -> Values:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return st.sampled_from(inner)
    if origin in {Union, types.UnionType}:
        return st.one_of(*(_values_of(each) for each in inner))
    if origin is dict:
        return st.dictionaries(_values_of(inner[0]), _values_of(inner[1]), max_size=_MOST_ITEMS)
    if origin is tuple and inner[1:] == (...,):
        most = min(limits.get("max_length", _MOST_ITEMS), _MOST_ITEMS)
        return st.lists(_values_of(inner[0]), min_size=limits.get("min_length", 0), max_size=most).map(tuple)
    if origin is tuple:
        return st.tuples(*(_values_of(each) for each in inner))
    raise TypeError(f"no examples of {annotation}: say here what they are")


def _text(limits: Mapping[str, Any]) -> Values:
    if "pattern" in limits:
        return st.from_regex(limits["pattern"].removesuffix("$"), fullmatch=True)
    least = limits.get("min_length", 0)
    texts: Values = st.text(min_size=least, max_size=min(limits.get("max_length", _LONGEST), _LONGEST))
    return texts.filter(lambda text: len(text.strip()) >= least) if limits.get("strip_whitespace") else texts


def _moment(_limits: Mapping[str, Any]) -> Values:
    # As a clock tells it: with milliseconds, in UTC.
    moments = st.datetimes(datetime(2000, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis wants them so
    return moments.map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000))


_SIMPLE: Final[Mapping[Any, Callable[[Mapping[str, Any]], Values]]] = {
    str: _text,
    int: lambda limits: st.integers(limits.get("ge", -_BIGGEST), limits.get("le", _BIGGEST)),
    float: lambda limits: st.floats(limits.get("ge"), limits.get("le"), allow_nan=False, allow_infinity=False),
    bool: lambda _limits: st.booleans(),
    UUID: lambda _limits: st.uuids(),
    datetime: _moment,
    type(None): lambda _limits: st.none(),
}
