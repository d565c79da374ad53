"""What all tests share beside the plugin: the bus lets the real services do what they declare, and no more."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from hivemind_common.bus.permissions import Permissions, all_permissions
from hivemind_server.services import SERVICES


@pytest.fixture(scope="session")
def allowed() -> Mapping[str, Permissions]:
    """Return the allow-lists under which an instance runs."""
    return all_permissions(SERVICES)
