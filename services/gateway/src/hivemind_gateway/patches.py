"""Merge patches (RFC 7396): what is absent stays as it is, and null makes empty what may be empty."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field

UNTOUCHED: Final[Any] = Field(default_factory=lambda: None)
"""Of a member that cannot be null: it is absent, and the schema shows no value for it."""


class Patch(BaseModel):
    """What to change of a thing."""

    model_config = ConfigDict(hide_input_in_errors=True)

    READ_ONLY: ClassVar[frozenset[str]] = frozenset()
    """Members that are shown and cannot be changed; whoever sends one is told so."""

    def given(self) -> dict[str, Any]:
        """Return the members that were sent with a value."""
        return {name: value for name in self.model_fields_set if (value := getattr(self, name)) is not None}

    def cleared(self) -> tuple[str, ...]:
        """Name the members that were sent as null."""
        return tuple(sorted(name for name in self.model_fields_set if getattr(self, name) is None))
