"""Sessions: signing in and out, who one is, and the password of one's own account."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, SecretStr, StringConstraints

from hivemind_common.contracts.auth import (
    CHANGE_PASSWORD,
    LIST_SESSIONS,
    MOST_TRIES,
    REVOKE_SESSION,
    SIGN_IN,
    SIGN_OUT,
    AccountDisabledError,
    BusyError,
    ChangePassword,
    CloseSession,
    InvalidCredentialsError,
    ListSessions,
    SessionInfo,
    SessionNotFoundError,
    SessionOf,
    SignIn,
    TooManyTriesError,
)
from hivemind_common.contracts.kinds import Instant, Message
from hivemind_common.errors import ValidationFailedError
from hivemind_common.ids import AccountId, SessionId
from hivemind_common.principal import PrincipalKind, Role
from hivemind_common.secrets import digest, new_token
from hivemind_gateway import cursors
from hivemind_gateway.credentials import password_digest
from hivemind_gateway.identity import session_cookie, sessions_of
from hivemind_gateway.peers import client_of, is_outer_https
from hivemind_gateway.problems import InvalidCursorError, limit_headers
from hivemind_gateway.queries import PageQuery
from hivemind_gateway.routing import Access, Reply, Request, Routes

routes = Routes()

SESSION_SECONDS: Final = 604_800

ALL_TRIES_LEFT: Final = limit_headers({"limit": MOST_TRIES, "remaining": MOST_TRIES, "reset_secs": 0})
"""The right password forgets the wrong ones."""


class LoginForm(Message):
    """What signing in takes; a password of any length may be tried."""

    email: Annotated[str, StringConstraints(min_length=1, max_length=254)]
    password: Annotated[SecretStr, Field(min_length=1, max_length=1_024)]
    totp: Annotated[str, StringConstraints(max_length=16)] | None = None


class PasswordForm(Message):
    """What a new password takes."""

    password: Annotated[SecretStr, Field(min_length=12, max_length=256)]
    current_password: Annotated[SecretStr, Field(min_length=1, max_length=1_024)]


class SignedInAs(Message):
    """An open session."""

    id: AccountId
    username: str
    email: str
    role: Role
    expires_at: Instant


class Me(Message):
    """Who asks."""

    id: AccountId | None
    username: str
    email: str | None
    role: Role | None
    auth: str
    scopes: tuple[str, ...]


class Session(SessionInfo):
    """A session of one's own."""

    current: bool
    """Whether it is the one that asks."""


class SessionList(Message):
    """A page of one's own sessions."""

    items: tuple[Session, ...]
    next: str | None


@routes.post(
    "/auth/login",
    access=Access.OPEN,
    checks_origin=True,
    refuses=(InvalidCredentialsError, TooManyTriesError, BusyError),
    leads_to=("/auth/me", "/api/v1/sessions"),
    example={"email": "ada@example.org", "password": "correct horse battery"},
)
async def login(request: Request, body: LoginForm) -> Reply[SignedInAs]:
    """Open a session; its token goes into the cookie and nowhere else."""
    token = new_token(43)
    signed_in = await request.call.ask(
        SIGN_IN,
        SignIn(
            email=body.email,
            password_digest=password_digest(body.password),
            token_digest=digest(token).hex(),
            address=client_of(request.http, request.door.environment)[:64],
            # A header may hold bytes that are no UTF-8; they are kept as question marks.
            user_agent=request.http.headers.get("User-Agent", "").encode(errors="replace").decode()[:400],
        ),
    )
    cookie = session_cookie(token, SESSION_SECONDS, secure=is_outer_https(request.http, request.door.environment))
    account = signed_in.account
    told = SignedInAs(
        id=account.id,
        username=account.username,
        email=account.email,
        role=account.role,
        expires_at=signed_in.expires_at,
    )
    return Reply(told, headers={"Set-Cookie": cookie} | ALL_TRIES_LEFT)


@routes.get("/auth/me", access=Access.SIGNED_IN)
async def me(request: Request) -> Reply[Me]:
    """Tell who one is, and what one may."""
    return Reply(_whoever_asks(request))


@routes.post("/auth/logout", access=Access.OPEN, checks_origin=True)
async def logout(request: Request) -> Reply[None]:
    """End the session of the cookie, if it has one; the cookie is cleared in any case."""
    for token in sessions_of(request.http):
        await request.call.ask(SIGN_OUT, CloseSession(token_digest=digest(token).hex()))
        request.door.identities.forget(token)
    cleared = session_cookie("", 0, secure=is_outer_https(request.http, request.door.environment))
    return Reply(None, 204, {"Set-Cookie": cleared})


@routes.patch(
    "/auth/me",
    access=Access.OWN_ACCOUNT,
    refuses=(AccountDisabledError, TooManyTriesError, BusyError),
    example={"password": "another battery staple", "current_password": "correct horse battery"},
)
async def change_password(request: Request, body: PasswordForm) -> Reply[Me]:
    """Set a new password; every other session of the account ends."""
    caller = request.caller
    try:
        await request.call.ask(
            CHANGE_PASSWORD,
            ChangePassword(
                current_digest=password_digest(body.current_password),
                new_digest=password_digest(body.password),
                keep=caller.identity.session_id if caller is not None else None,
            ),
        )
    except InvalidCredentialsError as refusal:
        # Not a 401: who asks is known, and a client would take that for the end of the session.
        wrong = ValidationFailedError.at("current_password", "wrong", "is not the current password")
        wrong.facts.update(refusal.facts)
        raise wrong from None
    request.door.identities.forget_all()
    return Reply(_whoever_asks(request), headers=ALL_TRIES_LEFT)


@routes.get("/api/v1/sessions", access=Access.OWN_ACCOUNT, refuses=(InvalidCursorError,))
async def list_sessions(request: Request, query: PageQuery) -> Reply[SessionList]:
    """List one's own sessions, newest first."""
    scope = f"/api/v1/sessions of {request.principal.id}"
    after = cursors.id_of(scope, query.cursor)
    page = await request.call.ask(
        LIST_SESSIONS, ListSessions(limit=query.limit, after=SessionId(after) if after is not None else None)
    )
    mine = request.caller.identity.session_id if request.caller is not None else None
    items = tuple(Session(**dict(each), current=each.id == mine) for each in page.items)
    following = cursors.write(scope, str(items[-1].id)) if page.more else None
    return Reply(SessionList(items=items, next=following))


async def find_session(request: Request) -> None:
    """Raise `SessionNotFoundError` where the path names none of one's own."""
    session_id = request.path_id("id", SessionNotFoundError)
    found = await request.call.ask(LIST_SESSIONS, ListSessions())
    if session_id not in {each.id for each in found.items}:
        raise SessionNotFoundError


@routes.delete("/api/v1/sessions/{id}", access=Access.OWN_ACCOUNT, finds=find_session, refuses=(SessionNotFoundError,))
async def revoke_session(request: Request) -> Reply[None]:
    """End one of one's own sessions."""
    session_id = SessionId(request.path_id("id", SessionNotFoundError))
    await request.call.ask(REVOKE_SESSION, SessionOf(session_id=session_id))
    request.door.identities.forget_all()
    return Reply(None, 204)


def _whoever_asks(request: Request) -> Me:
    caller, principal = request.caller, request.principal
    is_break_glass = principal.kind is PrincipalKind.BREAK_GLASS
    return Me(
        id=principal.id,
        username=principal.name,
        email=None if is_break_glass or caller is None else caller.identity.email,
        role=principal.role,
        auth=caller.by if caller is not None else "",
        scopes=principal.scopes,
    )
