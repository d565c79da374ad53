"""Strong validators: a tag for a thing as it is shown now, and 304 for whoever has seen it so."""

from __future__ import annotations

import hashlib

from aiohttp import hdrs, web


def tagged(request: web.Request, response: web.Response) -> web.Response:
    """Return the answer with its `ETag`, or 304 where the caller names that one."""
    body = response.body if isinstance(response.body, bytes) else b""
    tag = hashlib.blake2b(body, digest_size=16).hexdigest()
    response.headers[hdrs.ETAG] = f'"{tag}"'
    if request.method in {"GET", "HEAD"} and any(known.value in {tag, "*"} for known in request.if_none_match or ()):
        return web.Response(status=304, headers={hdrs.ETAG: f'"{tag}"'})
    return response
