"""The first admin."""

from __future__ import annotations

import hmac
from contextlib import suppress
from typing import Annotated, Any

from pydantic import Field, SecretStr

from hivemind_common.contracts.auth import (
    GET_SETUP_STATE,
    NOTE_SETUP_REFUSED,
    REGISTER_ADMIN,
    AlreadyRegisteredError,
    BusyError,
    Email,
    NewKey,
    RegisterAdmin,
    Username,
)
from hivemind_common.contracts.kinds import Message, Nothing
from hivemind_common.ids import AccountId, KeyId, new_id
from hivemind_common.principal import Role
from hivemind_common.secrets import digest
from hivemind_gateway import bodies
from hivemind_gateway.credentials import new_key, password_digest
from hivemind_gateway.peers import is_from_here
from hivemind_gateway.problems import SetupTokenRequiredError
from hivemind_gateway.routing import Access, Reply, Request, Routes

routes = Routes()


class RegisterForm(Message):
    """What registering takes."""

    username: Username
    email: Email
    password: Annotated[SecretStr, Field(min_length=12, max_length=256)]
    setup_token: Annotated[SecretStr, Field(max_length=1_024)] | None = None


class Registered(Message):
    """The first admin, with the key that is shown this once."""

    id: AccountId
    username: str
    email: str
    role: Role
    api_key: str


@routes.post(
    "/auth/register",
    access=Access.OPEN,
    form=RegisterForm,
    checks_origin=True,
    status=201,
    refuses=(AlreadyRegisteredError, SetupTokenRequiredError, BusyError),
    example={"username": "ada", "email": "ada@example.org", "password": "correct horse battery"},
)
async def register(request: Request, body: Any) -> Reply[Registered]:
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


def _may_set_up(request: Request, given: object) -> bool:
    """A token that is sent must be the right one; none is needed by somebody who asks from this machine."""
    expected = request.door.environment.setup_token
    if given is None and is_from_here(request.http, request.door.environment):
        return True
    if not isinstance(given, str) or expected is None:
        return False
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.get_secret_value().encode())
