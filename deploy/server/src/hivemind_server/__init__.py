"""The `hivemind` command: all services over servers of its own, or one of them alone."""
