"""Rules of texts that the messages of several owners share."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

NOT_BLANK: Final = "\\S"
"""What a text that is not blank matches, for those who read the schema."""


def described(**keywords: Any) -> FieldInfo:
    """Say in the JSON schema what a rule written in Python asks for; it checks nothing."""
    return Field(json_schema_extra=keywords)  # type: ignore[no-any-return]  # pydantic types it as the field's value


def not_blank(text: str) -> str:
    """Refuse a text of nothing but blanks."""
    if not text.strip():
        raise PydanticCustomError("blank", "must not be blank")
    return text
