"""Strong validators: a tag for a thing as it is shown now, and 304 for whoever has seen it so."""

from __future__ import annotations

import hashlib

from aiohttp import hdrs, web

from hivemind_common.errors import ValidationFailedError
from hivemind_gateway.problems import PreconditionFailedError


def check_match(request: web.Request, shown: bytes) -> None:
    """Raise `PreconditionFailedError` where `If-Match` names no state that the thing is in, `ValidationFailedError` for no tags.

    `shown` is its JSON as a GET answers it now. `*` means that it has to be there, which it is.
    """
    if hdrs.IF_MATCH not in request.headers:
        return
    known = request.if_match or ()
    if not known:
        raise ValidationFailedError.at("header.If-Match", "malformed", "must be tags in double quotes, or *")
    tag = _tag_of(shown)
    if not any(each.value == "*" or (each.value == tag and not each.is_weak) for each in known):
        raise PreconditionFailedError(facts={"current_etag": f'"{tag}"'})


def tagged(request: web.Request, response: web.Response) -> web.Response:
    """Return the answer with its `ETag`, or 304 where the caller names that one."""
    body = response.body if isinstance(response.body, bytes) else b""
    tag = _tag_of(body)
    response.headers[hdrs.ETAG] = f'"{tag}"'
    if request.method in {"GET", "HEAD"} and any(known.value in {tag, "*"} for known in request.if_none_match or ()):
        return web.Response(status=304, headers={hdrs.ETAG: f'"{tag}"'})
    return response


def _tag_of(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=16).hexdigest()
