"""Golden questions: what a bot is to be measured by. They are kept here; asking them is still to come."""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError

from hivemind_bots import golden_sql
from hivemind_common import audit
from hivemind_common.bus import Call
from hivemind_common.clock import Clock
from hivemind_common.contracts.edits import check_expected
from hivemind_common.contracts.golden_questions import (
    AddGoldenQuestion,
    EditGoldenQuestion,
    Expect,
    ExpectationChanges,
    GoldenQuestion,
    GoldenQuestionDraft,
    GoldenQuestionOf,
    GoldenQuestionPage,
    ListGoldenQuestions,
    RemoveGoldenQuestion,
)
from hivemind_common.contracts.kinds import Nothing
from hivemind_common.db import Database
from hivemind_common.errors import ValidationFailedError
from hivemind_common.ids import IdMaker

_EXPECT: TypeAdapter[ExpectationChanges] = TypeAdapter(Expect)


class GoldenQuestions:
    """All bots' golden questions."""

    def __init__(self, database: Database, *, clock: Clock, new_id: IdMaker) -> None:
        self._database = database
        self._clock = clock
        self._new_id = new_id

    async def add(self, call: Call, request: AddGoldenQuestion) -> GoldenQuestion:
        """Keep a golden question."""
        async with self._database.transaction() as conn:
            [added] = await golden_sql.add_questions(
                conn, request.bot_id, [request.draft], self._new_id, call.principal.name, self._clock()
            )
            details = {"bot_id": request.bot_id}
            await audit.record(conn, call, "golden_question.added", target=added.id, details=details)
        return added

    async def get(self, _call: Call, request: GoldenQuestionOf) -> GoldenQuestion:
        """Show one."""
        async with self._database.connection() as conn:
            return await golden_sql.get_question(conn, request.bot_id, request.question_id)

    async def list_page(self, _call: Call, request: ListGoldenQuestions) -> GoldenQuestionPage:
        """Show a page, newest first."""
        async with self._database.connection() as conn:
            found = await golden_sql.list_questions(conn, request.bot_id, request.after, request.limit + 1)
        return GoldenQuestionPage(items=tuple(found[: request.limit]), more=len(found) > request.limit)

    async def edit(self, call: Call, request: EditGoldenQuestion) -> GoldenQuestion:
        """Change a golden question. What changes nothing leaves it as it is."""
        async with self._database.transaction() as conn:
            held = await golden_sql.lock_question(conn, request.bot_id, request.question_id)
            check_expected(request.expected, held.question, held.changed_by)
            draft = _edited(held.question, request)
            if (draft.question, draft.expect.model_dump()) == (
                held.question.question,
                held.question.expect.model_dump(),
            ):
                return held.question
            edited = await golden_sql.edit_question(
                conn, request.bot_id, request.question_id, draft, call.principal.name, self._clock()
            )
            details = {"bot_id": request.bot_id}
            await audit.record(conn, call, "golden_question.changed", target=request.question_id, details=details)
        return edited

    async def remove(self, call: Call, request: RemoveGoldenQuestion) -> Nothing:
        """Forget a golden question."""
        async with self._database.transaction() as conn:
            held = await golden_sql.lock_question(conn, request.bot_id, request.question_id)
            check_expected(request.expected, held.question, held.changed_by)
            await golden_sql.remove_questions(conn, request.bot_id, [request.question_id])
            details = {"bot_id": request.bot_id}
            await audit.record(conn, call, "golden_question.removed", target=request.question_id, details=details)
        return Nothing()


def _edited(before: GoldenQuestion, request: EditGoldenQuestion) -> GoldenQuestionDraft:
    expect = before.expect.model_dump()
    if request.expect is not None:
        expect |= request.expect.model_dump(exclude_none=True)
    expect |= dict.fromkeys(request.clears)
    try:
        merged = _EXPECT.validate_python(expect)
    except ValidationError as fault:
        raise ValidationFailedError.at("expect", fault.errors()[0]["type"], fault.errors()[0]["msg"]) from None
    return GoldenQuestionDraft(question=request.question or before.question, expect=merged)
