"""What bots know: snippets, and finding them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints
from pydantic.functional_validators import AfterValidator
from pydantic_core import PydanticCustomError

from hivemind_common.contracts.health import health_of
from hivemind_common.contracts.kinds import Instant, Message, Nothing, Rpc
from hivemind_common.contracts.texts import NOT_BLANK, described, not_blank
from hivemind_common.errors import HivemindError, Kind
from hivemind_common.ids import BotId, SnippetId

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
Language = Annotated[str, AfterValidator(_known_language), described(enum=list(LANGUAGES))]
Question = Annotated[str, StringConstraints(min_length=1, max_length=8_000)]


class SnippetNotFoundError(HivemindError):
    """This bot has no such snippet."""

    code = "snippet_not_found"
    kind = Kind.NOT_FOUND
    words = "this bot has no such snippet"


class CorpusGoneError(HivemindError):
    """The bot was deleted while it was being taught."""

    code = "bot_not_found"
    kind = Kind.NOT_FOUND
    words = "there is no such bot"


class SnippetDraft(Message):
    """A snippet as its author writes it."""

    title: Title
    body: Body
    tags: Annotated[tuple[Tag, ...], Field(max_length=20)] = ()
    source: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = None
    language: Language | None = None


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


class SnippetOf(Message):
    """Name one snippet of one bot."""

    bot_id: BotId
    snippet_id: SnippetId


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


class Passage(Message):
    """A snippet that covers a question: the whole of it, and the sentences of its body that fit best, as they stand."""

    snippet_id: SnippetId
    title: str
    body: str
    quote: str
    coverage: float
    """Share of the question, by weight of its words, that the snippet covers: 0 to 1."""


class PassagesFound(Message):
    """Passages, the best first; none when nothing covers the question."""

    items: tuple[Passage, ...]


KNOWLEDGE_HEALTH = health_of("knowledge")

ADD_SNIPPET = Rpc("knowledge.v1.snippet.add", AddSnippet, Snippet, errors=(CorpusGoneError,))
"""Found by the next search after the answer; a bot's first snippet also turns its knowledge search on."""

GET_SNIPPET = Rpc("knowledge.v1.snippet.get", SnippetOf, Snippet, errors=(SnippetNotFoundError,))
LIST_SNIPPETS = Rpc("knowledge.v1.snippet.list", ListSnippets, SnippetPage)
REMOVE_SNIPPET = Rpc("knowledge.v1.snippet.remove", SnippetOf, Nothing, errors=(SnippetNotFoundError,))
SEARCH_SNIPPETS = Rpc("knowledge.v1.snippet.search", SearchSnippets, SearchResult)
FIND_PASSAGES = Rpc("knowledge.v1.passage.find", FindPassages, PassagesFound)
