"""Rules of texts that several forms share."""

from pydantic_core import PydanticCustomError


def not_blank(text: str) -> str:
    """Refuse a text of nothing but blanks."""
    if not text.strip():
        raise PydanticCustomError("blank", "must not be blank")
    return text
