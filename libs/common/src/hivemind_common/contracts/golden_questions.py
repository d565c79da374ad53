"""Golden questions: what a bot is asked before a change of it goes live, and what the answers must be."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from hivemind_common.contracts.edits import Expected, PreconditionFailedError
from hivemind_common.contracts.kinds import Instant, Message, Nothing, Rpc
from hivemind_common.contracts.texts import NOT_BLANK, described, not_blank
from hivemind_common.errors import HivemindError, Kind
from hivemind_common.ids import BotId, GoldenQuestionId

MOST_QUESTIONS = 500
"""Of one bot; each costs a turn whenever they are run."""

Question = Annotated[
    str, StringConstraints(min_length=1, max_length=8_000), AfterValidator(not_blank), described(pattern=NOT_BLANK)
]
SnippetTitle = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Words = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class GoldenQuestionNotFoundError(HivemindError):
    """This bot has no such golden question."""

    code = "golden_question_not_found"
    kind = Kind.NOT_FOUND
    words = "this bot has no such golden question"


class Expectation(Message):
    """What an answer must be: the titles of snippets that it cites, words in it and not in it, whether it cites or refuses."""

    snippets: tuple[str, ...] | None = None
    contains: tuple[str, ...] | None = None
    not_contains: tuple[str, ...] | None = None
    cites: bool | None = None
    refuses: bool | None = None


class ExpectationChanges(Message):
    """The same as its author writes it, as far as it goes."""

    snippets: Annotated[tuple[SnippetTitle, ...], Field(max_length=20)] | None = None
    contains: Annotated[tuple[Words, ...], Field(max_length=20)] | None = None
    not_contains: Annotated[tuple[Words, ...], Field(max_length=20)] | None = None
    cites: bool | None = None
    refuses: bool | None = None


def can_be_met(expect: ExpectationChanges) -> ExpectationChanges:
    """Refuse an expectation of nothing, and one that no answer can meet."""
    if not any((expect.snippets, expect.contains, expect.not_contains)) and expect.cites is expect.refuses is None:
        known = ", ".join(Expectation.model_fields)
        raise PydanticCustomError("empty", "must expect something: {known}", {"known": known})
    if expect.refuses and (expect.snippets or expect.cites):
        raise PydanticCustomError("conflict", "an answer that refuses cites nothing")
    return expect


Expect = Annotated[
    ExpectationChanges,
    AfterValidator(can_be_met),
    described(
        anyOf=[
            {"required": [name], "properties": {name: {"type": "array", "minItems": 1}}}
            for name in ("snippets", "contains", "not_contains")
        ]
        + [{"required": [name], "properties": {name: {"type": "boolean"}}} for name in ("cites", "refuses")]
    ),
]


class GoldenQuestionDraft(Message):
    """A golden question as its author writes it."""

    question: Question
    expect: Expect


class GoldenQuestion(Message):
    """A golden question as it is kept."""

    id: GoldenQuestionId
    question: str
    expect: Expectation
    created_at: Instant
    updated_at: Instant


class AddGoldenQuestion(Message):
    """Give a bot a golden question."""

    bot_id: BotId
    draft: GoldenQuestionDraft


class GoldenQuestionOf(Message):
    """Name one golden question of one bot."""

    bot_id: BotId
    question_id: GoldenQuestionId


class EditGoldenQuestion(Message):
    """Change what is given of a golden question and leave the rest. Of what it expects, `clears` expects nothing any more."""

    bot_id: BotId
    question_id: GoldenQuestionId
    question: Question | None = None
    expect: ExpectationChanges | None = None
    clears: Annotated[tuple[str, ...], Field(max_length=10)] = ()
    expected: Expected | None = None


class RemoveGoldenQuestion(Message):
    """Forget a golden question."""

    bot_id: BotId
    question_id: GoldenQuestionId
    expected: Expected | None = None


class ListGoldenQuestions(Message):
    """Ask for a page of a bot's golden questions, newest first; `after` is the last id of the page before."""

    bot_id: BotId
    limit: int = Field(50, ge=1, le=200)
    after: GoldenQuestionId | None = None


class GoldenQuestionPage(Message):
    """A page; `more` says whether another follows."""

    items: tuple[GoldenQuestion, ...]
    more: bool


class BotGoneError(HivemindError):
    """The bot was deleted meanwhile."""

    code = "bot_not_found"
    kind = Kind.NOT_FOUND
    words = "there is no such bot"


class TooManyQuestionsError(HivemindError):
    """A bot has so many golden questions already that running them all would take too long."""

    code = "too_many_questions"
    kind = Kind.CONFLICT
    words = f"a bot keeps {MOST_QUESTIONS} golden questions at most; delete one first"


ADD_GOLDEN_QUESTION = Rpc(
    "bots.v1.golden-question.add", AddGoldenQuestion, GoldenQuestion, errors=(BotGoneError, TooManyQuestionsError)
)
GET_GOLDEN_QUESTION = Rpc(
    "bots.v1.golden-question.get", GoldenQuestionOf, GoldenQuestion, errors=(GoldenQuestionNotFoundError,)
)
LIST_GOLDEN_QUESTIONS = Rpc("bots.v1.golden-question.list", ListGoldenQuestions, GoldenQuestionPage)
EDIT_GOLDEN_QUESTION = Rpc(
    "bots.v1.golden-question.edit",
    EditGoldenQuestion,
    GoldenQuestion,
    errors=(GoldenQuestionNotFoundError, PreconditionFailedError),
)
REMOVE_GOLDEN_QUESTION = Rpc(
    "bots.v1.golden-question.remove",
    RemoveGoldenQuestion,
    Nothing,
    errors=(GoldenQuestionNotFoundError, PreconditionFailedError),
)
