"""A bot as it is shown: its row, and what depends on the running instance."""

from __future__ import annotations

import re
from typing import Final

from hivemind_bots.providers import Providers
from hivemind_bots.storage import StoredBot
from hivemind_common.contracts.bots import Bot, BotSettings, ReadinessNote

PLACEHOLDER: Final = re.compile(r"\{\{([a-z][a-z0-9_]{0,39})\}\}")
"""What the operator of a bot from a template has to fill in; the same as `knowledge.placeholders_of` finds."""

MOST_NAMED: Final = 12


def shown(stored: StoredBot, providers: Providers) -> Bot:
    """Return a bot whole."""
    settings = stored.settings
    return Bot(
        **{name: getattr(settings, name) for name in BotSettings.model_fields},
        id=stored.id,
        slug=stored.slug,
        name=stored.name,
        system_prompt=stored.system_prompt,
        status=stored.status,
        version=stored.live_version,
        pinned_version=stored.pinned_version,
        effective=providers.effective(settings),
        readiness=tuple(_readiness(stored, providers)),
        snippet_count=stored.snippet_count,
        created_at=stored.created_at,
        updated_at=stored.updated_at,
    )


def _readiness(stored: StoredBot, providers: Providers) -> list[ReadinessNote]:
    notes = []
    settings = stored.settings
    effective = providers.effective(settings)
    if stored.snippet_count == 0:
        notes.append(ReadinessNote(code="no_knowledge", detail="it was taught nothing: add a snippet"))
    if note := _placeholders_left(stored):
        notes.append(note)
    if providers.is_down(effective):
        notes.append(ReadinessNote(code="provider_down", detail=providers.refusal(effective).message))
    if not providers.are_allowed(settings):
        detail = "a restricted bot needs a local provider, or allow_hosted_provider"
        notes.append(ReadinessNote(code="provider_not_local", detail=detail))
    return notes


def _placeholders_left(stored: StoredBot) -> ReadinessNote | None:
    in_prompt = set(PLACEHOLDER.findall(stored.system_prompt)) if "{{" in stored.system_prompt else set()
    names = sorted(in_prompt | set(stored.placeholders))
    if not names:
        return None
    where = " and ".join(
        place for place, found in (("the prompt", in_prompt), ("the snippets", stored.placeholders)) if found
    )
    named = ", ".join(f"{{{{{name}}}}}" for name in names[:MOST_NAMED])
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ReadinessNote(code="placeholders_left", detail=f"fill in {named}{more} in {where}")
