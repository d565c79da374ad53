"""What a request has to be before anything else about it is looked at; else it is 400, and the connection ends."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from aiohttp import HttpVersion10, HttpVersion11, hdrs, web

from hivemind_common.connection import MOST_FIELD, MOST_HEAD
from hivemind_gateway.problems import BrokenRequestError

_HOST: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_METHOD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def check(request: web.Request) -> None:
    """Raise `BrokenRequestError` for what two readers of HTTP could read in two ways."""
    if request.version not in (HttpVersion11, HttpVersion10):
        raise BrokenRequestError("only HTTP/1.1 and HTTP/1.0 are spoken here")
    encoding = request.headers.get(hdrs.TRANSFER_ENCODING)
    if encoding is not None and (encoding.lower() != "chunked" or request.version == HttpVersion10):
        raise BrokenRequestError("Transfer-Encoding may be chunked and nothing else, and not in HTTP/1.0")
    host = request.headers.get(hdrs.HOST)
    if host is not None and not _is_host(host):
        raise BrokenRequestError("Host is not the name of a host")
    # What arrives at once is judged here, what comes bit by bit while it comes.
    if len(request.raw_headers) > MOST_HEAD // MOST_FIELD and _size(request) > MOST_HEAD:
        raise BrokenRequestError("the headers are too long")
    target = request.raw_path
    if "#" in target:
        raise BrokenRequestError("the path holds a #")
    if target.startswith("/") or target == "*" or request.method == hdrs.METH_CONNECT:
        return
    # The whole address instead of the path: allowed, and then it has to be an address of this host.
    scheme = target.partition("://")[0].lower()
    if scheme not in {"http", "https"} or request.url.raw_authority.lower() != (host or "").lower():
        raise BrokenRequestError("the address asked for and Host disagree")


def _size(request: web.Request) -> int:
    return sum(len(name) + len(value) for name, value in request.raw_headers)


@lru_cache(maxsize=256)
def _is_host(text: str) -> bool:
    return _HOST.fullmatch(text) is not None


def method_and_path(raw: bytes) -> tuple[str, str] | None:
    """Return what a request line names, where bytes that could not be read begin with one."""
    line, end, _ = raw.lstrip(b"\r\n").partition(b"\r\n")
    method, *rest = line.split(b" ")
    if not end or len(rest) != 2 or rest[1] not in {b"HTTP/1.0", b"HTTP/1.1"} or not _METHOD.fullmatch(method):
        return None
    return method.decode(), rest[0].partition(b"?")[0].decode("latin-1")
