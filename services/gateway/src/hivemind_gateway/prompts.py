"""The prompt of a bot, and its versions."""

from __future__ import annotations

import re
from typing import Final

from hivemind_common.contracts.bots import BotNotFoundError, BotRef, Note, SystemPrompt, VersionNotFoundError
from hivemind_common.contracts.edits import Expected
from hivemind_common.contracts.kinds import Message
from hivemind_common.contracts.prompts import (
    GET_PROMPT,
    LIST_PROMPTS,
    PIN_PROMPT,
    RESTORE_PROMPT,
    SAVE_PROMPT,
    ListPrompts,
    PinPrompt,
    Prompt,
    PromptOf,
    SavePrompt,
)
from hivemind_gateway import cursors
from hivemind_gateway.problems import InvalidCursorError
from hivemind_gateway.queries import PageQuery
from hivemind_gateway.routing import Access, Reply, Request, Routes

routes = Routes()

_NUMBER: Final = re.compile(r"[1-9][0-9]{0,8}")


class PromptForm(Message):
    """A prompt to be saved."""

    system_prompt: SystemPrompt
    note: Note = ""


class PromptList(Message):
    """A page of versions."""

    items: tuple[Prompt, ...]
    next: str | None


def _version(request: Request) -> int:
    text = request.http.match_info["version"]
    if not _NUMBER.fullmatch(text):
        raise VersionNotFoundError
    return int(text)


async def find_version(request: Request, bot: BotRef) -> bytes:
    """Return the version that the path names, as it is shown; raises `VersionNotFoundError`."""
    return await request.call.ask_raw(GET_PROMPT, PromptOf(bot_id=bot.id, version=_version(request)))


@routes.get("/api/v1/bots/{slug}/prompt", access=Access.BOTS_INSPECT, refuses=(BotNotFoundError,), is_tagged=True)
async def show_prompt(request: Request, bot: BotRef) -> Reply[Prompt]:
    """Show the live prompt of a bot."""
    return Reply(await request.call.ask_raw(GET_PROMPT, PromptOf(bot_id=bot.id)))


@routes.put(
    "/api/v1/bots/{slug}/prompt",
    access=Access.BOTS_WRITE,
    refuses=SAVE_PROMPT.errors,
    is_tagged=True,
    example={"system_prompt": "You answer questions about our shop, briefly.", "note": "shorter answers"},
)
async def save_prompt(request: Request, bot: BotRef, body: PromptForm, expected: Expected | None) -> Reply[Prompt]:
    """Save a prompt: live with the next turn, unless a version is pinned. The same text is no new version."""
    saved = SavePrompt(bot_id=bot.id, system_prompt=body.system_prompt, note=body.note, expected=expected)
    return Reply(await request.call.ask_raw(SAVE_PROMPT, saved))


@routes.delete(
    "/api/v1/bots/{slug}/prompt/pin", access=Access.BOTS_WRITE, refuses=(BotNotFoundError, VersionNotFoundError)
)
async def unpin_prompt(request: Request, bot: BotRef) -> Reply[None]:
    """Let the newest version go live again."""
    await request.call.ask(PIN_PROMPT, PinPrompt(bot_id=bot.id, version=None))
    return Reply(None, 204)


@routes.get(
    "/api/v1/bots/{slug}/prompt/versions",
    access=Access.BOTS_INSPECT,
    refuses=(BotNotFoundError, InvalidCursorError),
)
async def list_versions(request: Request, bot: BotRef, query: PageQuery) -> Reply[PromptList]:
    """List the versions of a prompt, newest first."""
    scope = f"/api/v1/bots/{bot.id}/prompt/versions"
    after = cursors.number_of(scope, query.cursor)
    page = await request.call.ask(LIST_PROMPTS, ListPrompts(bot_id=bot.id, limit=query.limit, after=after))
    following = cursors.write(scope, str(page.items[-1].version)) if page.more else None
    return Reply(PromptList(items=page.items, next=following))


@routes.get(
    "/api/v1/bots/{slug}/prompt/versions/{version}",
    access=Access.BOTS_INSPECT,
    finds=find_version,
    refuses=GET_PROMPT.errors,
    is_tagged=True,
)
async def show_version(request: Request, bot: BotRef) -> Reply[Prompt]:
    """Show one version of a prompt."""
    return Reply(await find_version(request, bot))


@routes.post(
    "/api/v1/bots/{slug}/prompt/versions/{version}/restore",
    access=Access.BOTS_WRITE,
    finds=find_version,
    refuses=RESTORE_PROMPT.errors,
    is_tagged=True,
)
async def restore_version(request: Request, bot: BotRef) -> Reply[Prompt]:
    """Save the text of an old version anew, as the newest."""
    wanted = PromptOf(bot_id=bot.id, version=_version(request))
    return Reply(await request.call.ask_raw(RESTORE_PROMPT, wanted))


@routes.post(
    "/api/v1/bots/{slug}/prompt/versions/{version}/pin",
    access=Access.BOTS_WRITE,
    finds=find_version,
    refuses=PIN_PROMPT.errors,
    is_tagged=True,
)
async def pin_version(request: Request, bot: BotRef) -> Reply[Prompt]:
    """Keep a version live, whatever is saved."""
    return Reply(await request.call.ask_raw(PIN_PROMPT, PinPrompt(bot_id=bot.id, version=_version(request))))
