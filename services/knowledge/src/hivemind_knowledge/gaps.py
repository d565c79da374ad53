"""Questions that a bot had no answer to: kept, counted, shown, and turned into snippets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from hivemind_common.contracts.knowledge import Gap, GapNotFoundError
from hivemind_common.db import Conn
from hivemind_common.ids import BotId, GapId

MOST_KEPT: Final = 500
"""Gaps of one bot; what was asked longest ago makes room."""

KEPT: Final = timedelta(days=90)
LONGEST_QUESTION: Final = 500

_COLUMNS: Final = "id, question, asked, last_asked_at"

# A bot that was deleted meanwhile has no gaps.
KEEP_GAP = """
INSERT INTO knowledge.gap AS gap (bot_id, id, words, question, asked, last_asked_at)
SELECT bot_id, $2, $3, $4, 1, $5 FROM knowledge.corpus WHERE bot_id = $1
ON CONFLICT ON CONSTRAINT gap_words DO UPDATE SET asked = gap.asked + 1, last_asked_at = EXCLUDED.last_asked_at
RETURNING asked
"""

THIN_OUT = """
DELETE FROM knowledge.gap
 WHERE bot_id = $1
   AND (last_asked_at < $2
        OR id IN (SELECT id FROM knowledge.gap WHERE bot_id = $1 ORDER BY last_asked_at DESC, id DESC OFFSET $3))
"""

LIST_GAPS = f"""
SELECT {_COLUMNS} FROM knowledge.gap
 WHERE bot_id = $1 AND last_asked_at >= $4 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3
"""

GET_GAP = f"SELECT {_COLUMNS} FROM knowledge.gap WHERE bot_id = $1 AND id = $2 AND last_asked_at >= $3"
CLOSE_GAP = "DELETE FROM knowledge.gap WHERE bot_id = $1 AND id = $2 RETURNING id"


async def keep(
    conn: Conn, bot_id: BotId, gap_id: GapId, question: str, lexemes: Iterable[str], moment: datetime
) -> None:
    """Count a question without an answer; those that ask for the same words are one."""
    words = hashlib.sha256("\n".join(sorted(set(lexemes))).encode()).digest()
    shown = question.strip()
    if len(shown) > LONGEST_QUESTION:
        shown = shown[: LONGEST_QUESTION - 1] + "…"
    if await conn.fetchval(KEEP_GAP, bot_id, gap_id, words, shown, moment) == 1:
        await conn.execute(THIN_OUT, bot_id, moment - KEPT, MOST_KEPT)


async def list_gaps(conn: Conn, bot_id: BotId, after: GapId | None, limit: int, moment: datetime) -> list[Gap]:
    """Read at most `limit`, the newest first, beginning behind `after`."""
    rows = await conn.fetch(LIST_GAPS, bot_id, after, limit, moment - KEPT)
    return [Gap.model_validate(dict(row)) for row in rows]


async def get(conn: Conn, bot_id: BotId, gap_id: GapId, moment: datetime) -> Gap:
    """Read one; raises `GapNotFoundError`."""
    row = await conn.fetchrow(GET_GAP, bot_id, gap_id, moment - KEPT)
    if row is None:
        raise GapNotFoundError
    return Gap.model_validate(dict(row))


async def close(conn: Conn, bot_id: BotId, gap_id: GapId) -> None:
    """Forget one; raises `GapNotFoundError`."""
    if await conn.fetchval(CLOSE_GAP, bot_id, gap_id) is None:
        raise GapNotFoundError
