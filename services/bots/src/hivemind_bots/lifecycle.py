"""The life of a bot: paused, resumed, cloned, archived for 30 days, brought back, ended."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Final

from hivemind_bots import golden_sql, prompts_sql, shelves, storage
from hivemind_bots.golden_sql import draft_of
from hivemind_bots.providers import Providers
from hivemind_bots.showing import shown
from hivemind_common import audit
from hivemind_common.bus import Call
from hivemind_common.clock import Clock
from hivemind_common.contracts.bots import Bot, BotInState, BotNotFoundError, BotStatus, CloneBot, RemoveBot
from hivemind_common.contracts.edits import check_expected
from hivemind_common.contracts.golden_questions import MOST_QUESTIONS
from hivemind_common.contracts.kinds import Nothing
from hivemind_common.db import Conn, Database
from hivemind_common.errors import UnavailableError
from hivemind_common.ids import BotId, IdMaker
from hivemind_common.principal import service_principal
from hivemind_common.telemetry import get_logger

ARCHIVED_FOR: Final = timedelta(days=30)
LOOKS_EVERY: Final = timedelta(hours=1)

log = get_logger()


class Lifecycle:
    """What happens to whole bots once they are there."""

    def __init__(self, database: Database, providers: Providers, *, clock: Clock, new_id: IdMaker) -> None:
        self._database = database
        self._providers = providers
        self._clock = clock
        self._new_id = new_id

    async def pause(self, call: Call, request: BotInState) -> Bot:
        """Let a bot answer nobody; all else works."""
        return await self._set(call, request, BotStatus.PAUSED, "bot.paused")

    async def resume(self, call: Call, request: BotInState) -> Bot:
        """Let a paused bot answer again."""
        return await self._set(call, request, BotStatus.ACTIVE, "bot.resumed")

    async def restore(self, call: Call, request: BotInState) -> Bot:
        """Bring an archived bot back whole."""
        async with self._database.transaction() as conn:
            before = await storage.lock_bot(conn, request.slug, archived_too=True)
            check_expected(request.expected, shown(before, self._providers), before.changed_by)
            if before.status is not BotStatus.ARCHIVED:
                return shown(before, self._providers)
            await storage.restore_bot(conn, before.id, call.principal.name, self._clock())
            await audit.record(conn, call, "bot.restored", target=before.id, details={"slug": before.slug})
            return shown(await storage.read_bot(conn, before.id), self._providers)

    async def remove(self, call: Call, request: RemoveBot) -> Nothing:
        """Archive a bot, or end it with all that it knows and said."""
        async with self._database.transaction() as conn:
            if request.is_purge:
                bot_id = await storage.find_bot(conn, request.slug)
                if bot_id is None:
                    raise BotNotFoundError
                await shelves.hold(conn, bot_id)
            before = await storage.lock_bot(conn, request.slug, archived_too=request.is_purge)
            check_expected(request.expected, shown(before, self._providers), before.changed_by)
            if request.is_purge:
                await storage.purge_bot(conn, before.id)
            else:
                await archive(conn, call, before, self._clock)
                return Nothing()
            await audit.record(conn, call, "bot.purged", target=before.id, details={"slug": before.slug})
        log.info("bot.purged", bot=before.slug)
        return Nothing()

    async def clone(self, call: Call, request: CloneBot) -> Bot:
        """Make another bot of one, without its conversations; all or nothing."""
        moment = self._clock()
        author = call.principal.name
        bot_id = BotId(self._new_id())
        async with self._database.transaction() as conn:
            # One moment of the original: its row stays as it is until the clone is whole.
            original = await storage.lock_bot(conn, request.slug)
            name = original.name if request.name is None else request.name
            settings = original.settings
            await storage.add_bot(conn, bot_id, request.to, name, settings, author, moment)
            note = f"cloned from {original.slug}, version {original.live_version}"
            await prompts_sql.add_prompt(conn, bot_id, 1, original.system_prompt, note, author, moment)
            known = list((await shelves.snippets_of(conn, original.id)).values())
            if known:
                await shelves.teach(conn, bot_id, known, self._new_id, moment, author)
                # The first snippet has turned the search on.
                await storage.edit_bot(conn, bot_id, name, settings, author, moment)
            questions = await golden_sql.list_questions(conn, original.id, None, MOST_QUESTIONS)
            drafts = [draft_of(each) for each in questions[::-1]]
            await golden_sql.add_questions(conn, bot_id, drafts, self._new_id, author, moment)
            details = {"slug": request.to, "cloned_from": original.slug, "tier": settings.tier}
            await audit.record(conn, call, "bot.created", target=bot_id, details=details)
            return shown(await storage.read_bot(conn, bot_id), self._providers)

    async def watch(self) -> None:
        """End what has been archived for 30 days, for as long as this runs."""
        while True:
            try:
                await self.end_overdue()
            except UnavailableError as fault:
                log.warning("bot.purge_postponed", message=fault.message)
            await asyncio.sleep(LOOKS_EVERY.total_seconds())

    async def end_overdue(self) -> None:
        """End what has been archived for 30 days. Several replicas may do so at once."""
        before = self._clock() - ARCHIVED_FOR
        async with self._database.connection() as conn:
            overdue = await storage.find_overdue(conn, before)
        for bot in overdue:
            with suppress(BotNotFoundError):  # another replica was quicker
                async with self._database.transaction() as conn:
                    await shelves.hold(conn, bot.id)
                    if await storage.purge_overdue(conn, bot.id, before):
                        details = {"slug": bot.slug, "why": f"archived for {ARCHIVED_FOR.days} days"}
                        await audit.record(
                            conn, service_principal("bots"), "bot.purged", target=bot.id, details=details
                        )
            log.info("bot.purged", bot=bot.slug)

    async def _set(self, call: Call, request: BotInState, status: BotStatus, action: str) -> Bot:
        async with self._database.transaction() as conn:
            before = await storage.lock_bot(conn, request.slug)
            check_expected(request.expected, shown(before, self._providers), before.changed_by)
            if before.status is status:
                return shown(before, self._providers)
            await storage.set_status(conn, before.id, status, call.principal.name, self._clock())
            await audit.record(conn, call, action, target=before.id, details={"slug": before.slug})
            return shown(await storage.read_bot(conn, before.id), self._providers)


async def archive(conn: Conn, call: Call, bot: storage.StoredBot, clock: Clock) -> None:
    """Archive a bot that the transaction has locked."""
    await storage.set_status(conn, bot.id, BotStatus.ARCHIVED, call.principal.name, clock())
    await audit.record(conn, call, "bot.archived", target=bot.id, details={"slug": bot.slug})
