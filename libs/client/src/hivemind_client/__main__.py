"""`python -m hivemind_client` is `hm`."""

import sys

from hivemind_client.cli import main

if __name__ == "__main__":
    sys.exit(main())
