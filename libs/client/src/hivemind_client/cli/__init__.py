"""`hm`: operate a Hivemind server from a terminal or a script."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; Ctrl-C is 130 at any moment, and while all of it is loading too."""
    try:
        from hivemind_client.cli import program

        return program.run(argv)
    except KeyboardInterrupt:
        return 130
