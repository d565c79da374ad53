"""Who asks: plain data of closed kinds, carried in every envelope."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict

from hivemind_common.ids import AccountId


class PrincipalKind(StrEnum):
    """The kinds of askers that there are."""

    USER = "user"
    KEY = "key"
    BREAK_GLASS = "break_glass"
    ANONYMOUS = "anonymous"
    CHANNEL_MEMBER = "channel_member"
    SERVICE = "service"


class Role(StrEnum):
    """The two roles of accounts."""

    ADMIN = "admin"
    USER = "user"


USER_SCOPES: Final = ("chat", "bots:read", "knowledge:read")
ALL_SCOPES: Final = (
    *USER_SCOPES,
    "bots:write",
    "knowledge:write",
    "integrations",
    "keys",
    "users",
    "audit",
    "updates",
    "admin",
)


class Principal(BaseModel):
    """Who asks. `id` is the account's, a key counting as its owner; None where there is no account."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    kind: PrincipalKind
    id: AccountId | None = None
    name: str = ""
    role: Role | None = None
    scopes: tuple[str, ...] = ()

    def may(self, scope: str) -> bool:
        """Whether this one holds a scope, by itself or through `admin`."""
        return scope in self.scopes or "admin" in self.scopes


ANONYMOUS: Final = Principal(kind=PrincipalKind.ANONYMOUS)
BREAK_GLASS: Final = Principal(kind=PrincipalKind.BREAK_GLASS, name="break-glass", role=Role.ADMIN, scopes=ALL_SCOPES)


def service_principal(name: str) -> Principal:
    """Return the principal under which a service asks of its own accord."""
    return Principal(kind=PrincipalKind.SERVICE, name=name)
