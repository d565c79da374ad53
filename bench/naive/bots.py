"""Bots: show one."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import asyncpg

from bench.naive.common import connect, serve, set_up_logging, until_stopped

GET_BOT = """
SELECT bot.id, bot.slug, bot.name, bot.description, bot.tier, bot.provider, bot.model, bot.fallbacks,
       bot.max_output_tokens, bot.temperature, bot.cost_cap_day_micro_usd, bot.cost_cap_month_micro_usd,
       bot.rate_limit_per_minute, bot.user_rate_limit_per_minute, bot.grounding, bot.strictness,
       bot.knowledge_search_enabled, bot.channel_reply_mode, bot.allowed_users, bot.allowed_origins,
       bot.allow_hosted_provider, bot.retention_days, bot.status, bot.version, bot.pinned_version, bot.snippet_count,
       bot.created_at, bot.updated_at, prompt.system_prompt
  FROM bots.bot
  JOIN bots.prompt_version AS prompt
    ON prompt.bot_id = bot.id AND prompt.version = coalesce(bot.pinned_version, bot.version)
 WHERE bot.slug = $1 AND bot.status <> 'archived'
"""


def rfc3339(moment: Any) -> str:
    """Write a moment as the API does."""
    return str(moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"))


async def main() -> None:
    """Run the service."""
    set_up_logging()
    pool = await asyncpg.create_pool(os.environ["DATABASE_URL"])
    nc = await connect("bots")

    async def get(question: dict[str, Any]) -> dict[str, Any]:
        async with pool.acquire() as conn:
            row = await conn.fetchrow(GET_BOT, question["slug"])
        if row is None:
            return {"error": "bot_not_found"}
        bot = dict(row)
        bot["id"] = str(bot["id"])
        bot["fallbacks"] = json.loads(bot["fallbacks"])
        bot["allowed_users"] = [str(user) for user in bot["allowed_users"]]
        bot["created_at"] = rfc3339(bot["created_at"])
        bot["updated_at"] = rfc3339(bot["updated_at"])
        bot["effective"] = {"provider": "quote", "model": "quote"}
        bot["readiness"] = []
        if bot["snippet_count"] == 0:
            bot["readiness"].append({"code": "no_knowledge", "detail": "it was taught nothing: add a snippet"})
        return bot

    await serve(nc, "bots", "bots.get", get)
    await until_stopped(nc)
    await pool.close()


if __name__ == "__main__":
    asyncio.run(main())
