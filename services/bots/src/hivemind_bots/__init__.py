"""Bots, templates and the turn of a conversation."""
