"""The SQL of uploads that are on their way."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from hivemind_common.db import Conn

KEEP: Final = """
INSERT INTO bots.upload (id, place, piece, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (id, place) DO NOTHING
"""
TAKE: Final = "DELETE FROM bots.upload WHERE id = $1 RETURNING place, piece"
TAKE_TURN: Final = "SELECT pg_advisory_xact_lock(hashtextextended('bots.apply', 0))"
FORGET: Final = "DELETE FROM bots.upload WHERE created_at < $1"


async def keep(conn: Conn, upload_id: UUID, place: int, text: str, moment: datetime) -> None:
    """Keep a piece; the same one again is the same."""
    await conn.execute(KEEP, upload_id, place, text.encode(), moment)


async def take(conn: Conn, upload_id: UUID, pieces: int) -> str | None:
    """Take all pieces out as one text; None unless all of them are there."""
    rows = sorted(await conn.fetch(TAKE, upload_id), key=lambda row: int(row["place"]))
    return b"".join(row["piece"] for row in rows).decode() if len(rows) == pieces else None


async def forget(conn: Conn, before: datetime) -> None:
    """Forget what nobody has applied."""
    await conn.execute(FORGET, before)


async def take_turn(conn: Conn) -> None:
    """Wait until nobody else applies anything: each locks many bots, and two would wait for one another."""
    await conn.execute(TAKE_TURN)
