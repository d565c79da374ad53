"""Secrets in texts, put together from `tests/data/planted_secrets`, and ordinary texts that are none."""

from __future__ import annotations

import random
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent / "data" / "planted_secrets"
_PART: Final = re.compile(r"\{(\w):(\d+)\}")


@dataclass(frozen=True)
class Planted:
    """A text with a secret in it, and where that stands."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def secret(self) -> str:
        """The secret itself."""
        return self.text[self.start : self.end]


def planted() -> list[Planted]:
    """Return each kind of secret in each carrier, always the same."""
    rules = tomllib.loads((FOLDER / "kinds.toml").read_text(encoding="utf-8"))
    alphabets = rules["alphabets"] | {"Q": rules["alphabets"]["q"].upper()}
    chance = random.Random(rules["seed"])
    carriers = (FOLDER / "carriers.txt").read_text(encoding="utf-8").splitlines()
    return [
        _plant(kind, carrier.replace("\\n", "\n"), alphabets, chance) for kind in rules["kind"] for carrier in carriers
    ]


def _plant(kind: dict[str, Any], carrier: str, alphabets: dict[str, str], chance: random.Random) -> Planted:
    def drawn(part: re.Match[str]) -> str:
        return "".join(chance.choice(alphabets[part[1]]) for _ in range(int(part[2])))

    parts = [_PART.sub(drawn, part) for part in kind["form"]]
    before, after = carrier.split("{}")
    told = "".join(parts[: kind.get("secret", 0)])
    whole = "".join(parts)
    return Planted(kind["name"], before + whole + after, len(before) + len(told), len(before) + len(whole))


def ordinary() -> list[str]:
    """Return texts without a secret: those that look like trouble, and the sections of our own pages."""
    lines = (FOLDER / "ordinary.txt").read_text(encoding="utf-8").splitlines()
    pages = sorted((FOLDER.parents[2] / "docs").rglob("*.md"))
    sections = [section for page in pages for section in re.split(r"\n(?=#)", page.read_text(encoding="utf-8"))]
    return [*lines, *(each for each in sections if each.strip())]
