"""Starters for a real Postgres and a real NATS out of their wheels; only `hivemind up` and tests use them."""
