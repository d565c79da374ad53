"""Bots: profiles, templates, and the turn of a conversation."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from ipaddress import IPv6Address
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from hivemind_common.contracts.edits import Expected, PreconditionFailedError
from hivemind_common.contracts.golden_questions import Expectation
from hivemind_common.contracts.health import health_of
from hivemind_common.contracts.kinds import Instant, Message, Nothing, Rpc, Stream
from hivemind_common.contracts.texts import NOT_BLANK, described, not_blank
from hivemind_common.errors import HivemindError, Kind
from hivemind_common.ids import AccountId, BotId, ConversationId, MessageId, SnippetId

RESERVED_SLUGS = frozenset({"new"})
MOST_MONEY = 10**12
"""A million dollars, in micro-dollars."""


def _is_slug(text: str) -> str:
    if not 3 <= len(text) <= 32:
        raise PydanticCustomError("too_short" if len(text) < 3 else "too_long", "must be 3 to 32 characters")
    if not re.fullmatch(r"[a-z0-9-]+", text):
        raise PydanticCustomError("malformed", "may hold only lowercase letters a-z, digits and hyphens")
    if text[0] == "-" or text[-1] == "-":
        raise PydanticCustomError("malformed", "must start and end with a letter or digit")
    if text in RESERVED_SLUGS:
        raise PydanticCustomError("reserved", "is reserved; choose another")
    return text


def _is_provider_name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{1,30}[a-z0-9]", text):
        raise PydanticCustomError("malformed", "must be the name of a provider")
    return text


_ORIGIN = r"^https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?$"


def _is_origin(text: str) -> str:
    found = re.fullmatch(_ORIGIN, text)
    if found is None or (found[1].startswith("[") and not _is_ipv6(found[1][1:-1])):
        raise PydanticCustomError("malformed", "must be an origin such as https://www.example.org, without a path")
    return text


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _no_twins(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) != len(values):
        raise PydanticCustomError("repeated", "must not name the same twice")
    return values


Slug = Annotated[
    str,
    AfterValidator(_is_slug),
    described(pattern="^[a-z0-9][a-z0-9-]{1,30}[a-z0-9]$", **{"not": {"enum": sorted(RESERVED_SLUGS)}}),
]
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=80, strip_whitespace=True),
    AfterValidator(not_blank),
    described(pattern=NOT_BLANK),
]
Description = Annotated[str, StringConstraints(max_length=500)]
SystemPrompt = Annotated[
    str, StringConstraints(min_length=1, max_length=32_000), AfterValidator(not_blank), described(pattern=NOT_BLANK)
]
Utterance = Annotated[
    str, StringConstraints(min_length=1, max_length=8_000), AfterValidator(not_blank), described(pattern=NOT_BLANK)
]
ProviderName = Annotated[
    str,
    AfterValidator(_is_provider_name),
    described(pattern="^[a-z0-9][a-z0-9-]{1,30}[a-z0-9]$", examples=["quote"]),
]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Money = Annotated[int, Field(ge=0, le=MOST_MONEY)]
Rate = Annotated[int, Field(ge=1, le=100_000)]


class Tier(StrEnum):
    """Who may talk to a bot, and through what."""

    PUBLIC = "public"
    INTERNAL = "internal"
    RESTRICTED = "restricted"


class BotStatus(StrEnum):
    """Where a bot stands in its life."""

    ACTIVE = "active"
    PAUSED = "paused"
    ARCHIVED = "archived"


class BotNotFoundError(HivemindError):
    """There is no such bot, or none that the asker may know of."""

    code = "bot_not_found"
    kind = Kind.NOT_FOUND
    words = "there is no such bot"


class SlugTakenError(HivemindError):
    """Another bot, an archived one perhaps, has that slug."""

    code = "slug_taken"
    kind = Kind.CONFLICT


class SlugImmutableError(HivemindError):
    """A slug is a bot's address in paths, channels and other people's programs: it is never renamed."""

    code = "slug_immutable"
    kind = Kind.CONFLICT
    words = "slug: it is never renamed; clone the bot under the new one instead"


class VersionNotFoundError(HivemindError):
    """The prompt of this bot has no such version."""

    code = "version_not_found"
    kind = Kind.NOT_FOUND
    words = "the prompt of this bot has no such version"


class UnknownTemplateError(HivemindError):
    """No template has that name."""

    code = "unknown_template"
    kind = Kind.INVALID


class BotPausedError(HivemindError):
    """The bot is paused; all but chat works."""

    code = "bot_paused"
    kind = Kind.CONFLICT
    words = "the bot is paused"


class BotNotAllowedError(HivemindError):
    """A restricted bot answers only those on its list."""

    code = "bot_not_allowed"
    kind = Kind.FORBIDDEN
    words = "this bot answers only the people on its list"


class ProviderNotLocalError(HivemindError):
    """A restricted bot may not send anything to a provider outside."""

    code = "provider_not_local"
    kind = Kind.CONFLICT
    words = "a restricted bot answers only through a local provider; choose one, or set allow_hosted_provider"


class ProviderUnavailableError(HivemindError):
    """The model did not answer; `facts` has `provider` and `reason`."""

    code = "provider_unavailable"
    kind = Kind.UNAVAILABLE
    status = 502


class ConversationNotFoundError(HivemindError):
    """No conversation of the asker with this bot has that id."""

    code = "conversation_not_found"
    kind = Kind.NOT_FOUND
    words = "there is no such conversation"


class Fallback(Message):
    """A provider that is tried when the one before it fails."""

    provider: ProviderName
    model: ModelName


Fallbacks = Annotated[tuple[Fallback, ...], Field(max_length=3)]
OutputTokens = Annotated[int, Field(ge=1, le=32_768)]
Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
RetentionDays = Annotated[int, Field(ge=1, le=3_650)]
Grounding = Literal["grounded", "open"]
Strictness = Literal["lenient", "normal", "strict"]
ReplyMode = Literal["dm_only", "channel_mention", "both"]
AllowedUsers = Annotated[tuple[AccountId, ...], Field(max_length=1_000)]
Origin = Annotated[str, StringConstraints(max_length=300), AfterValidator(_is_origin), described(pattern=_ORIGIN)]
AllowedOrigins = Annotated[
    tuple[Origin, ...], Field(max_length=50), AfterValidator(_no_twins), described(uniqueItems=True)
]


class BotSettings(Message):
    """The members of a bot that its operator sets, with their defaults."""

    description: Description = ""
    tier: Tier = Tier.INTERNAL
    provider: ProviderName | None = None
    model: ModelName | None = None
    fallbacks: Fallbacks = ()
    max_output_tokens: OutputTokens = 1024
    temperature: Temperature | None = None
    cost_cap_day_micro_usd: Money | None = 5_000_000
    cost_cap_month_micro_usd: Money | None = 50_000_000
    rate_limit_per_minute: Rate | None = 60
    user_rate_limit_per_minute: Rate | None = 20
    grounding: Grounding = "grounded"
    strictness: Strictness = "normal"
    knowledge_search_enabled: bool = False
    channel_reply_mode: ReplyMode = "dm_only"
    allowed_users: AllowedUsers = ()
    allowed_origins: AllowedOrigins = ()
    allow_hosted_provider: bool = False
    retention_days: RetentionDays | None = 90


Note = Annotated[str, StringConstraints(max_length=500)]


class BotChanges(BotSettings):
    """Members of a bot; only those that were sent count."""

    slug: str | None = None
    """What the sender takes for the slug, which cannot be another."""
    name: Name | None = None
    system_prompt: SystemPrompt | None = None
    note: Note = ""
    """Of the prompt's new version."""


