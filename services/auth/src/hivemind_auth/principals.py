"""Who an account is to everybody else."""

from __future__ import annotations

from hivemind_common.contracts.auth import Account
from hivemind_common.principal import ALL_SCOPES, USER_SCOPES, Principal, PrincipalKind, Role


def principal_of(kind: PrincipalKind, account: Account, scopes: tuple[str, ...] | None = None) -> Principal:
    """Return who asks: it holds what `scopes` (None: all) and the account's role have in common.

    So a demotion reaches the keys of an account.
    """
    held: tuple[str, ...] = ALL_SCOPES if account.role is Role.ADMIN else USER_SCOPES
    if scopes is not None:
        held = tuple(scope for scope in held if scope in scopes)
    return Principal(kind=kind, id=account.id, name=account.username, role=account.role, scopes=held)
