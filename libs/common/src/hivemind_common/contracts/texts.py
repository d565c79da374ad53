"""Rules of texts that the messages of several owners share."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import Field
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

BLANKS: Final = r"\s\x1c-\x1f\x85\ufeff"
"""Blanks, for a class of a pattern: each dialect of those who read the schema knows some of the last six and not others."""

NOT_BLANK: Final = f"[^{BLANKS}]"
"""What a text that is not blank matches."""


def described(**keywords: Any) -> FieldInfo:
    """Say in the JSON schema what a rule written in Python asks for; it checks nothing."""
    return Field(json_schema_extra=keywords)  # type: ignore[no-any-return]  # pydantic types it as the field's value


def not_blank(text: str) -> str:
    """Refuse a text of nothing but blanks."""
    if not re.search(NOT_BLANK, text):
        raise PydanticCustomError("blank", "must not be blank")
    return text
