"""Who one is, and how the server is."""

from __future__ import annotations

from pydantic import ValidationError

from hivemind_client.asking import Asking, part
from hivemind_client.errors import NotHivemindError
from hivemind_client.models import Account, Health, OpenSession, Registration, Session
from hivemind_client.wire import Request, refusal


class Accounts(Asking):
    """Accounts, sessions, health."""

    async def register(self, username: str, email: str, password: str, setup_token: str | None = None) -> Registration:
        """Make the first administrator; its key is told now and never again."""
        body = {"username": username, "email": email, "password": password}
        if setup_token is not None:
            body["setup_token"] = setup_token
        return self._read(Registration, await self._change(Request("POST", "/auth/register", body=body), 201))

    async def login(self, email: str, password: str) -> Session:
        """Open a session; its `token` is what later clients take as `session`."""
        reply = await self._change(Request("POST", "/auth/login", body={"email": email, "password": password}), 200)
        token = reply.cookies.get("hm_session", "")
        if not token:
            raise NotHivemindError(
                f"{self.url} signed in without a session", hint="does a proxy strip the cookie hm_session?"
            )
        return self._read(Session, reply).with_token(token)

    async def whoami(self) -> Account:
        """Who the server takes this caller for."""
        return self._read(Account, await self._get("/auth/me"))

    async def logout(self) -> None:
        """End the session of this client; one that has ended already, or a client without one, is no error."""
        await self._change(Request("POST", "/auth/logout"), 204)

    async def change_password(self, current: str, new: str) -> Account:
        """Set the password of one's own account; every other session of it ends."""
        body = {"password": new, "current_password": current}
        return self._read(Account, await self._change(Request("PATCH", "/auth/me", body=body), 200))

    async def sessions(self) -> list[OpenSession]:
        """One's own sessions, newest first."""
        return [session async for session in self._list(OpenSession, "/api/v1/sessions", {}, None)]

    async def revoke_session(self, session_id: str) -> None:
        """End one of one's own sessions."""
        await self._change(Request("DELETE", f"/api/v1/sessions/{part(session_id)}"), 204)

    async def health(self) -> Health:
        """How the server is; `down` is an answer too, and is not asked again."""
        reply = await self._wire.send(Request("GET", "/api/v1/health"), deadline=self._deadline())
        try:
            if reply.status in (200, 503):
                return Health.read(reply.json)
        except (ValueError, ValidationError):
            if reply.status == 200:
                raise self._misfit("health") from None
        raise refusal(self.url, reply)
