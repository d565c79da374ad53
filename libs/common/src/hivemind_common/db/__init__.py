"""Postgres as a service holds it."""

from hivemind_common.db.pool import Conn, Database, open_database
from hivemind_common.db.refusing import refusing

__all__ = ["Conn", "Database", "open_database", "refusing"]
