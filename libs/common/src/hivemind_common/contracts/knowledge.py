"""What bots know: snippets, and finding them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, StringConstraints
from pydantic.functional_validators import AfterValidator
from pydantic_core import PydanticCustomError

from hivemind_common.contracts.edits import Expected, PreconditionFailedError
from hivemind_common.contracts.health import health_of
from hivemind_common.contracts.kinds import Instant, Message, Nothing, Rpc
from hivemind_common.contracts.texts import NOT_BLANK, described, not_blank
from hivemind_common.errors import HivemindError, Kind
from hivemind_common.ids import BotId, GapId, SnippetId

MOST_JUDGED = 200

LANGUAGES = ("da", "de", "en", "es", "fi", "fr", "it", "nl", "no", "pt", "ru", "sv")
"""ISO 639-1 codes of the languages whose inflections are understood."""


def _known_language(code: str) -> str:
    if code not in LANGUAGES:
        raise PydanticCustomError("unknown", "must be one of {known}", {"known": ", ".join(LANGUAGES)})
    return code


Title = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, strip_whitespace=True),
    AfterValidator(not_blank),
    described(pattern=NOT_BLANK),
]
Body = Annotated[
    str,
    StringConstraints(min_length=1, max_length=20_000),
    AfterValidator(not_blank),
    described(pattern=NOT_BLANK),
]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=40)]
Tags = Annotated[tuple[Tag, ...], Field(max_length=20)]
Source = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Reason = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, strip_whitespace=True),
    AfterValidator(not_blank),
    described(pattern=NOT_BLANK),
]
Language = Annotated[str, AfterValidator(_known_language), described(enum=list(LANGUAGES))]
Question = Annotated[str, StringConstraints(min_length=1, max_length=8_000)]


class SnippetNotFoundError(HivemindError):
    """This bot has no such snippet."""

    code = "snippet_not_found"
    kind = Kind.NOT_FOUND
    words = "this bot has no such snippet"


class LooksLikeSecretError(HivemindError):
    """What bots know is told to whoever asks them; `facts["errors"]` says where the text looks like a secret."""

    code = "looks_like_secret"
    kind = Kind.INVALID

    @classmethod
    def at(cls, places: Sequence[tuple[str, int, int, str]]) -> LooksLikeSecretError:
        """Name the members, and in each the first character, the one behind the last, and what it looks like."""
        errors = [
            {"path": path, "code": cls.code, "message": f"looks like {kind}", "start": start, "end": end}
            for path, start, end, kind in places
        ]
        path, start, end, kind = places[0]
        words = f"{path}: characters {start} to {end} look like {kind}, and a bot tells what it knows to whoever asks"
        return cls(f"{words}: take it out, or send allow_secret with the reason", facts={"errors": errors})


class GapNotFoundError(HivemindError):
    """This bot has no such question without an answer."""

    code = "gap_not_found"
    kind = Kind.NOT_FOUND
    words = "this bot has no such question without an answer"


class CorpusGoneError(HivemindError):
    """The bot was deleted while it was being taught."""

    code = "bot_not_found"
    kind = Kind.NOT_FOUND
    words = "there is no such bot"


class SnippetDraft(Message):
    """A snippet as its author writes it."""

    title: Title
    body: Body
    tags: Tags = ()
    source: Source | None = None
    language: Language | None = None
    """None: it is detected."""
    allow_secret: Reason | None = None
    """Why text that looks like a secret is none, or may be known to whoever asks."""


class Snippet(Message):
    """A snippet as it is kept."""

    id: SnippetId
    title: str
    body: str
    tags: tuple[str, ...]
    source: str | None
    language: str | None
    created_at: Instant
    updated_at: Instant


class AddSnippet(Message):
    """Teach a bot one thing."""

    bot_id: BotId
    draft: SnippetDraft


class JudgeSnippets(Message):
    """Ask what would become of snippets: whether they may be kept, and which language each is in."""

    drafts: Annotated[tuple[SnippetDraft, ...], Field(max_length=MOST_JUDGED)]
    usual: tuple[str, ...] = ()
    """Languages that the bot was taught in, the first one first."""


class Judgement(Message):
    """The language of each; `und` is none that is known."""

    languages: tuple[str, ...]


class SnippetOf(Message):
    """Name one snippet of one bot."""

    bot_id: BotId
    snippet_id: SnippetId


class EditSnippet(Message):
    """Change what is given of a snippet and leave the rest; what `clears` names becomes empty."""

    bot_id: BotId
    snippet_id: SnippetId
    title: Title | None = None
    body: Body | None = None
    tags: Tags | None = None
    source: Source | None = None
    language: Language | None = None
    clears: tuple[Literal["tags", "source", "language"], ...] = ()
    """A language that is cleared is detected again."""
    allow_secret: Reason | None = None
    expected: Expected | None = None


class RemoveSnippet(Message):
    """Forget one snippet of one bot."""

    bot_id: BotId
    snippet_id: SnippetId
    expected: Expected | None = None


class RemoveTagged(Message):
    """Forget the snippets of one bot that have a tag."""

    bot_id: BotId
    tag: Tag


class SnippetsRemoved(Message):
    """How many were forgotten."""

    deleted: int


class ListSnippets(Message):
    """Ask for a page, newest first; `after` is the last snippet of the page before."""

    bot_id: BotId
    limit: int = Field(50, ge=1, le=200)
    after: SnippetId | None = None


class SnippetPage(Message):
    """A page; `more` says whether another follows."""

    items: tuple[Snippet, ...]
    more: bool


class SearchSnippets(Message):
    """Find snippets by what they say."""

    bot_id: BotId
    query: Annotated[str, StringConstraints(min_length=1, max_length=1_000)]
    limit: int = Field(10, ge=1, le=50)


class SearchHit(Message):
    """A snippet that was found. Positions are characters of the excerpt."""

    id: SnippetId
    title: str
    score: float
    excerpt: str
    highlights: tuple[tuple[int, int], ...]


class SearchResult(Message):
    """Hits, the best first."""

    items: tuple[SearchHit, ...]


class FindPassages(Message):
    """Find what a bot may answer with."""

    bot_id: BotId
    question: Question
    limit: int = Field(5, ge=1, le=20)
    strictness: Literal["lenient", "normal", "strict"] = "normal"
    """How much of the question a snippet has to cover."""
    keeps_gap: bool = False
    """Whether a question that nothing covers is kept, for whoever teaches the bot."""


class Passage(Message):
    """A snippet that covers a question: the whole of it, and the sentences of its body that fit best, as they stand."""

    snippet_id: SnippetId
    title: str
    body: str
    quote: str
    coverage: float
    """How far the snippet covers the question; comparable between questions and bots, and about 1 when it does well."""


class PassagesFound(Message):
    """Passages, the best first; none when nothing covers the question."""

    items: tuple[Passage, ...]


class Gap(Message):
    """A question that a bot had no answer to, and how often it was asked."""

    id: GapId
    question: str
    asked: int
    last_asked_at: Instant


class ListGaps(Message):
    """Ask for a page, what was first asked last first; `after` is the last gap of the page before."""

    bot_id: BotId
    limit: int = Field(50, ge=1, le=200)
    after: GapId | None = None


class GapPage(Message):
    """A page; `more` says whether another follows."""

    items: tuple[Gap, ...]
    more: bool


class GapOf(Message):
    """Name one gap of one bot."""

    bot_id: BotId
    gap_id: GapId


class FillGap(Message):
    """Teach a bot what was missing; the gap is gone."""

    bot_id: BotId
    gap_id: GapId
    draft: SnippetDraft


KNOWLEDGE_HEALTH = health_of("knowledge")

ADD_SNIPPET = Rpc("knowledge.v1.snippet.add", AddSnippet, Snippet, errors=(CorpusGoneError, LooksLikeSecretError))
"""Found by the next search after the answer; a bot's first snippet also turns its knowledge search on."""

