"""HTTP itself: one request, one bounded answer, and every fault as an exception with words in it."""

from __future__ import annotations

import asyncio
import errno
import json
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
from yarl import URL

from hivemind_client.errors import (
    ApiError,
    ClientError,
    InvalidInputError,
    NotHivemindError,
    TimedOutError,
    UnreachableError,
    phrase_of,
)

LARGEST_ANSWER = 64 * 1024 * 1024
"""A page of fifty of the longest snippets, each letter escaped, fits, and an export of what may be applied."""

Query = Mapping[str, str]


@dataclass(frozen=True)
class Request:
    """What is asked of the server, but for where it is and who asks."""

    method: str
    path: str
    body: Mapping[str, Any] | str | None = None
    """JSON, or YAML where it is text."""
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Query = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    cookies: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body of an export; ValueError when it says it is none, or is no text."""
        if media_type(self.headers) != "application/yaml":
            raise ValueError("not YAML")
        return self.body.decode()

    @property
    def json(self) -> Any:
        """The body as JSON; ValueError when it says it is none, or is none."""
        if not is_json(self.headers):
            raise ValueError("not JSON")
        try:
            return json.loads(self.body)
        except RecursionError:
            raise ValueError("nested too deeply") from None


class Wire:
    """A connection to one server. It follows no redirects, asks no proxy of the environment, and verifies TLS."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.url = checked_url(url)
        self._headers = dict(headers)
        self._session: aiohttp.ClientSession | None = None
        self.waiting_since: float | None = None
        """Since when an answer has been waited for, on the loop's clock; None while none is."""

    async def open(self) -> None:
        """Be ready to send."""
        # Made here rather than taken from aiohttp, so that SSL_CERT_FILE is read now; plain http needs none of its cost.
        context: ssl.SSLContext | bool = ssl.create_default_context() if self.url.startswith("https:") else True
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context),
            cookie_jar=aiohttp.DummyCookieJar(),
            # A compressed answer could be small on the wire and endless in memory.
            headers={**self._headers, "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=None),  # each request has a deadline of its own
            trust_env=False,
        )

    async def close(self) -> None:
        """Hang up."""
        if self._session is not None:
            await self._session.close()

    async def send(self, request: Request, *, deadline: float) -> Reply:
        """Send once and read the whole answer, or raise: by `deadline`, on the loop's clock."""
        with self._faults(request), self._waiting():
            async with asyncio.timeout_at(deadline), self._sent(request) as response:
                return await read_whole(response)

    @asynccontextmanager
    async def stream(self, request: Request, *, deadline: float) -> AsyncIterator[Reply | AsyncIterator[bytes]]:
        """Send once: an event stream comes as its pieces, anything else whole, as from `send`."""
        with self._faults(request):
            sent = self._sent(request)
            with self._waiting():
                async with asyncio.timeout_at(deadline):
                    response = await sent.__aenter__()
            try:
                if response.status == 200 and media_type(response.headers) == "text/event-stream":
                    yield pieces(response, deadline)
                else:
                    async with asyncio.timeout_at(deadline):
                        reply = await read_whole(response)
                    yield reply
            finally:
                # Closed, not released: what is still to come is of no use, and the server shall know that nobody listens.
                response.close()

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        self.waiting_since = asyncio.get_running_loop().time()
        try:
            yield
        finally:
            self.waiting_since = None

    def _sent(self, request: Request) -> Any:
        if self._session is None:
            raise RuntimeError("enter the client first: async with HivemindClient(…) as hivemind")
        target = self.url + request.path + (f"?{urlencode(request.query)}" if request.query else "")
        return self._session.request(
            request.method,
            URL(target, encoded=True),
            data=_written(request.body),
            headers=request.headers
            if request.body is None
            else {**request.headers, "Content-Type": _type_of(request.body)},
            allow_redirects=False,
        )

    @contextmanager
    def _faults(self, request: Request) -> Iterator[None]:
        unsure = (
            ""
            if request.method == "GET"
            else "; it is not known whether it was carried out, so look before you repeat it"
        )
        try:
            yield
        except ClientError:
            raise
        except TimeoutError as error:
            raise TimedOutError(
                f"{self.url} did not answer in time{unsure}",
                hint="--timeout SECS waits longer; hm health says how it is",
            ) from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise UnreachableError(
                f"cannot trust {self.url}: {_reason(error.certificate_error)}",
                hint="for a private CA set SSL_CERT_FILE to its certificate; the check cannot be turned off",
            ) from error
        except aiohttp.ClientConnectorSSLError as error:
            raise UnreachableError(
                f"no TLS with {self.url}: {_reason(error.os_error)}",
                hint="a server that speaks plain HTTP has a URL with http://",
            ) from error
        except aiohttp.ClientConnectorError as error:
            raise UnreachableError(
                f"cannot reach {self.url}: {_reason(error.os_error)}",
                hint="start the server, or say where it is: --url or HIVEMIND_URL",
            ) from error
        except aiohttp.ClientResponseError as error:
            raise NotHivemindError(
                f"what answers at {self.url} does not speak HTTP as we know it: {_reason(error)}",
                hint="look at the URL, http or https, and the port",
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise UnreachableError(
                f"the connection to {self.url} broke off{unsure}", hint="hm health says how it is"
            ) from error


def _written(body: Mapping[str, Any] | str | None) -> bytes | None:
    if body is None:
        return None
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def _type_of(body: Mapping[str, Any] | str) -> str:
    return "application/yaml" if isinstance(body, str) else "application/json"


def checked_url(url: str) -> str:
    """The address of a server without its closing slash; InvalidInputError when it is none."""
    hint = "it looks like http://127.0.0.1:8585"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidInputError(f"{url!r} is no URL: {error}", hint=hint) from None
    if parts.scheme not in ("http", "https") or not host or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidInputError(f"{url!r} is no URL of a server", hint=hint)
    if "@" in parts.netloc:
        raise InvalidInputError("a URL must hold no user name and no password", hint="hm login keeps credentials")
    if parts.query or parts.fragment:
        raise InvalidInputError(f"{url!r} goes on after the address of the server", hint=hint)
    return url.rstrip("/")


def media_type(headers: Mapping[str, str]) -> str:
    """The type of a body, without parameters."""
    return headers.get("Content-Type", "").partition(";")[0].strip().lower()


def is_json(headers: Mapping[str, str]) -> bool:
    """Whether the body says that it is JSON."""
    kind = media_type(headers)
    return kind == "application/json" or kind.endswith("+json")


async def read_whole(response: aiohttp.ClientResponse) -> Reply:
    """Read an answer to its end, or refuse it as soon as it is larger than any of ours."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > LARGEST_ANSWER:
            raise NotHivemindError(f"the answer is larger than {LARGEST_ANSWER} bytes; nothing of ours is")
    cookies = {name: morsel.value for name, morsel in response.cookies.items()}
    return Reply(response.status, response.headers, cookies, bytes(body))


async def pieces(response: aiohttp.ClientResponse, deadline: float) -> AsyncIterator[bytes]:
    """An answer as it comes in."""
    total = 0
    while True:
        async with asyncio.timeout_at(deadline):
            chunk = await response.content.readany()
        if not chunk:
            return
        total += len(chunk)
        if total > LARGEST_ANSWER:
            raise NotHivemindError(f"the stream is larger than {LARGEST_ANSWER} bytes; nothing of ours is")
        yield chunk


def refusal(url: str, reply: Reply) -> ClientError:
    """What an answer that is no success says."""
    if 300 <= reply.status < 400:
        target = reply.headers.get("Location", "nowhere")
        return NotHivemindError(
            f"{url} redirects to {target}, which is not followed", hint="use the final address as the URL"
        )
    if reply.status < 400:
        return NotHivemindError(f"{url} answered {reply.status} {phrase_of(reply.status)}, which means nothing here")
    try:
        document = reply.json
    except ValueError:
        document = None
    if isinstance(document, dict) and isinstance(document.get("code"), str):
        after = reply.headers.get("Retry-After", "")
        return ApiError(reply.status, document, retry_after=int(after) if after.isascii() and after.isdigit() else None)
    kind = media_type(reply.headers) or "nothing"
    return ApiError.without_document(
        reply.status,
        f"{url} answered {reply.status} {phrase_of(reply.status)} with {kind} where the API answers JSON",
        hint="it comes from a proxy in between, or the URL is not that of a Hivemind server",
    )


def _reason(error: BaseException) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return error.verify_message
        case ssl.SSLError():
            return (error.reason or "handshake failed").replace("_", " ").lower()
        case aiohttp.ClientResponseError():
            return error.message.partition("\n")[0]
        case OSError() if error.errno == errno.ECONNREFUSED or "Connect call failed" in str(error):
            return "connection refused"
        case OSError():
            return (error.strerror or str(error)).lower()
        case _:
            return str(error) or type(error).__name__
