"""Manifests: a bot as a document that people keep, read and apply. Secrets are never in one."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from hivemind_common.contracts.bots import (
    BotNamed,
    BotNotFoundError,
    BotSettings,
    Name,
    Note,
    Slug,
    SystemPrompt,
)
from hivemind_common.contracts.golden_questions import MOST_QUESTIONS, GoldenQuestionDraft, TooManyQuestionsError
from hivemind_common.contracts.kinds import Message, Nothing, Rpc, Stream
from hivemind_common.contracts.knowledge import Body, Language, LooksLikeSecretError, Reason, Source, Tags, Title

MOST_DOCUMENTS = 500
MOST_SNIPPETS = 50_000
MOST_VERSIONS = 10_000
PIECE = 256 * 1024
"""Bytes of an upload or of an export that one message carries."""

APPLY_TIMEOUT = timedelta(seconds=120)


def _count_up(versions: tuple[PromptEntry, ...]) -> tuple[PromptEntry, ...]:
    if [each.version for each in versions] != list(range(1, len(versions) + 1)):
        raise PydanticCustomError("malformed", "must be numbered 1, 2, 3 and so on, the oldest first")
    return versions


class SnippetEntry(Message):
    """A snippet, as far as it is not the instance's own."""

    title: Title
    body: Body
    tags: Tags = ()
    source: Source | None = None
    language: Language | None = None
    """What somebody said it is in; None: it is detected."""
    detected_language: Language | None = None
    """What it was taken for: it is not detected again where this stands. None there: none that is known."""
    allow_secret: Reason | None = None


class PromptEntry(Message):
    """One of the versions that a prompt has had."""

    version: Annotated[int, Field(ge=1, le=MOST_VERSIONS)]
    system_prompt: SystemPrompt
    note: Note = ""
    author: Annotated[str, StringConstraints(max_length=200)] = ""


class Manifest(BotSettings):
    """A bot. What is absent stays as it is, and has its default where the bot is new; a list that is there is the whole of it."""

    slug: Slug
    name: Name | None = None
    status: Literal["active", "paused"] | None = None
    system_prompt: SystemPrompt | None = None
    prompt_versions: Annotated[tuple[PromptEntry, ...], Field(max_length=MOST_VERSIONS), AfterValidator(_count_up)] = ()
    """What a new bot begins with; of one that is there the past is as it was."""
    pinned_version: Annotated[int, Field(ge=1, le=MOST_VERSIONS)] | None = None
    snippets: Annotated[tuple[SnippetEntry, ...], Field(max_length=MOST_SNIPPETS)] | None = None
    golden_questions: Annotated[tuple[GoldenQuestionDraft, ...], Field(max_length=MOST_QUESTIONS)] | None = None


class UploadPiece(Message):
    """A piece of an upload; together they are the JSON of a list of manifests."""

    upload_id: UUID
    place: Annotated[int, Field(ge=0)]
    text: str


class Apply(Message):
    """Make bots what an upload of so many pieces says; with `prunes` those that it does not name are archived."""

    upload_id: UUID
    pieces: int
    is_dry_run: bool = False
    prunes: bool = False


class Change(Message):
    """What is done, or would be, to one bot. `diff` is for people."""

    slug: str
    action: Literal["create", "update", "archive", "none"]
    diff: str
    conversations: int = 0
    """Of a bot that is archived: how many are kept until it is ended."""


class Applied(Message):
    """What is done, or would be."""

    changes: tuple[Change, ...]


class ManifestPiece(Message):
    """The next piece of a manifest, as YAML."""

    text: str


STAGE_UPLOAD = Rpc("bots.v1.upload.stage", UploadPiece, Nothing)
APPLY_UPLOAD = Rpc(
    "bots.v1.upload.apply",
    Apply,
    Applied,
    errors=(LooksLikeSecretError, TooManyQuestionsError),
    timeout=APPLY_TIMEOUT,
)
"""All of it or nothing. Applied twice, the second time changes nothing."""

EXPORT_BOT = Stream(
    "bots.v1.bot.export", BotNamed, ManifestPiece, Nothing, errors=(BotNotFoundError,), timeout=APPLY_TIMEOUT
)
"""All pieces are of one moment."""
