"""The SQL of golden questions, each statement on the connection that it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from hivemind_common.contracts.bots import TemplateQuestion
from hivemind_common.contracts.golden_questions import (
    MOST_QUESTIONS,
    BotGoneError,
    ExpectationChanges,
    GoldenQuestion,
    GoldenQuestionDraft,
    GoldenQuestionNotFoundError,
    TooManyQuestionsError,
)
from hivemind_common.db import Conn, refusing
from hivemind_common.ids import BotId, GoldenQuestionId, IdMaker

_COLUMNS: Final = "id, question, expect, created_at, updated_at"

LOCK_BOT: Final = "SELECT id FROM bots.bot WHERE id = $1 FOR NO KEY UPDATE"
COUNT: Final = "SELECT count(*) FROM bots.golden_question WHERE bot_id = $1"

ADD: Final = f"""
INSERT INTO bots.golden_question (bot_id, id, question, expect, created_at, updated_at, changed_by)
VALUES ($1, $2, $3, $4, $5, $5, $6)
RETURNING {_COLUMNS}
"""

GET: Final = f"SELECT {_COLUMNS} FROM bots.golden_question WHERE bot_id = $1 AND id = $2"

LIST: Final = f"""
SELECT {_COLUMNS}
  FROM bots.golden_question
 WHERE bot_id = $1 AND ($2::uuid IS NULL OR id < $2)
 ORDER BY id DESC
 LIMIT $3
"""

LOCK: Final = f"SELECT {_COLUMNS}, changed_by FROM bots.golden_question WHERE bot_id = $1 AND id = $2 FOR UPDATE"

EDIT: Final = f"""
UPDATE bots.golden_question
   SET question = $3, expect = $4, updated_at = greatest($5, updated_at), changed_by = $6
 WHERE bot_id = $1 AND id = $2
RETURNING {_COLUMNS}
"""

REMOVE: Final = "DELETE FROM bots.golden_question WHERE bot_id = $1 AND id = ANY ($2)"


@dataclass(frozen=True)
class Held:
    """A golden question whose row nobody else changes until the transaction ends."""

    question: GoldenQuestion
    changed_by: str


async def add_questions(
    conn: Conn, bot_id: BotId, drafts: Sequence[GoldenQuestionDraft], new_id: IdMaker, author: str, moment: datetime
) -> list[GoldenQuestion]:
    """Insert golden questions; raises `BotGoneError`, `TooManyQuestionsError`. Wants a transaction."""
    # Two who add at once wait for one another here, so that neither passes the limit.
    if await conn.fetchval(LOCK_BOT, bot_id) is None:
        raise BotGoneError
    if await conn.fetchval(COUNT, bot_id) + len(drafts) > MOST_QUESTIONS:
        raise TooManyQuestionsError
    added = []
    for draft in drafts:
        with refusing({"golden_question_bot": BotGoneError}):
            row = await conn.fetchrow(ADD, bot_id, new_id(), draft.question, _told(draft.expect), moment, author)
        added.append(_question(row))
    return added


async def get_question(conn: Conn, bot_id: BotId, question_id: GoldenQuestionId) -> GoldenQuestion:
    """Read one; raises `GoldenQuestionNotFoundError`."""
    row = await conn.fetchrow(GET, bot_id, question_id)
    if row is None:
        raise GoldenQuestionNotFoundError
    return _question(row)


async def list_questions(conn: Conn, bot_id: BotId, after: GoldenQuestionId | None, limit: int) -> list[GoldenQuestion]:
    """Read at most `limit`, newest first, beginning behind `after`."""
    return [_question(row) for row in await conn.fetch(LIST, bot_id, after, limit)]


async def lock_question(conn: Conn, bot_id: BotId, question_id: GoldenQuestionId) -> Held:
    """Read one and keep others from changing it; raises `GoldenQuestionNotFoundError`. Wants a transaction."""
    row = await conn.fetchrow(LOCK, bot_id, question_id)
    if row is None:
        raise GoldenQuestionNotFoundError
    return Held(_question(row), row["changed_by"])


async def edit_question(
    conn: Conn,
    bot_id: BotId,
    question_id: GoldenQuestionId,
    draft: GoldenQuestionDraft,
    author: str,
    moment: datetime,
) -> GoldenQuestion:
    """Write what a golden question is now. Wants the transaction that has locked it."""
    return _question(
        await conn.fetchrow(EDIT, bot_id, question_id, draft.question, _told(draft.expect), moment, author)
    )


async def remove_questions(conn: Conn, bot_id: BotId, question_ids: Sequence[GoldenQuestionId]) -> None:
    """Delete them."""
    await conn.execute(REMOVE, bot_id, list(question_ids))


def draft_of(kept: GoldenQuestion | TemplateQuestion) -> GoldenQuestionDraft:
    """Return what is kept as its author would write it."""
    return GoldenQuestionDraft.model_validate(kept.model_dump(include={"question", "expect"}))


def _told(expect: ExpectationChanges) -> dict[str, Any]:
    return expect.model_dump(mode="json", exclude_none=True)


def _question(row: Any) -> GoldenQuestion:
    return GoldenQuestion.model_validate(dict(row))
