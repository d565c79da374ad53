"""A folder that every account may pass: as root the servers run as another one, and pytest closes its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hivemind-e2e-") as name:
        Path(name).chmod(0o711)
        yield Path(name)
