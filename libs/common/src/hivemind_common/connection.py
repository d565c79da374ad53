"""One client's connection: bounded in what it sends and in how long it takes, and refused in our words.

aiohttp answers what its parser cannot read by itself, past every middleware: as bare text, with its own name and
version, and with a stack trace in the log. Its protocol class is where that can be changed.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from aiohttp import http, http_exceptions, web

MOST_LINE: Final = 16_384
"""Holds a search of 1,000 characters of any script, percent-encoded."""

MOST_FIELD: Final = 8_190
MOST_FIELDS: Final = 100
MOST_HEAD: Final = 65_536

MOST_FILES: Final = 20_000

HEAD_SECONDS: float = 20.0
"""So long may the head of a request take from its first byte to its last."""

IDLE_SECONDS: float = 130.0
"""So long is a connection kept on which nothing is asked: longer than proxies keep theirs, so that they close first."""

LINGER_SECONDS: float = 2.0
"""So long is read on, and thrown away, after a refusal: closing at once could destroy the answer on its way."""

STALLED: Final = 60_000
"""After so many milliseconds in which a client takes nothing of its answer it is given up."""

Refuse = Callable[[web.BaseRequest, str, bytes], web.StreamResponse]
"""Answers what cannot be read: why, and the bytes that it was found in."""


class Connections:
    """All that are open, the oldest first. When there are too many, the oldest idle one makes room."""

    def __init__(self) -> None:
        # Half of the files that this process may open: the rest is for those who answer.
        self.most = _allow_files() // 2
        self._open: dict[Connection, None] = {}

    def add(self, connection: Connection) -> bool:
        """Take one in; false where there is no room."""
        if len(self._open) >= self.most:
            idle = next((other for other in self._open if other.is_idle), None)
            if idle is None:
                return False
            self.remove(idle)
            idle.force_close()
        self._open[connection] = None
        return True

    def remove(self, connection: Connection) -> None:
        """Forget one."""
        self._open.pop(connection, None)


class Connection(web.RequestHandler):
    """aiohttp's connection, with limits and with refusals of ours."""

    def __init__(self, server: web.Server, *, others: Connections, refuse: Refuse) -> None:
        settings: dict[str, Any] = {
            "access_log": None,
            "keepalive_timeout": IDLE_SECONDS,
            "lingering_time": LINGER_SECONDS,
            "max_line_size": MOST_LINE,
            "max_field_size": MOST_FIELD,
            "max_headers": MOST_FIELDS,
            # Nothing is unpacked: compressed bodies are refused.
            "auto_decompress": False,
        }
        super().__init__(server, loop=asyncio.get_running_loop(), **settings)
        self._others = others
        self._refuse = refuse
        self._refused: bytes | None = None
        self._head_size = 0
        self._head_timer: asyncio.TimerHandle | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being answered."""
        return self._waiter is not None and not self._waiter.done()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, where there is room."""
        super().connection_made(transport)
        if not self._others.add(self):
            self.force_close()
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        self._others.remove(self)
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; whatever follows what was refused is thrown away."""
        if self._refused is not None:
            return
        super().data_received(data)
        if self._messages and not isinstance(self._messages[-1][0], http.RawRequestMessage):
            self._refused = data
            self._break_body()
        elif not self.is_idle:
            self._stop_head_timer()
        elif data:
            self._head_size += len(data)
            if self._head_timer is None:
                self._head_timer = self._loop.call_later(HEAD_SECONDS, self.force_close)
            if self._head_size > MOST_HEAD:
                super().data_received(b"\0")  # no head may hold it, so this is where the parser refuses

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what the parser refuses."""
        if status != 400:
            return super().handle_error(request, status, exc, message)
        self._stop_head_timer()
        response = self._refuse(request, _reason(exc), self._refused or b"")
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write an answer. After the last one the client sees the end at once, while we still read what it sends."""
        finished = await super().finish_response(request, resp, start_time)
        if not resp.keep_alive and self.transport is not None and self.transport.can_write_eof():
            self.transport.write_eof()
            if self._refused is not None:
                await asyncio.sleep(LINGER_SECONDS)  # cut short when the client closes
        return finished

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log what went wrong here; that a body stopped half way is the client's affair."""
        if not isinstance(kw.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **kw)

    def _break_body(self) -> None:
        """Tell whoever reads the body in which the fault stands: aiohttp's own parser leaves them waiting."""
        if len(self._messages) > 1:
            body = self._messages[-2][1]
        elif self._current_request is not None:
            body = self._current_request.content
        else:
            return
        if not body.is_eof():
            body.set_exception(web.RequestPayloadError("the body cannot be read"))

    def _stop_head_timer(self) -> None:
        self._head_size = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def _allow_files() -> int:
    """Let this process open as many files as it may let itself, up to what a server needs; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # some systems promise more than they allow
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return wanted if soft == resource.RLIM_INFINITY else min(soft, wanted)


def _reason(fault: BaseException | None) -> str:
    if isinstance(fault, http_exceptions.LineTooLong):
        return "the request line or a header is too long"
    if type(fault) is http_exceptions.BadHttpMessage:
        # The parser names the fault in a first line of its own; what follows repeats what was sent.
        return f"this is not HTTP/1.1: {fault.message.partition(chr(10))[0].rstrip(':.')}"
    return "this is not HTTP/1.1"
