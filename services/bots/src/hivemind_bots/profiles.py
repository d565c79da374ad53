"""Bots: minting, showing, listing."""

from __future__ import annotations

from hivemind_bots import storage
from hivemind_bots.providers import Providers
from hivemind_bots.templates import all_templates, get_template
from hivemind_bots.viewers import viewer_of
from hivemind_common import audit
from hivemind_common.bus import Call
from hivemind_common.clock import Clock
from hivemind_common.contracts.bots import (
    Bot,
    BotDraft,
    BotNamed,
    BotPage,
    BotRef,
    BotSettings,
    CreateBot,
    ListBots,
    ListTemplates,
    ReadinessNote,
    Template,
    TemplateList,
)
from hivemind_common.db import Database
from hivemind_common.errors import ValidationFailedError
from hivemind_common.ids import BotId, IdMaker
from hivemind_common.telemetry import get_logger

log = get_logger()


class Profiles:
    """All bots of the instance."""

    def __init__(self, database: Database, providers: Providers, *, clock: Clock, new_id: IdMaker) -> None:
        self._database = database
        self._providers = providers
        self._clock = clock
        self._new_id = new_id

    async def create(self, call: Call, request: CreateBot) -> Bot:
        """Mint a bot, blank or from a template, whose snippets can be found when this returns; all or nothing."""
        draft = request.draft
        template = get_template(draft.template) if draft.template is not None else None
        name, prompt, settings = _filled(draft, template)
        self._providers.check(settings)
        bot_id = BotId(self._new_id())
        moment = self._clock()
        async with self._database.transaction() as conn:
            await storage.add_bot(conn, bot_id, draft.slug, name, settings, prompt, call.principal.name, moment)
            if template is not None and template.snippets:
                await storage.seed_knowledge(conn, bot_id, template.snippets, self._new_id, moment)
            stored = await storage.get_bot(conn, draft.slug, viewer=None)
            details = {
                "slug": draft.slug,
                "template": draft.template,
                "tier": settings.tier,
                "allow_hosted_provider": settings.allow_hosted_provider,
            }
            await audit.record(conn, call, "bot.created", target=bot_id, details=details)
        log.info("bot.created", bot=draft.slug, template=draft.template)
        return self._shown(stored)

    async def get(self, call: Call, request: BotNamed) -> Bot:
        """Show a bot."""
        async with self._database.connection() as conn:
            return self._shown(await storage.get_bot(conn, request.slug, viewer=viewer_of(call.principal)))

    async def resolve(self, call: Call, request: BotNamed) -> BotRef:
        """Tell which bot a slug names."""
        async with self._database.connection() as conn:
            return await storage.resolve_bot(conn, request.slug, viewer=viewer_of(call.principal))

    async def list_page(self, call: Call, request: ListBots) -> BotPage:
        """Show a page of bots, by slug."""
        async with self._database.connection() as conn:
            found = await storage.list_bots(conn, request, request.limit + 1, viewer=viewer_of(call.principal))
        items = tuple(self._shown(stored) for stored in found[: request.limit])
        return BotPage(items=items, more=len(found) > request.limit)

    async def list_templates(self, _call: Call, _request: ListTemplates) -> TemplateList:
        """Show all templates."""
        return TemplateList(items=all_templates())

    def _shown(self, stored: storage.StoredBot) -> Bot:
        settings = stored.settings
        return Bot(
            **{name: getattr(settings, name) for name in BotSettings.model_fields},
            id=stored.id,
            slug=stored.slug,
            name=stored.name,
            system_prompt=stored.system_prompt,
            status=stored.status,
            version=stored.version,
            pinned_version=stored.pinned_version,
            effective=self._providers.effective(settings),
            readiness=tuple(self._readiness(stored)),
            snippet_count=stored.snippet_count,
            created_at=stored.created_at,
            updated_at=stored.updated_at,
        )

    def _readiness(self, stored: storage.StoredBot) -> list[ReadinessNote]:
        notes = []
        settings = stored.settings
        effective = self._providers.effective(settings)
        if stored.snippet_count == 0:
            notes.append(ReadinessNote(code="no_knowledge", detail="it was taught nothing: add a snippet"))
        if self._providers.is_down(effective):
            notes.append(ReadinessNote(code="provider_down", detail=self._providers.refusal(effective).message))
        if not self._providers.are_allowed(settings):
            detail = "a restricted bot needs a local provider, or allow_hosted_provider"
            notes.append(ReadinessNote(code="provider_not_local", detail=detail))
        return notes


def _filled(draft: BotDraft, template: Template | None) -> tuple[str, str, BotSettings]:
    """Return name, prompt and settings: what was sent, else what the template says, else the defaults."""
    if template is None:
        missing = [member for member in ("name", "system_prompt") if getattr(draft, member) is None]
        if missing:
            raise ValidationFailedError.of(
                [{"path": member, "code": "missing", "message": "is required without a template"} for member in missing]
            )
    settings = {name: getattr(draft, name) for name in BotSettings.model_fields}
    if template is not None:
        for name in ("description", "tier"):
            if name not in draft.model_fields_set:
                settings[name] = getattr(template, name)
    name = draft.name if draft.name is not None else template.name if template else ""
    prompt = draft.system_prompt if draft.system_prompt is not None else template.system_prompt if template else ""
    return name, prompt, BotSettings(**settings)
