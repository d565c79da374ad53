"""What every answer says beside its body, and the notes on a request that this is said from."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from hivemind_common.ops import SERVER
from hivemind_gateway.identity import COOKIE

REQUEST: Final = web.RequestKey("request_id", str)

PATTERN: Final = web.RequestKey("pattern", str)
"""The path of the table that was matched, for whoever counts."""

DROPS_COOKIE: Final = web.RequestKey("drops_cookie", bool)
"""A dead session stood beside the credential; whatever is answered clears its cookie."""

CLEARED: Final = f"{COOKIE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"


def add_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Put on an answer what each must have."""
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Request-Id"] = request.get(REQUEST, "")
    response.headers["Server"] = SERVER
    if request.get(DROPS_COOKIE, False):
        response.headers.add("Set-Cookie", CLEARED)
