"""Benchmarks: each one command, `.venv/bin/python -m bench.NAME`, that prints a table and leaves its rounds in results/."""