class BotDraft(BotSettings):
    """A bot as it is asked for. With a template, whatever is not sent comes from there."""

    slug: Slug
    template: Annotated[str, StringConstraints(max_length=80), described(examples=["customer-support"])] | None = None
    name: Name | None = None
    system_prompt: SystemPrompt | None = None


class Effective(Message):
    """What a turn would use now."""

    provider: str
    model: str | None


class ReadinessNote(Message):
    """One thing that keeps a bot from being of use."""

    code: str
    detail: str


class Bot(BotSettings):
    """A bot, whole."""

    id: BotId
    slug: str
    name: str
    system_prompt: str
    status: BotStatus
    version: int
    pinned_version: int | None
    effective: Effective
    readiness: tuple[ReadinessNote, ...]
    snippet_count: int
    created_at: Instant
    updated_at: Instant


class CreateBot(Message):
    """Mint a bot. `draft` holds only what was sent, so that a template can fill the rest."""

    draft: BotDraft


class BotNamed(Message):
    """Name a bot."""

    slug: str


class BotInState(Message):
    """Name a bot, which has to be in one of the states that the caller expects."""

    slug: str
    expected: Expected | None = None


Clearable = Literal[
    "provider",
    "model",
    "temperature",
    "cost_cap_day_micro_usd",
    "cost_cap_month_micro_usd",
    "rate_limit_per_minute",
    "user_rate_limit_per_minute",
    "retention_days",
]
"""Members of a bot that may be without a value."""


class EditBot(Message):
    """Change what `changes` names of a bot and leave the rest; what `clears` names is without a value afterwards."""

    slug: str
    changes: BotChanges
    clears: tuple[Clearable, ...] = ()
    expected: Expected | None = None


class RemoveBot(Message):
    """Archive a bot for 30 days, or end it for good, archived or not."""

    slug: str
    is_purge: bool = False
    expected: Expected | None = None


class CloneBot(Message):
    """Make another bot of one: its prompt, settings, snippets and golden questions."""

    slug: str
    to: Slug
    name: Name | None = None


