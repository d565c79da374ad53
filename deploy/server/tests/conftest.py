from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every account may pass: as root the servers run as another one, and pytest closes its own."""
    with tempfile.TemporaryDirectory(prefix="hivemind-up-") as name:
        Path(name).chmod(0o711)
        yield Path(name)
