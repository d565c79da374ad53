"""Bots: minting, showing, listing, editing."""

from __future__ import annotations

from typing import Any

from hivemind_bots import golden_sql, prompts, prompts_sql, shelves, storage
from hivemind_bots.changes import changed
from hivemind_bots.golden_sql import draft_of
from hivemind_bots.providers import Providers
from hivemind_bots.showing import shown
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
    EditBot,
    ListBots,
    ListTemplates,
    SlugImmutableError,
    Template,
    TemplateList,
)
from hivemind_common.contracts.edits import check_expected
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
        author = call.principal.name
        async with self._database.transaction() as conn:
            await storage.add_bot(conn, bot_id, draft.slug, name, settings, author, moment)
            await prompts_sql.add_prompt(conn, bot_id, 1, prompt, "", author, moment)
            if template is not None:
                starters = [shelves.Shelved(each.title, each.body) for each in template.snippets]
                await shelves.teach(conn, bot_id, starters, self._new_id, moment, author)
                # The list shows the newest first, and the template's first question is to stand there first.
                questions = [draft_of(each) for each in template.golden_questions[::-1]]
                await golden_sql.add_questions(conn, bot_id, questions, self._new_id, author, moment)
            stored = await storage.read_bot(conn, bot_id)
            details = {
                "slug": draft.slug,
                "template": draft.template,
                "tier": settings.tier,
                "allow_hosted_provider": settings.allow_hosted_provider,
            }
            await audit.record(conn, call, "bot.created", target=bot_id, details=details)
        log.info("bot.created", bot=draft.slug, template=draft.template)
        return shown(stored, self._providers)

    async def get(self, call: Call, request: BotNamed) -> Bot:
        """Show a bot."""
        async with self._database.connection() as conn:
            return shown(await storage.get_bot(conn, request.slug, viewer=viewer_of(call.principal)), self._providers)

    async def resolve(self, call: Call, request: BotNamed) -> BotRef:
        """Tell which bot a slug names."""
        async with self._database.connection() as conn:
            return await storage.resolve_bot(conn, request.slug, viewer=viewer_of(call.principal))

    async def list_page(self, call: Call, request: ListBots) -> BotPage:
        """Show a page of bots, by slug."""
        async with self._database.connection() as conn:
            found = await storage.list_bots(conn, request, request.limit + 1, viewer=viewer_of(call.principal))
        items = tuple(shown(stored, self._providers) for stored in found[: request.limit])
        return BotPage(items=items, more=len(found) > request.limit)

    async def list_templates(self, _call: Call, _request: ListTemplates) -> TemplateList:
        """Show all templates."""
        return TemplateList(items=all_templates())

    async def edit(self, call: Call, request: EditBot) -> Bot:
        """Change members of a bot, and its prompt with them: all or nothing, and live with the next turn."""
        changes = request.changes
        sent = changes.model_fields_set
        async with self._database.transaction() as conn:
            before = await storage.lock_bot(conn, request.slug)
            check_expected(request.expected, shown(before, self._providers), before.changed_by)
            if changes.slug not in {None, before.slug}:
                raise SlugImmutableError
            values: dict[str, Any] = {
                name: getattr(changes if name in sent else before.settings, name) for name in BotSettings.model_fields
            }
            settings = BotSettings.model_validate(values | dict.fromkeys(request.clears))
            self._providers.check(settings, named={*sent, *request.clears})
            name = before.name if changes.name is None else changes.name
            if (name, settings) != (before.name, before.settings):
                moment = self._clock()
                await storage.edit_bot(conn, before.id, name, settings, call.principal.name, moment)
                details = {"slug": before.slug, "changed": changed(before.name, before.settings, name, settings)}
                await audit.record(conn, call, "bot.updated", target=before.id, details=details)
            if changes.system_prompt is not None:
                await prompts.save(conn, call, before.id, changes.system_prompt, changes.note, self._clock())
            after = await storage.read_bot(conn, before.id)
        return shown(after, self._providers)


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
