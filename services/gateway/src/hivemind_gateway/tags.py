"""Strong validators: a tag for a thing as it is shown now, and 304 for whoever has seen it so."""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs, web

from hivemind_common.contracts.edits import Expected, tag_of
from hivemind_common.errors import ValidationFailedError

MOST_TAGS: Final = 50
LONGEST_TAG: Final = 200


def expected(request: web.Request) -> Expected | None:
    """Return the states of which `If-Match` names one, None where there is no such header.

    Raises `ValidationFailedError` for a header without tags. A weak tag is of no state (RFC 9110, 13.1.1).
    """
    if hdrs.IF_MATCH not in request.headers:
        return None
    known = request.if_match or ()
    if not known:
        raise ValidationFailedError.at("header.If-Match", "malformed", "must be tags in double quotes, or *")
    if len(known) > MOST_TAGS or any(len(tag.value) > LONGEST_TAG for tag in known):
        raise ValidationFailedError.at("header.If-Match", "too_long", f"must be at most {MOST_TAGS} tags of ours, or *")
    return tuple(tag.value for tag in known if tag.value and not tag.is_weak)


def tagged(request: web.Request, response: web.Response) -> web.Response:
    """Return the answer with its `ETag`, or 304 where the caller names that one."""
    body = response.body if isinstance(response.body, bytes) else b""
    tag = tag_of(body)
    response.headers[hdrs.ETAG] = f'"{tag}"'
    if request.method in {"GET", "HEAD"} and any(known.value in {tag, "*"} for known in request.if_none_match or ()):
        return web.Response(status=304, headers={hdrs.ETAG: f'"{tag}"'})
    return response
