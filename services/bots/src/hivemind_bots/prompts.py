"""Prompts: each save is a version, and the live one is what the next turn is taken with."""

from __future__ import annotations

from datetime import datetime

from hivemind_bots import prompts_sql
from hivemind_common import audit
from hivemind_common.bus import Call
from hivemind_common.clock import Clock
from hivemind_common.contracts.bots import BotNotFoundError, VersionNotFoundError
from hivemind_common.contracts.edits import check_expected
from hivemind_common.contracts.prompts import ListPrompts, PinPrompt, Prompt, PromptOf, PromptPage, SavePrompt
from hivemind_common.db import Conn, Database
from hivemind_common.ids import BotId


class Prompts:
    """All versions of all bots' prompts."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def get(self, _call: Call, request: PromptOf) -> Prompt:
        """Show a version, or the live one."""
        async with self._database.connection() as conn:
            return await _get(conn, request.bot_id, request.version)

    async def list_page(self, _call: Call, request: ListPrompts) -> PromptPage:
        """Show a page of versions, newest first."""
        async with self._database.connection() as conn:
            found = await prompts_sql.list_prompts(conn, request.bot_id, request.after, request.limit + 1)
        return PromptPage(items=tuple(found[: request.limit]), more=len(found) > request.limit)

    async def save(self, call: Call, request: SavePrompt) -> Prompt:
        """Save a prompt, in the state of the live one that the caller expects."""
        async with self._database.transaction() as conn:
            await prompts_sql.lock_head(conn, request.bot_id)
            live = await _get(conn, request.bot_id, None)
            check_expected(request.expected, live, live.author)
            return await save(conn, call, request.bot_id, request.system_prompt, request.note, self._clock())

    async def restore(self, call: Call, request: PromptOf) -> Prompt:
        """Save the text of a version anew."""
        async with self._database.transaction() as conn:
            old = await _get(conn, request.bot_id, request.version)
            note = f"restored from version {old.version}"
            return await save(conn, call, request.bot_id, old.system_prompt, note, self._clock())

    async def pin(self, call: Call, request: PinPrompt) -> Prompt:
        """Keep a version live whatever is saved, or let the newest go live again."""
        async with self._database.transaction() as conn:
            head = await prompts_sql.lock_head(conn, request.bot_id)
            if request.version is None and head.pinned is None:
                raise VersionNotFoundError("no version of this prompt is pinned")
            await _get(conn, request.bot_id, request.version)
            if request.version != head.pinned:
                await prompts_sql.pin(conn, request.bot_id, request.version, call.principal.name, self._clock())
                action = "prompt.unpinned" if request.version is None else "prompt.pinned"
                details = {"bot_id": request.bot_id, "version": request.version or head.newest}
                await audit.record(conn, call, action, target=request.bot_id, details=details)
            return await _get(conn, request.bot_id, None)


async def save(conn: Conn, call: Call, bot_id: BotId, system_prompt: str, note: str, moment: datetime) -> Prompt:
    """Add a version unless the text is the live or the newest one already. Raises `BotNotFoundError`; wants a transaction."""
    head = await prompts_sql.lock_head(conn, bot_id)
    for version in (None, head.newest):
        same = await _get(conn, bot_id, version)
        if same.system_prompt == system_prompt:
            return same
    version = head.newest + 1
    author = call.principal.name
    await prompts_sql.add_prompt(conn, bot_id, version, system_prompt, note, author, moment)
    await prompts_sql.set_head(conn, bot_id, version, author, moment)
    await audit.record(conn, call, "prompt.saved", target=bot_id, details={"bot_id": bot_id, "version": version})
    return await _get(conn, bot_id, version)


async def _get(conn: Conn, bot_id: BotId, version: int | None) -> Prompt:
    found = await prompts_sql.find_prompt(conn, bot_id, version)
    if found is None:
        raise BotNotFoundError if version is None else VersionNotFoundError
    return found
