"""What the launcher runs."""

import sys

from hivemind_server.cli import main

if __name__ == "__main__":
    sys.exit(main())
