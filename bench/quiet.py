"""`hivemind` without a line for each request and without metrics: what these two cost is the difference.

There is no setting for it, since nobody should run it so; this puts empty functions in their places.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from unittest.mock import patch

from hivemind_common.bus import Bus
from hivemind_common.runtime import Service
from hivemind_gateway.edge import Edge
from hivemind_server import up
from hivemind_server.cli import main
from hivemind_server.fleet import Fleet


def _nothing(*_: object, **__: object) -> None:
    """Record nothing."""


def _command(service: Service) -> Sequence[str]:
    return (sys.executable, "-P", __file__, "service", service.name)


if __name__ == "__main__":
    with (
        patch.object(Edge, "_record", _nothing),
        patch.object(Bus, "count", _nothing),
        patch.object(up, "Fleet", partial(Fleet, command=_command)),
    ):
        sys.exit(main())
