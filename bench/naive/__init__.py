"""The baseline: the same read, written the plain way in an afternoon. Frozen: see README.md."""
