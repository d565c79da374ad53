"""The paths of the table as they are spelled: for what never reaches the router, or reaches it under another spelling."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hivemind_gateway.problems import joined


class Paths:
    """Every path, and the methods that it knows."""

    def __init__(self, rows: Iterable[tuple[str, str]]) -> None:
        methods: dict[str, set[str]] = {}
        for method, path in rows:
            methods.setdefault(path, {"OPTIONS"}).update({"GET", "HEAD"} if method == "GET" else {method})
        self._allowed = {path: joined(names) for path, names in methods.items()}
        self._forms = {
            path: re.compile("[^/]+".join(re.escape(piece) for piece in re.split(r"{\w+}", path)))
            for path in self._allowed
        }

    def allow(self, path: str) -> str | None:
        """Return the methods of a path for the header `Allow`; None where there is no such path."""
        return next((self._allowed[name] for name, form in self._forms.items() if form.fullmatch(path)), None)

    def is_spelled(self, path: str, pattern: str) -> bool:
        """Whether a path that the router has found spells the pattern's own words as they stand there."""
        form = self._forms.get(pattern)
        return form is not None and form.fullmatch(path) is not None
