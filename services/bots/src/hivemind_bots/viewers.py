"""Who may know of which bot."""

from __future__ import annotations

from hivemind_common.ids import AccountId
from hivemind_common.principal import Principal, Role


def viewer_of(principal: Principal) -> AccountId | None:
    """Return the account that sees only bots which would talk to it; None for whoever may know of all."""
    return principal.id if principal.role is Role.USER else None
