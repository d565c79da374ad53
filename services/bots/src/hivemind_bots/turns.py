"""A turn of a conversation: policy, retrieval, provider, keep, answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from hivemind_bots import prompts_sql, quote, storage
from hivemind_bots.providers import QUOTE, Providers
from hivemind_bots.viewers import viewer_of
from hivemind_common.bus import Call, Outgoing
from hivemind_common.clock import Clock
from hivemind_common.contracts.bots import (
    Answer,
    BotNotAllowedError,
    BotPausedError,
    BotStatus,
    Citation,
    Effective,
    ProviderNotLocalError,
    TakeTurn,
    Tier,
    TurnDelta,
    TurnEvent,
    TurnStarted,
    Usage,
    VersionNotFoundError,
)
from hivemind_common.contracts.knowledge import FIND_PASSAGES, FindPassages, Passage
from hivemind_common.db import Database
from hivemind_common.errors import HivemindError
from hivemind_common.ids import ConversationId, IdMaker, MessageId
from hivemind_common.principal import Principal
from hivemind_common.telemetry import Metrics, get_logger

PASSAGES_LOOKED_AT: Final = 5

log = get_logger()


@dataclass(slots=True)
class _Progress:
    """What is known of a turn however it ends."""

    is_found: bool = False
    """Whether the slug is a bot's: one that somebody made up is no label."""


class Turns:
    """Takes turns. One that was answered is kept; one that was not has left nothing."""

    def __init__(
        self, database: Database, providers: Providers, *, clock: Clock, new_id: IdMaker, metrics: Metrics
    ) -> None:
        self._database = database
        self._providers = providers
        self._clock = clock
        self._new_id = new_id
        self._outcomes = metrics.counter("hivemind_chat_turns", "Turns taken.", "bot", "outcome")
        self._spend = metrics.counter("hivemind_spend_micro_usd", "Money spent on answers.", "bot")

    async def take(self, call: Call, request: TakeTurn, out: Outgoing[TurnEvent]) -> Answer:
        """Answer one message; what leads there is told through `out`."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        outcome, provider, progress = "failed", "", _Progress()
        try:
            answer = await self._take(call, request, out, progress)
            outcome, provider = answer.finish_reason, answer.provider
            self._spend.labels(request.slug).inc(answer.usage.cost_micro_usd or 0)
            return answer
        except HivemindError as refusal:
            outcome = refusal.code
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            if progress.is_found:
                self._outcomes.labels(request.slug, outcome).inc()
            duration_ms = round((loop.time() - started) * 1000, 1)
            log.info("chat.turn", bot=request.slug, outcome=outcome, provider=provider, duration_ms=duration_ms)

    async def _take(self, call: Call, request: TakeTurn, out: Outgoing[TurnEvent], progress: _Progress) -> Answer:
        # 1. Who may, and whether the bot answers at all.
        speaker = _speaker(call.principal, request.speaker)
        async with self._database.connection() as conn:
            bot = await storage.get_bot(conn, request.slug, viewer=viewer_of(call.principal))
            progress.is_found = True
            _check_tier(bot, call.principal)
            if request.conversation_id is not None:
                await storage.check_conversation(conn, bot.id, request.conversation_id, speaker)
            version = bot.live_version if request.version is None else request.version
            if version != bot.live_version and await prompts_sql.find_prompt(conn, bot.id, version) is None:
                raise VersionNotFoundError
        if bot.status is BotStatus.PAUSED:
            raise BotPausedError
        if not self._providers.are_allowed(bot.settings):
            raise ProviderNotLocalError
        # 2. What the bot knows about it.
        is_held_to_knowledge = bot.settings.knowledge_search_enabled and bot.snippet_count > 0
        passages: tuple[Passage, ...] = ()
        if is_held_to_knowledge:
            found = FindPassages(
                bot_id=bot.id,
                question=request.message,
                limit=PASSAGES_LOOKED_AT,
                strictness=bot.settings.strictness,
                keeps_gap=bot.settings.tier is not Tier.RESTRICTED,
            )
            passages = (await call.ask(FIND_PASSAGES, found)).items
        # 3. The provider.
        effective = self._providers.effective(bot.settings)
        reply, citations = self._reply(bot, effective, passages, is_held_to_knowledge=is_held_to_knowledge)
        # 4. Tell, keep, answer: in a stream the words are provisional until they are kept.
        keeps = bot.settings.tier is not Tier.RESTRICTED
        conversation_id = (request.conversation_id or ConversationId(self._new_id())) if keeps else None
        question_id, message_id = MessageId(self._new_id()), MessageId(self._new_id())
        start = TurnStarted(
            conversation_id=conversation_id,
            message_id=message_id,
            provider=effective.provider,
            model=effective.model or "",
        )
        await out.send(TurnEvent(event=start))
        for piece in quote.pieces(reply):
            await out.send(TurnEvent(event=TurnDelta(text=piece)))
        answer = Answer(
            conversation_id=conversation_id,
            message_id=message_id,
            reply=reply,
            citations=citations,
            provider=effective.provider,
            model=effective.model or "",
            version=version,
            grounded=bool(citations),
            finish_reason="stop" if citations else "refused",
            fallback_used=False,
            usage=Usage(),
            created_at=self._clock(),
        )
        if keeps:
            async with self._database.transaction() as conn:
                await storage.keep_turn(conn, bot.id, speaker, question_id, request.message, answer)
        return answer

    def _reply(
        self,
        bot: storage.StoredBot,
        effective: Effective,
        passages: tuple[Passage, ...],
        *,
        is_held_to_knowledge: bool,
    ) -> tuple[str, tuple[Citation, ...]]:
        if effective.provider == QUOTE:
            return quote.compose(passages) if passages else (quote.I_DO_NOT_KNOW, ())
        if is_held_to_knowledge and bot.settings.grounding == "grounded" and not passages:
            return quote.I_DO_NOT_KNOW, ()
        raise self._providers.refusal(effective)


def _check_tier(bot: storage.StoredBot, principal: Principal) -> None:
    # A key counts as its owner; an admin must be listed too.
    if bot.settings.tier is Tier.RESTRICTED and principal.id not in bot.settings.allowed_users:
        raise BotNotAllowedError


def _speaker(principal: Principal, named: str | None) -> str:
    """Return whose a conversation is: an account's or another kind's, and of one named speaker of it."""
    whose = f"account:{principal.id}" if principal.id is not None else str(principal.kind)
    return f"{whose}:{named}" if named is not None else whose
