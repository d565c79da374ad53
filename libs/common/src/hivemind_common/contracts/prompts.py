"""Prompts of bots: every save is a version."""

from __future__ import annotations

from pydantic import Field

from hivemind_common.contracts.bots import BotNotFoundError, Note, SystemPrompt, VersionNotFoundError
from hivemind_common.contracts.edits import Expected, PreconditionFailedError
from hivemind_common.contracts.kinds import Instant, Message, Rpc
from hivemind_common.ids import BotId


class Prompt(Message):
    """A version of a bot's prompt. The live one is what the next turn is taken with."""

    version: int
    system_prompt: str
    note: str
    author: str
    created_at: Instant
    live: bool
    pinned: bool


class PromptOf(Message):
    """Name a version of a bot's prompt; None is the live one."""

    bot_id: BotId
    version: int | None = None


class SavePrompt(Message):
    """Save a prompt, which is live at once unless another version is pinned. The same text is no new version."""

    bot_id: BotId
    system_prompt: SystemPrompt
    note: Note = ""
    expected: Expected | None = None


class ListPrompts(Message):
    """Ask for a page of versions, newest first; `after` is the last one of the page before."""

    bot_id: BotId
    limit: int = Field(50, ge=1, le=200)
    after: int | None = None


class PromptPage(Message):
    """A page; `more` says whether another follows."""

    items: tuple[Prompt, ...]
    more: bool


class PinPrompt(Message):
    """Keep a version live whatever is saved; None lets the newest go live again."""

    bot_id: BotId
    version: int | None


GET_PROMPT = Rpc("bots.v1.prompt.get", PromptOf, Prompt, errors=(BotNotFoundError, VersionNotFoundError))
SAVE_PROMPT = Rpc("bots.v1.prompt.save", SavePrompt, Prompt, errors=(BotNotFoundError, PreconditionFailedError))
LIST_PROMPTS = Rpc("bots.v1.prompt.list", ListPrompts, PromptPage)
RESTORE_PROMPT = Rpc("bots.v1.prompt.restore", PromptOf, Prompt, errors=(BotNotFoundError, VersionNotFoundError))
"""Save the text of a version anew."""

PIN_PROMPT = Rpc("bots.v1.prompt.pin", PinPrompt, Prompt, errors=(BotNotFoundError, VersionNotFoundError))
"""Unpinned where nothing is pinned: `VersionNotFoundError`."""
