"""A folder that every account may pass: as root the servers run as another one, and pytest closes its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import up


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hivemind-e2e-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture(scope="module")
def used(open_folder: Path) -> Path:
    """A folder in which Hivemind has run."""
    folder = open_folder / "used"
    with up(folder):
        pass
    return folder
