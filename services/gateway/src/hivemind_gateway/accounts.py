"""The first admin, signing in, and who one is."""

from __future__ import annotations

import hmac
from contextlib import suppress
from typing import Annotated, Any, Final

from pydantic import Field, SecretStr, StringConstraints

from hivemind_common.contracts.auth import (
    GET_SETUP_STATE,
    NOTE_SETUP_REFUSED,
    REGISTER_ADMIN,
    SIGN_IN,
    AlreadyRegisteredError,
    Email,
    NewKey,
    RegisterAdmin,
    SignIn,
    Username,
)
from hivemind_common.contracts.kinds import Instant, Message, Nothing
from hivemind_common.ids import AccountId, KeyId, new_id
from hivemind_common.principal import PrincipalKind, Role
from hivemind_common.secrets import digest, new_token
from hivemind_gateway import bodies
from hivemind_gateway.credentials import new_key, password_digest
from hivemind_gateway.identity import COOKIE
from hivemind_gateway.peers import client_of, is_from_here, is_outer_https
from hivemind_gateway.problems import SetupTokenRequiredError
from hivemind_gateway.routing import Access, Reply, Request, Routes

routes = Routes()

SESSION_SECONDS: Final = 604_800


class RegisterForm(Message):
    """What registering takes."""

    username: Username
    email: Email
    password: Annotated[SecretStr, Field(min_length=12, max_length=256)]
    setup_token: Annotated[SecretStr, Field(max_length=1_024)] | None = None


class LoginForm(Message):
    """What signing in takes; a password of any length may be tried."""

    email: Annotated[str, StringConstraints(min_length=1, max_length=254)]
    password: Annotated[SecretStr, Field(min_length=1, max_length=1_024)]
    totp: Annotated[str, StringConstraints(max_length=16)] | None = None


class Registered(Message):
    """The first admin, with the key that is shown this once."""

    id: AccountId
    username: str
    email: str
    role: Role
    api_key: str


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


@routes.post("/auth/register", access=Access.OPEN, is_lenient=True, checks_origin=True)
async def register(request: Request, body: Any) -> Reply:
    """Make the first admin: from this machine, or with the setup token; exactly once."""
    environment = request.door.environment
    if (await request.call.ask(GET_SETUP_STATE, Nothing())).has_admin:
        raise AlreadyRegisteredError
    if not _may_set_up(request, body.get("setup_token") if isinstance(body, dict) else None):
        await request.call.ask(NOTE_SETUP_REFUSED, Nothing())
        raise SetupTokenRequiredError
    form = bodies.validate(RegisterForm, body)
    key = new_key()
    account = await request.call.ask(
        REGISTER_ADMIN,
        RegisterAdmin(
            username=form.username,
            email=form.email,
            password_digest=password_digest(form.password),
            key=NewKey(id=KeyId(new_id()), prefix=key[:15], digest=digest(key).hex()),
        ),
    )
    if environment.setup_token_file is not None:
        with suppress(OSError):
            environment.setup_token_file.unlink(missing_ok=True)
    told = Registered(id=account.id, username=account.username, email=account.email, role=account.role, api_key=key)
    return Reply(told, 201, {"Location": "/auth/me"})


@routes.post("/auth/login", access=Access.OPEN, checks_origin=True)
async def login(request: Request, body: LoginForm) -> Reply:
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
    cookie = f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={SESSION_SECONDS}"
    if is_outer_https(request.http, request.door.environment):
        cookie += "; Secure"
    account = signed_in.account
    told = SignedInAs(
        id=account.id,
        username=account.username,
        email=account.email,
        role=account.role,
        expires_at=signed_in.expires_at,
    )
    return Reply(told, headers={"Set-Cookie": cookie})


@routes.get("/auth/me", access=Access.SIGNED_IN)
async def me(request: Request) -> Reply:
    """Tell who one is, and what one may."""
    caller = request.caller
    principal = request.principal
    is_break_glass = principal.kind is PrincipalKind.BREAK_GLASS
    return Reply(
        Me(
            id=principal.id,
            username=principal.name,
            email=None if is_break_glass or caller is None else caller.identity.email,
            role=principal.role,
            auth=caller.by if caller is not None else "",
            scopes=principal.scopes,
        )
    )


def _may_set_up(request: Request, given: object) -> bool:
    """A token that is sent must be the right one; none is needed by somebody who asks from this machine."""
    expected = request.door.environment.setup_token
    if given is None and is_from_here(request.http):
        return True
    if not isinstance(given, str) or expected is None:
        return False
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.get_secret_value().encode())
