"""`hivemind` with one more user on the bus, who may hear everything: no setting lets anybody in so far."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Final
from unittest.mock import patch

from hivemind_common.bus.permissions import Permissions, all_permissions
from hivemind_common.runtime import Service
from hivemind_server import fleet
from hivemind_server.cli import main

LISTENER: Final = "listener"


def _and_one_more(services: Sequence[Service]) -> Mapping[str, Permissions | None]:
    return {**all_permissions(services), LISTENER: None}


if __name__ == "__main__":
    with patch.object(fleet, "all_permissions", _and_one_more):
        sys.exit(main())