class BotRef(Message):
    """What the door needs to know of a bot before it asks somebody else about it."""

    id: BotId
    slug: str


class ListBots(Message):
    """Ask for a page of bots, by slug; `after` is the last slug of the page before."""

    limit: int = Field(50, ge=1, le=200)
    after: str | None = None
    status: BotStatus | None = None
    tier: Tier | None = None
    text: Annotated[str, StringConstraints(max_length=200)] | None = None


class BotPage(Message):
    """A page; `more` says whether another follows."""

    items: tuple[Bot, ...]
    more: bool


class TemplateSnippet(Message):
    """A starter snippet."""

    title: str
    body: str


class TemplateQuestion(Message):
    """A golden question."""

    question: str
    expect: Expectation


class Template(Message):
    """A bot ready to be minted."""

    slug: str
    name: str
    description: str
    tier: Tier
    system_prompt: str
    snippets: tuple[TemplateSnippet, ...]
    golden_questions: tuple[TemplateQuestion, ...]


class ListTemplates(Message):
    """Ask for all templates."""


class TemplateList(Message):
    """All templates."""

    items: tuple[Template, ...]


class TakeTurn(Message):
    """Say something to a bot."""

    slug: str
    version: Annotated[int, Field(ge=1)] | None = None
    """Of the prompt; None is the live one."""
    message: Utterance
    conversation_id: ConversationId | None = None
    speaker: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    """SHA-256 of the speaker's name."""


class Citation(Message):
    """A snippet that an answer rests on. `quote` stands letter for letter in its body."""

    snippet_id: SnippetId
    title: str
    quote: str | None
    verified: bool = True


class Usage(Message):
    """What an answer took."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_micro_usd: int | None = 0


class TurnStarted(Message):
    """The turn is accepted."""

    kind: Literal["start"] = "start"
    conversation_id: ConversationId | None
    message_id: MessageId
    provider: str
    model: str


class TurnDelta(Message):
    """The next piece of the reply."""

    kind: Literal["delta"] = "delta"
    text: str


class TurnEvent(Message):
    """Something that happens on the way to an answer: the first is `start`, all others are deltas."""

    event: Annotated[TurnStarted | TurnDelta, Field(discriminator="kind")]


class Answer(Message):
    """An answer, whole, kept already when it is told."""

    conversation_id: ConversationId | None
    message_id: MessageId
    reply: str
    citations: tuple[Citation, ...]
    provider: str
    model: str
    version: int
    grounded: bool
    finish_reason: Literal["stop", "length", "cancelled", "refused"]
    fallback_used: bool
    usage: Usage
    created_at: Instant


BOTS_HEALTH = health_of("bots")

CREATE_BOT = Rpc("bots.v1.bot.create", CreateBot, Bot, errors=(SlugTakenError, UnknownTemplateError))
"""All or nothing: the bot, its prompt and the snippets of its template."""

EDIT_BOT = Rpc(
    "bots.v1.bot.edit",
    EditBot,
    Bot,
    errors=(BotNotFoundError, PreconditionFailedError, SlugImmutableError),
)
PAUSE_BOT = Rpc("bots.v1.bot.pause", BotInState, Bot, errors=(BotNotFoundError, PreconditionFailedError))
RESUME_BOT = Rpc("bots.v1.bot.resume", BotInState, Bot, errors=(BotNotFoundError, PreconditionFailedError))
RESTORE_BOT = Rpc("bots.v1.bot.restore", BotInState, Bot, errors=(BotNotFoundError, PreconditionFailedError))
"""Bring an archived bot back whole; of one that is there, nothing."""

REMOVE_BOT = Rpc("bots.v1.bot.remove", RemoveBot, Nothing, errors=(BotNotFoundError, PreconditionFailedError))
CLONE_BOT = Rpc(
    "bots.v1.bot.clone", CloneBot, Bot, errors=(BotNotFoundError, SlugTakenError), timeout=timedelta(seconds=30)
)
"""All or nothing, and what the clone knows can be found when this returns."""

GET_BOT = Rpc("bots.v1.bot.get", BotNamed, Bot, errors=(BotNotFoundError,))
RESOLVE_BOT = Rpc("bots.v1.bot.resolve", BotNamed, BotRef, errors=(BotNotFoundError,))
LIST_BOTS = Rpc("bots.v1.bot.list", ListBots, BotPage)
LIST_TEMPLATES = Rpc("bots.v1.template.list", ListTemplates, TemplateList)

TAKE_TURN = Stream(
    "bots.v1.turn.take",
    TakeTurn,
    TurnEvent,
    Answer,
    errors=(
        BotNotFoundError,
        VersionNotFoundError,
        BotPausedError,
        BotNotAllowedError,
        ProviderNotLocalError,
        ProviderUnavailableError,
        ConversationNotFoundError,
    ),
    timeout=timedelta(seconds=120),
)
"""The deltas together are exactly the reply; the answer comes once it is kept."""
