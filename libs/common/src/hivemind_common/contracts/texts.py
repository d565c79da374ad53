"""Rules of texts that the messages of several owners share."""

from __future__ import annotations

from pydantic_core import PydanticCustomError


def not_blank(text: str) -> str:
    """Refuse a text of nothing but blanks."""
    if not text.strip():
        raise PydanticCustomError("blank", "must not be blank")
    return text
