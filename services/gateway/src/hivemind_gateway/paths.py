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
        self.allowed = {path: joined(names) for path, names in methods.items()}
        self._forms = [(re.compile(re.sub(r"{\w+}", "[^/]+", path)), allow) for path, allow in self.allowed.items()]

    def allow(self, path: str) -> str | None:
        """Return the methods of a path for the header `Allow`; None where there is no such path."""
        return next((allow for form, allow in self._forms if form.fullmatch(path)), None)
