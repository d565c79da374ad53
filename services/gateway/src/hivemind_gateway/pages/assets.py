"""The files that pages are made of, each under a name that changes with its content: kept by browsers for a year."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

_KINDS: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_NAMED: Final = re.compile(rb'url\("([\w.-]+)"\)')


@dataclass(frozen=True)
class Asset:
    """One file as it is served."""

    body: bytes
    content_type: str


class Assets:
    """All files, read once."""

    def __init__(self) -> None:
        self._found: dict[str, Asset] = {}
        self._served_as: dict[str, str] = {}
        given = {each.name: each.read_bytes() for each in files("hivemind_gateway.pages").joinpath("static").iterdir()}
        # A style sheet names pictures, so it comes after them.
        for name in sorted(given, key=lambda name: (name.endswith(".css"), name)):
            body = _NAMED.sub(lambda match: f'url("{self._served_as[match[1].decode()]}")'.encode(), given[name])
            stem, _, ending = name.rpartition(".")
            served_as = f"{stem}.{hashlib.blake2b(body, digest_size=8).hexdigest()}.{ending}"
            self._served_as[name] = served_as
            self._found[served_as] = Asset(body, _KINDS[ending])

    def path(self, name: str) -> str:
        """Return where a file is served."""
        return f"/static/{self._served_as[name]}"

    def find(self, served_as: str) -> Asset | None:
        """Return what is served under this name."""
        return self._found.get(served_as)
