"""Snippets, and finding them."""
