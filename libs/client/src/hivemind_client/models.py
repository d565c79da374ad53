"""What the API speaks of. Members that this version does not know are accepted and kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr


class Document(BaseModel):
    """A JSON object of the server's. `raw` is the object as it came, for those who pass it on."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    _raw: dict[str, Any] = PrivateAttr(default_factory=dict)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Self:
        """Take an object as the server sent it; pydantic's ValidationError when it is not of this kind."""
        document = cls.model_validate(raw)
        document._raw = dict(raw)  # noqa: SLF001  # of an instance that was made here
        return document

    @property
    def raw(self) -> dict[str, Any]:
        """The object as it came, unknown members and order included."""
        return self._raw


class FieldProblem(Document):
    """One wrong member; `path` is dotted, as in `tags.0`."""

    path: str
    code: str
    message: str


class Problem(Document):
    """A refusal, as the server words it."""

    title: str = ""
    status: int | None = None
    code: str = ""
    detail: str = ""
    request_id: str | None = None
    errors: list[FieldProblem] = []


class Registration(Document):
    """The first administrator; `api_key` is told this once and never again."""

    id: str
    username: str
    email: str
    role: str
    api_key: str


class Session(Document):
    """A sign-in by password. `token` is the value of the cookie `hm_session`."""

    username: str
    email: str
    role: str
    expires_at: str

    _token: str = PrivateAttr(default="")

    @property
    def token(self) -> str:
        """The secret that proves the session."""
        return self._token

    def with_token(self, token: str) -> Self:
        """The same session, knowing its secret."""
        self._token = token
        return self


class OpenSession(Document):
    """One of the sessions of an account, as the list of them shows it; `current` is the one that asks."""

    id: str
    created_at: str
    last_seen_at: str
    expires_at: str
    address: str
    user_agent: str
    current: bool


class Account(Document):
    """Who is asking, and by which credential."""

    id: str | None
    username: str
    email: str | None = None
    role: str | None
    auth: str
    scopes: list[str] = []


class Choice(Document):
    """A provider and a model."""

    provider: str | None = None
    model: str | None = None


class Readiness(Document):
    """One thing that a bot still lacks."""

    code: str
    detail: str = ""


class Bot(Document):
    """A bot. Callers with the role `user` see the first five members only."""

    slug: str
    name: str
    description: str = ""
    tier: str = ""
    status: str = ""
    system_prompt: str | None = None
    provider: str | None = None
    model: str | None = None
    effective: Choice | None = None
    readiness: list[Readiness] = []
    snippet_count: int | None = None
    version: int | None = None
    pinned_version: int | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    grounding: str | None = None
    strictness: str | None = None
    channel_reply_mode: str | None = None
    allowed_users: list[str] = []
    allowed_origins: list[str] = []
    allow_hosted_provider: bool | None = None
    retention_days: int | None = None
    knowledge_search_enabled: bool | None = None
    cost_cap_day_micro_usd: int | None = None
    cost_cap_month_micro_usd: int | None = None
    rate_limit_per_minute: int | None = None
    user_rate_limit_per_minute: int | None = None
    created_at: str | None = None
    updated_at: str | None = None


class Prompt(Document):
    """A version of a bot's prompt; the live one is what the next answer is made with."""

    version: int
    system_prompt: str
    note: str = ""
    author: str = ""
    created_at: str | None = None
    live: bool = False
    pinned: bool = False


class Expectation(Document):
    """What the answer to a golden question must be."""

    snippets: list[str] | None = None
    contains: list[str] | None = None
    not_contains: list[str] | None = None
    cites: bool | None = None
    refuses: bool | None = None


class GoldenQuestion(Document):
    """A question whose answer is known."""

    id: str
    question: str
    expect: Expectation


class TemplateSnippet(Document):
    """A starter snippet."""

    title: str
    body: str


class Template(Document):
    """A bot ready to be minted."""

    slug: str
    name: str
    description: str = ""
    tier: str = ""
    system_prompt: str = ""
    snippets: list[TemplateSnippet] = []


class Change(Document):
    """What applying documents does to one bot; `diff` has lines with + and -."""

    slug: str
    action: str
    diff: str = ""
    conversations: int = 0


class Changes(Document):
    """What applying documents does."""

    changes: list[Change]


class Snippet(Document):
    """One thing that a bot knows."""

    id: str
    title: str
    body: str
    tags: list[str] = []
    source: str | None = None
    language: str | None = None
    created_at: str | None = None
    updated_at: str | None = None


class Gap(Document):
    """A question that a bot had no answer to, and how often it was asked."""

    id: str
    question: str
    asked: int = 1
    last_asked_at: str | None = None


class Deleted(Document):
    """How many were deleted at once."""

    deleted: int


class SearchHit(Document):
    """A snippet that was found; scores compare within one answer only."""

    id: str
    title: str
    score: float
    excerpt: str
    highlights: list[list[int]] = []


class Citation(Document):
    """What `[n]` in a reply points at; `quote` stands letter for letter in the snippet, or is None."""

    snippet_id: str
    title: str
    quote: str | None = None
    verified: bool = True


class Answer(Document):
    """What a bot said, and on which grounds."""

    conversation_id: str | None
    message_id: str
    reply: str
    citations: list[Citation]
    provider: str | None = None
    model: str | None = None
    grounded: bool = False
    finish_reason: str = "stop"
    created_at: str | None = None


class Start(Document):
    """A streamed answer begins."""

    conversation_id: str | None
    message_id: str


class Delta(Document):
    """The next piece of a streamed reply; all of them together are the reply."""

    text: str


class Done(Document):
    """A streamed answer is complete."""

    answer: Answer

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Self:
        """The data of the event `done` is the answer itself."""
        return cls(answer=Answer.read(raw))


ChatEvent = Start | Delta | Done


class Component(Document):
    """One part of the server: `ok`, `degraded`, `down` or `off`."""

    status: str
    detail: str = ""


class Health(Document):
    """How the server is: `ok`, `degraded` or `down`, and each of its parts."""

    status: str
    version: str = ""
    time: str = ""
    components: dict[str, Component] = {}
