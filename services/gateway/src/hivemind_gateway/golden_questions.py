"""Golden questions of a bot."""

from __future__ import annotations

from typing import Any

from hivemind_common.contracts.bots import BotNotFoundError, BotRef
from hivemind_common.contracts.edits import Expected
from hivemind_common.contracts.golden_questions import (
    ADD_GOLDEN_QUESTION,
    EDIT_GOLDEN_QUESTION,
    GET_GOLDEN_QUESTION,
    LIST_GOLDEN_QUESTIONS,
    REMOVE_GOLDEN_QUESTION,
    AddGoldenQuestion,
    EditGoldenQuestion,
    ExpectationChanges,
    GoldenQuestion,
    GoldenQuestionDraft,
    GoldenQuestionNotFoundError,
    GoldenQuestionOf,
    ListGoldenQuestions,
    Question,
    RemoveGoldenQuestion,
)
from hivemind_common.contracts.kinds import Message
from hivemind_common.ids import GoldenQuestionId
from hivemind_gateway import cursors
from hivemind_gateway.patches import UNTOUCHED, Patch
from hivemind_gateway.problems import InvalidCursorError
from hivemind_gateway.queries import PageQuery
from hivemind_gateway.routing import Access, Reply, Request, Routes, created

routes = Routes()


class GoldenQuestionPatch(Patch):
    """What to change of a golden question."""

    READ_ONLY = frozenset({"id", "created_at", "updated_at"})

    question: Question = UNTOUCHED
    expect: ExpectationChanges = UNTOUCHED


class GoldenQuestionList(Message):
    """A page of golden questions."""

    items: tuple[GoldenQuestion, ...]
    next: str | None


def _id(request: Request) -> GoldenQuestionId:
    return GoldenQuestionId(request.path_id("id", GoldenQuestionNotFoundError))


async def find_question(request: Request, bot: BotRef) -> bytes:
    """Return the golden question that the path names, as it is shown; raises `GoldenQuestionNotFoundError`."""
    named = GoldenQuestionOf(bot_id=bot.id, question_id=_id(request))
    return await request.call.ask_raw(GET_GOLDEN_QUESTION, named)


@routes.post(
    "/api/v1/bots/{slug}/golden-questions",
    access=Access.BOTS_WRITE,
    status=201,
    refuses=(BotNotFoundError, *ADD_GOLDEN_QUESTION.errors),
    is_tagged=True,
    example={"question": "When do I get my money back?", "expect": {"snippets": ["Refunds"], "contains": ["ten days"]}},
)
async def add_question(request: Request, bot: BotRef, body: GoldenQuestionDraft) -> Reply[GoldenQuestion]:
    """Keep a question, and what its answer must be."""
    kept = await request.call.ask(ADD_GOLDEN_QUESTION, AddGoldenQuestion(bot_id=bot.id, draft=body))
    return created(kept, at=f"/api/v1/bots/{bot.slug}/golden-questions/{kept.id}")


@routes.get(
    "/api/v1/bots/{slug}/golden-questions",
    access=Access.BOTS_INSPECT,
    refuses=(BotNotFoundError, InvalidCursorError),
)
async def list_questions(request: Request, bot: BotRef, query: PageQuery) -> Reply[GoldenQuestionList]:
    """List the golden questions of a bot, newest first."""
    scope = f"/api/v1/bots/{bot.id}/golden-questions"
    after = cursors.id_of(scope, query.cursor)
    wanted = ListGoldenQuestions(
        bot_id=bot.id, limit=query.limit, after=GoldenQuestionId(after) if after is not None else None
    )
    page = await request.call.ask(LIST_GOLDEN_QUESTIONS, wanted)
    following = cursors.write(scope, str(page.items[-1].id)) if page.more else None
    return Reply(GoldenQuestionList(items=page.items, next=following))


@routes.get(
    "/api/v1/bots/{slug}/golden-questions/{id}",
    access=Access.BOTS_INSPECT,
    finds=find_question,
    refuses=(BotNotFoundError, GoldenQuestionNotFoundError),
    is_tagged=True,
)
async def show_question(request: Request, bot: BotRef) -> Reply[GoldenQuestion]:
    """Show one golden question."""
    return Reply(await find_question(request, bot))


@routes.patch(
    "/api/v1/bots/{slug}/golden-questions/{id}",
    access=Access.BOTS_WRITE,
    finds=find_question,
    refuses=(BotNotFoundError, *EDIT_GOLDEN_QUESTION.errors),
    is_tagged=True,
    example={"expect": {"contains": ["eight days"], "cites": None}},
)
async def edit_question(
    request: Request, bot: BotRef, body: GoldenQuestionPatch, expected: Expected | None
) -> Reply[GoldenQuestion]:
    """Change a golden question: what is absent stays, within `expect` too, and `null` expects nothing of the kind."""
    given: dict[str, Any] = body.given()
    expect = body.expect if "expect" in given else None
    edit = EditGoldenQuestion(
        bot_id=bot.id,
        question_id=_id(request),
        clears=tuple(sorted(name for name in expect.model_fields_set if getattr(expect, name) is None))
        if expect is not None
        else (),
        expected=expected,
        **given,
    )
    return Reply(await request.call.ask_raw(EDIT_GOLDEN_QUESTION, edit))


@routes.delete(
    "/api/v1/bots/{slug}/golden-questions/{id}",
    access=Access.BOTS_WRITE,
    finds=find_question,
    refuses=(BotNotFoundError, *REMOVE_GOLDEN_QUESTION.errors),
)
async def remove_question(request: Request, bot: BotRef, expected: Expected | None) -> Reply[None]:
    """Forget a golden question."""
    removal = RemoveGoldenQuestion(bot_id=bot.id, question_id=_id(request), expected=expected)
    await request.call.ask(REMOVE_GOLDEN_QUESTION, removal)
    return Reply(None, 204)
