"""What every answer says beside its body, and the notes on a request that this is said from."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from aiohttp import web

from hivemind_common.ops import SERVER

REQUEST: Final = web.RequestKey("request_id", str)

PATTERN: Final = web.RequestKey("pattern", str)
"""The path of the table that was matched, for whoever counts."""

DROPS_COOKIE: Final = web.RequestKey("drops_cookie", str)
"""What clears the cookie of a dead session that stood beside the credential, whatever is answered."""

CROSS_ORIGIN: Final = web.RequestKey("cross_origin", str)
"""The page elsewhere that made the request, where such pages may call the API: with a key, and never with a cookie.

Empty where it is none of them.
"""

PREFLIGHT: Final = {
    "Access-Control-Allow-Headers": (
        "authorization, content-type, idempotency-key, if-match, if-none-match, x-api-key, x-request-id"
    ),
    "Access-Control-Max-Age": "600",
}

EXPOSED: Final = "etag, location, ratelimit-limit, ratelimit-remaining, ratelimit-reset, retry-after, x-request-id"


def add_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Put on an answer what each must have."""
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Cache-Control", "no-store")
    if response.status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers.setdefault("Retry-After", "1")
    response.headers["X-Request-Id"] = request.get(REQUEST, "")
    response.headers["Server"] = SERVER
    origin = request.get(CROSS_ORIGIN)
    if origin is not None:
        response.headers.add("Vary", "Origin")
    if origin:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = EXPOSED
    cleared = request.get(DROPS_COOKIE)
    if cleared is not None:
        response.headers.add("Set-Cookie", cleared)
