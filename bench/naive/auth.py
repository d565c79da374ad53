"""Auth: whose key is it."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from bench.naive.common import connect, serve, set_up_logging, until_stopped

FIND_KEY = """
SELECT account.id, account.username, account.email, account.role, api_key.id AS key_id, api_key.scopes,
       api_key.last_used_at
  FROM auth.api_key JOIN auth.account ON account.id = api_key.account_id
 WHERE api_key.digest = $1 AND api_key.revoked_at IS NULL AND (api_key.expires_at IS NULL OR api_key.expires_at > $2)
   AND account.status = 'active'
"""
TOUCH_KEY = "UPDATE auth.api_key SET last_used_at = $2 WHERE id = $1"

USER_SCOPES = ["chat", "bots:read", "knowledge:read"]
ADMIN_SCOPES = [
    *USER_SCOPES,
    "bots:write",
    "knowledge:write",
    "integrations",
    "keys",
    "users",
    "audit",
    "updates",
    "admin",
]


async def main() -> None:
    """Run the service."""
    set_up_logging()
    pool = await asyncpg.create_pool(os.environ["DATABASE_URL"])
    nc = await connect("auth")

    async def identify(question: dict[str, Any]) -> dict[str, Any]:
        now = datetime.now(UTC)
        async with pool.acquire() as conn:
            row = await conn.fetchrow(FIND_KEY, bytes.fromhex(question["digest"]), now)
            if row is None:
                return {"error": "credential_refused"}
            if row["last_used_at"] is None or row["last_used_at"] < now - timedelta(minutes=1):
                await conn.execute(TOUCH_KEY, row["key_id"], now)
        scopes = ADMIN_SCOPES if row["role"] == "admin" else USER_SCOPES
        if row["scopes"] is not None:
            scopes = [scope for scope in scopes if scope in row["scopes"]]
        return {
            "kind": "key",
            "id": str(row["id"]),
            "name": row["username"],
            "email": row["email"],
            "role": row["role"],
            "scopes": scopes,
        }

    await serve(nc, "auth", "auth.identify", identify)
    await until_stopped(nc)
    await pool.close()


if __name__ == "__main__":
    asyncio.run(main())
