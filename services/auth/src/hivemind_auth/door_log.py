"""What only the door sees, and what has to be in the audit log all the same."""

from __future__ import annotations

from hivemind_auth.floods import Floods
from hivemind_common import audit
from hivemind_common.bus import Call
from hivemind_common.contracts.auth import UseBreakGlass
from hivemind_common.contracts.kinds import Nothing
from hivemind_common.db import Database
from hivemind_common.principal import BREAK_GLASS


class DoorLog:
    """Answers when the entry is committed: the door waits for that."""

    def __init__(self, database: Database, floods: Floods) -> None:
        self._database = database
        self._floods = floods

    async def use_break_glass(self, call: Call, request: UseBreakGlass) -> Nothing:
        """Write down a request under the break-glass key. Each one is: whoever holds that key is no stranger."""
        async with self._database.connection() as conn:
            await audit.record(conn, call.under(BREAK_GLASS), "break_glass.used", target=request.target)
        return Nothing()

    async def note_setup_refused(self, call: Call, _request: Nothing) -> Nothing:
        """Write down that somebody tried to become the first admin without the right token."""
        left_out = self._floods.admit(f"setup {call.address}")
        if left_out is not None:
            async with self._database.connection() as conn:
                await audit.record(
                    conn,
                    call,
                    "account.registered",
                    outcome=audit.Outcome.REFUSED,
                    details={"reason": "setup_token", "left_out": left_out},
                )
        return Nothing()