GET_SNIPPET = Rpc("knowledge.v1.snippet.get", SnippetOf, Snippet, errors=(SnippetNotFoundError,))
LIST_SNIPPETS = Rpc("knowledge.v1.snippet.list", ListSnippets, SnippetPage)
JUDGE_SNIPPETS = Rpc(
    "knowledge.v1.snippet.judge",
    JudgeSnippets,
    Judgement,
    errors=(LooksLikeSecretError,),
    timeout=timedelta(seconds=30),
)
"""Refused like an addition: the place of a secret reads `3.body` for the fourth one's body."""

EDIT_SNIPPET = Rpc(
    "knowledge.v1.snippet.edit",
    EditSnippet,
    Snippet,
    errors=(SnippetNotFoundError, PreconditionFailedError, LooksLikeSecretError),
)
"""The next search after the answer finds it as it is now."""

REMOVE_SNIPPET = Rpc(
    "knowledge.v1.snippet.remove", RemoveSnippet, Nothing, errors=(SnippetNotFoundError, PreconditionFailedError)
)
REMOVE_TAGGED = Rpc("knowledge.v1.snippet.remove-tagged", RemoveTagged, SnippetsRemoved)
SEARCH_SNIPPETS = Rpc("knowledge.v1.snippet.search", SearchSnippets, SearchResult)
FIND_PASSAGES = Rpc("knowledge.v1.passage.find", FindPassages, PassagesFound)

LIST_GAPS = Rpc("knowledge.v1.gap.list", ListGaps, GapPage)
GET_GAP = Rpc("knowledge.v1.gap.get", GapOf, Gap, errors=(GapNotFoundError,))
FILL_GAP = Rpc("knowledge.v1.gap.fill", FillGap, Snippet, errors=(GapNotFoundError, LooksLikeSecretError))
"""The snippet is there and the gap is gone, or neither."""

DISMISS_GAP = Rpc("knowledge.v1.gap.dismiss", GapOf, Nothing, errors=(GapNotFoundError,))
