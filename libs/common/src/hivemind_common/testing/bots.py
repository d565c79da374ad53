"""A bot made by SQL, for tests and benchmarks of what is kept for bots."""

from __future__ import annotations

from typing import Any, Final

from hivemind_common.ids import BotId, new_id

_ADD_BOT: Final = """
INSERT INTO bots.bot
       (id, slug, name, description, tier, fallbacks, max_output_tokens, grounding, strictness, knowledge_search_enabled,
        channel_reply_mode, allowed_users, allowed_origins, allow_hosted_provider, version, created_at, updated_at)
VALUES ($1, $2, $2, '', 'internal', '[]', 512, 'grounded', 'normal', true, 'both', '{}', '{}', true, 1, now(), now())
"""

_ADD_PROMPT: Final = """
INSERT INTO bots.prompt_version (bot_id, version, system_prompt, note, author, created_at)
VALUES ($1, 1, 'Answer.', '', 'operator', now())
"""


async def make_bot(owner: Any) -> BotId:
    """Make a bot, as the database's owner; returns its id."""
    made = BotId(new_id())
    async with owner.transaction():
        await owner.execute(_ADD_BOT, made, f"bot-{made.hex[-20:]}")
        await owner.execute(_ADD_PROMPT, made)
    return made
