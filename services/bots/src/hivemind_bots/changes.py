"""What an edit changes of a bot, as the audit log is told it."""

from __future__ import annotations

from typing import Any, Final

from hivemind_common.contracts.bots import BotSettings

TEXTS: Final = ("description",)


def changed(old_name: str, old: BotSettings, new_name: str, new: BotSettings) -> dict[str, list[Any]]:
    """Return the members that differ, as they were and as they are; of what people wrote only that it differs."""
    was, now = old.model_dump(mode="json"), new.model_dump(mode="json")
    found = {
        member: [] if member in TEXTS else [was[member], now[member]] for member in was if was[member] != now[member]
    }
    return found | ({"name": []} if old_name != new_name else {})
