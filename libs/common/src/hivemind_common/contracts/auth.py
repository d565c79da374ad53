"""Who is who. No secret crosses the bus: tokens and keys travel as digests, a password as the digest of one.

The asker makes tokens and keys, shows them to their owner, and hands only their SHA-256 over.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from hivemind_common.contracts.health import health_of
from hivemind_common.contracts.kinds import Instant, Message, Nothing, Rpc
from hivemind_common.contracts.texts import BLANKS, described
from hivemind_common.errors import HivemindError, Kind
from hivemind_common.ids import AccountId, KeyId, SessionId
from hivemind_common.principal import Principal, Role

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 in hexadecimal."""


_EMAIL: Final = f"^[^@{BLANKS}]+@[^@{BLANKS}]+$"


def _one_at(email: str) -> str:
    if not re.fullmatch(_EMAIL, email):
        raise PydanticCustomError("malformed", "must be an e-mail address: one @ with something on both sides")
    return email


Username = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,63}$")]
Email = Annotated[str, StringConstraints(max_length=254), AfterValidator(_one_at), described(pattern=_EMAIL)]


class AlreadyRegisteredError(HivemindError):
    """There is an admin, so the door for the first one is closed for good."""

    code = "already_registered"
    kind = Kind.CONFLICT
    words = "an admin is registered already; sign in instead"


class InvalidCredentialsError(HivemindError):
    """The same for a wrong password and for an address that nobody has; the facts say how many tries are left."""

    code = "invalid_credentials"
    kind = Kind.UNAUTHENTICATED
    words = "wrong e-mail address or password"


class CredentialRefusedError(HivemindError):
    """No living account stands behind the digest that was shown; the door says which kind of credential it was."""

    code = "credential_refused"
    kind = Kind.UNAUTHENTICATED
    words = "the credential is not valid"


MOST_TRIES: Final = 10
"""Wrong passwords for one address from one network within a quarter of an hour."""


class TooManyTriesError(HivemindError):
    """Ten wrong passwords for one address from one network: this pair has to wait, and nobody else."""

    code = "rate_limited"
    kind = Kind.EXHAUSTED
    words = "too many wrong passwords; try again later"


class SessionNotFoundError(HivemindError):
    """Not one of the asker's own, or over."""

    code = "not_found"
    kind = Kind.NOT_FOUND
    words = "there is no such session"


class AccountDisabledError(HivemindError):
    """The account was disabled while it was being changed."""

    code = "account_disabled"
    kind = Kind.FORBIDDEN
    words = "the account is disabled"


class BusyError(HivemindError):
    """Passwords are checked two at a time, and the line of those who wait is full."""

    code = "unavailable"
    kind = Kind.UNAVAILABLE
    words = "too many sign-ins at once; try again shortly"


class Account(Message):
    """An account as it may be shown."""

    id: AccountId
    username: str
    email: str
    role: Role


class NewKey(Message):
    """A key that the asker has made: its id, what of it may be shown, and its digest."""

    id: KeyId
    prefix: str
    digest: Digest


class RegisterAdmin(Message):
    """Make the first account."""

    username: Username
    email: Email
    password_digest: Digest
    key: NewKey


class SignIn(Message):
    """Try a password and open a session under the token whose digest this is."""

    email: str
    password_digest: Digest
    token_digest: Digest
    address: str = Field("", max_length=64)
    user_agent: str = Field("", max_length=400)


class SignedIn(Message):
    """An open session."""

    account: Account
    expires_at: Instant


class CloseSession(Message):
    """End the session of a token, if there is one."""

    token_digest: Digest


class SessionInfo(Message):
    """A session as its owner may see it."""

    id: SessionId
    created_at: Instant
    last_seen_at: Instant
    expires_at: Instant
    address: str
    user_agent: str


class ListSessions(Message):
    """Ask for a page, newest first; `after` is the last session of the page before."""

    limit: Annotated[int, Field(ge=1, le=200)] | None = None
    """None: all, as they were asked for before there were pages."""
    after: SessionId | None = None


class SessionsFound(Message):
    """A page of the sessions of an account that may be used; `more` says whether another follows."""

    items: tuple[SessionInfo, ...]
    more: bool = False


class SessionOf(Message):
    """One session of the asker's."""

    session_id: SessionId


class ChangePassword(Message):
    """Set a new password for the asker's account; all sessions but `keep` end."""

    current_digest: Digest
    new_digest: Digest
    keep: SessionId | None = None


class CredentialKind(StrEnum):
    """What a digest is of."""

    SESSION = "session"
    KEY = "key"


class Identify(Message):
    """Whose credential is this?"""

    kind: CredentialKind
    digest: Digest


class Identity(Message):
    """The account behind a credential, and the principal that asks under it."""

    principal: Principal
    email: str
    session_id: SessionId | None = None


class UseBreakGlass(Message):
    """Carry out a request under the break-glass key: its method and its path, as `GET /api/v1/bots`."""

    target: str = Field(max_length=300)


class SetupState(Message):
    """Whether the first admin is there."""

    has_admin: bool


AUTH_HEALTH = health_of("auth")

REGISTER_ADMIN = Rpc("auth.v1.admin.register", RegisterAdmin, Account, errors=(AlreadyRegisteredError, BusyError))
"""Exactly one of any number of racing registrations succeeds."""

GET_SETUP_STATE = Rpc("auth.v1.setup.get", Nothing, SetupState)

SIGN_IN = Rpc("auth.v1.session.open", SignIn, SignedIn, errors=(InvalidCredentialsError, TooManyTriesError, BusyError))

SIGN_OUT = Rpc("auth.v1.session.close", CloseSession, Nothing)

LIST_SESSIONS = Rpc("auth.v1.session.list", ListSessions, SessionsFound)
"""Those of whoever asks."""

REVOKE_SESSION = Rpc("auth.v1.session.revoke", SessionOf, Nothing, errors=(SessionNotFoundError,))

CHANGE_PASSWORD = Rpc(
    "auth.v1.password.change",
    ChangePassword,
    Nothing,
    errors=(InvalidCredentialsError, AccountDisabledError, TooManyTriesError, BusyError),
)

IDENTIFY = Rpc("auth.v1.credential.identify", Identify, Identity, errors=(CredentialRefusedError,))

USE_BREAK_GLASS = Rpc("auth.v1.break-glass.use", UseBreakGlass, Nothing)
"""The answer is the leave to go on: by then the use stands in the audit log. Without one nothing is carried out."""

NOTE_SETUP_REFUSED = Rpc("auth.v1.setup-refusal.note", Nothing, Nothing)
"""Somebody without the right setup token tried to become the first admin; a flood of them is kept as a count."""
