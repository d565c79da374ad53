"""Who asks: credentials in, a principal out. Verified identities are kept for a second and no longer."""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass
from functools import partial
from typing import Final

from aiohttp import web

from hivemind_common.bus import Call
from hivemind_common.contracts.auth import (
    IDENTIFY,
    USE_BREAK_GLASS,
    CredentialKind,
    CredentialRefusedError,
    Identify,
    Identity,
    UseBreakGlass,
)
from hivemind_common.environment import Environment
from hivemind_common.principal import BREAK_GLASS
from hivemind_common.secrets import digest
from hivemind_gateway.problems import (
    AmbiguousCredentialsError,
    InvalidApiKeyError,
    InvalidSessionError,
    MissingApiKeyError,
)

COOKIE: Final = "hm_session"
KEPT_SECONDS: Final = 1.0
"""So a revoked key dies everywhere within a second, with no message having to arrive."""

MOST_KEPT: Final = 10_000
MOST_SESSIONS: Final = 4
"""So many cookies of the one name are looked at: a browser sends a second one where a neighbouring host has set it."""

LONGEST_CREDENTIAL: Final = 1_024


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and by which credential."""

    identity: Identity
    by: str
    """`session`, `api_key` or `break_glass`."""
    drops_cookie: bool = False
    """A dead session stood beside the credential; its cookie is cleared."""


class Identities:
    """Asks auth about credentials: once a second for each, however many requests show it."""

    def __init__(self, environment: Environment) -> None:
        key = environment.admin_api_key
        self._break_glass = key.get_secret_value().encode() if key is not None else None
        self._kept: dict[str, tuple[float, Identity]] = {}
        self._asking: dict[str, tuple[float, asyncio.Task[Identity]]] = {}

    def forget(self, token: str) -> None:
        """Ask anew about a session from now on: it was ended here."""
        self._kept.pop(f"{CredentialKind.SESSION}:{digest(token).hex()}", None)

    def forget_all(self) -> None:
        """Ask anew about everybody: credentials were ended here, and which ones only auth knows."""
        self._kept.clear()

    async def identify(self, request: web.Request, call: Call) -> Caller:
        """Return who asks; raises one of the 401s, or `AmbiguousCredentialsError`."""
        by_token = [await self._by_token(token, call, bearer=bearer) for token, bearer in _tokens_of(request)]
        sessions = sessions_of(request)
        by_session = [caller for session in sessions if (caller := await self._by_session(session, call)) is not None]
        callers = by_session + by_token
        is_dead = bool(sessions) and not by_session
        if not callers:
            raise InvalidSessionError if is_dead else MissingApiKeyError
        if len({(caller.identity.principal.id, caller.by == "break_glass") for caller in callers}) > 1:
            raise AmbiguousCredentialsError
        if callers[0].by == "break_glass":
            # Nothing goes on before its entry is written: when auth or the database is away, this is where it ends.
            # The path as it was sent holds no query, and no byte that the database could not keep.
            target = f"{request.method} {request.rel_url.raw_path}"[:300]
            await call.under(BREAK_GLASS).ask(USE_BREAK_GLASS, UseBreakGlass(target=target))
        return Caller(callers[0].identity, callers[0].by, drops_cookie=is_dead)

    async def _by_session(self, session: str, call: Call) -> Caller | None:
        try:
            return Caller(await self._ask(CredentialKind.SESSION, session, call), "session")
        except CredentialRefusedError:
            return None

    async def _by_token(self, token: str, call: Call, *, bearer: bool) -> Caller:
        if (
            bearer
            and self._break_glass is not None
            and hmac.compare_digest(token.encode("utf-8", "surrogatepass"), self._break_glass)
        ):
            return Caller(Identity(principal=BREAK_GLASS, email=""), "break_glass")
        try:
            return Caller(await self._ask(CredentialKind.KEY, token, call), "api_key")
        except CredentialRefusedError:
            raise InvalidApiKeyError from None

    async def _ask(self, kind: CredentialKind, secret: str, call: Call) -> Identity:
        if len(secret) > LONGEST_CREDENTIAL:
            raise CredentialRefusedError
        hashed = digest(secret).hex()
        name = f"{kind}:{hashed}"
        loop = asyncio.get_running_loop()
        kept = self._kept.get(name)
        if kept is not None and kept[0] > loop.time():
            return kept[1]
        until, task = self._asking.get(name, (0.0, None))
        if task is None or until <= loop.time():
            # The second counts from before the question: what was true then may have ended since, and who comes after
            # it does not wait for that answer.
            until = loop.time() + KEPT_SECONDS
            task = asyncio.create_task(self._verify(name, Identify(kind=kind, digest=hashed), call, until))
            self._asking[name] = until, task
            task.add_done_callback(partial(self._asked, name, until))
        return await asyncio.shield(task)

    def _asked(self, name: str, until: float, task: asyncio.Task[Identity]) -> None:
        if self._asking.get(name) == (until, task):
            del self._asking[name]
        if not task.cancelled():
            task.exception()  # seen: whoever waited for it may have hung up

    async def _verify(self, name: str, question: Identify, call: Call, until: float) -> Identity:
        identity = await call.as_service().ask(IDENTIFY, question)
        if len(self._kept) >= MOST_KEPT:
            now = asyncio.get_running_loop().time()
            self._kept = {key: value for key, value in self._kept.items() if value[0] > now}
        if len(self._kept) < MOST_KEPT:
            self._kept[name] = (until, identity)
        return identity


def session_cookie(token: str, seconds: int, *, secure: bool) -> str:
    """Write the cookie of a session; an empty token that is kept for no second clears it."""
    cookie = f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}"
    return f"{cookie}; Secure" if secure else cookie


def sessions_of(request: web.Request) -> list[str]:
    """Return the sessions that the cookies of a request name."""
    pairs = (part.partition("=") for value in request.headers.getall("Cookie", []) for part in value.split(";"))
    named = (value.strip() for name, _, value in pairs if name.strip() == COOKIE)
    return list(dict.fromkeys(session for session in named if session))[:MOST_SESSIONS]


def _tokens_of(request: web.Request) -> list[tuple[str, bool]]:
    """Return the keys and tokens of a request, each with whether it is a bearer token."""
    tokens = [(value.strip(), False) for value in request.headers.getall("X-API-Key", [])]
    for value in request.headers.getall("Authorization", []):
        scheme, _, token = value.strip().partition(" ")
        if scheme.lower() == "bearer":
            tokens.append((token.strip(), True))
    return [(token, bearer) for token, bearer in tokens if token]
