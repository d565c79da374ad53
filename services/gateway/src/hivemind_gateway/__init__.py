"""The only door: HTTP in, calls over the bus out."""
