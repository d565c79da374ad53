"""Who did what: the entry of an act, in the transaction of the act itself, so that there is both or neither."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from hivemind_common.bus import Call
from hivemind_common.db import Conn
from hivemind_common.principal import Principal

RECORD: Final = "SELECT audit.record($1, $2, $3, $4, $5, $6, $7, $8, $9)"


class Outcome(StrEnum):
    """How an act came out."""

    OK = "ok"
    REFUSED = "refused"


async def record(
    conn: Conn,
    by: Call | Principal,
    action: str,
    *,
    target: UUID | str = "",
    outcome: Outcome = Outcome.OK,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Write down an act: `action` reads `domain.verb`, `target` is the id of what it was done to.

    `by` is the call that asked for it; a loop of a service, which acts for nobody, hands in its own principal. Details
    never hold a secret, nor what people wrote; those of anything that belongs to a bot name it as `bot_id`.
    """
    actor, address, request_id = (by.principal, by.address, by.request_id) if isinstance(by, Call) else (by, None, None)
    await conn.execute(
        RECORD,
        actor.kind,
        actor.id,
        actor.name,
        action,
        str(target),
        outcome,
        address,
        request_id,
        dict(details or {}),
    )
