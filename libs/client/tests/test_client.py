from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from hivemind_client import (
    ApiError,
    Delta,
    Done,
    HivemindClient,
    InvalidInputError,
    NotHivemindError,
    Start,
    TimedOutError,
    UnreachableError,
)
from hivemind_client import wire as wire_module
from hivemind_client.testing import KEY, GatewayDouble, answered, refused, streamed


class Pauses:
    """Waiting that takes no time, and remembers."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


async def test_documents_are_kept_as_they_came_with_members_that_nobody_knows(double: GatewayDouble) -> None:
    raw = double.add_bot("helpdesk", novelty={"a": [1]})
    async with HivemindClient(double.url, api_key=KEY) as hivemind:
        bot = await hivemind.bot("helpdesk")
    assert (bot.slug, bot.raw) == ("helpdesk", raw)
    assert list(bot.raw) == list(raw)


async def test_a_refusal_carries_status_code_and_the_whole_document(double: GatewayDouble) -> None:
    async with HivemindClient(double.url, api_key=KEY) as hivemind:
        with pytest.raises(ApiError) as caught:
            await hivemind.add_snippet(double.add_bot("helpdesk")["slug"], "title", "")
    error = caught.value
    assert (error.status, error.code, error.message) == (
        422,
        "validation_failed",
        "body: must not be empty",
    )
    assert error.problem.errors[0].path == "body"
    assert error.document["request_id"] == "0192-double"


async def test_what_is_safe_to_repeat_is_asked_again_as_the_server_says_and_nothing_else(double: GatewayDouble) -> None:
    pauses = Pauses()
    double.add_bot("helpdesk")
    busy = refused(503, "unavailable", headers={"Retry-After": "3"})
    double.script("GET", "/api/v1/bots/helpdesk", busy, refused(429, "rate_limited"))
    double.script("POST", "/api/v1/bots/helpdesk/knowledge", busy)
    async with HivemindClient(double.url, api_key=KEY, pause=pauses) as hivemind:
        assert (await hivemind.bot("helpdesk")).slug == "helpdesk"
        assert pauses.taken == [3, 2]
        with pytest.raises(ApiError) as caught:
            await hivemind.add_snippet("helpdesk", "title", "body")
        assert caught.value.retry_after == 3
        assert [seen.method for seen in double.seen] == ["GET", "GET", "GET", "POST"]
        # Of a limit it is certain that nothing has happened.
        double.script("POST", "/api/v1/bots/helpdesk/knowledge", refused(429, "rate_limited"))
        await hivemind.add_snippet("helpdesk", "title", "body")
        double.script("PUT", "/api/v1/bots/helpdesk/prompt", busy, refused(409, "bot_paused"))
        with pytest.raises(ApiError, match="refused"):
            await hivemind.save_prompt("helpdesk", "text")
    assert [seen.method for seen in double.seen][4:] == ["POST", "POST", "PUT", "PUT"]
    keys = {seen.headers["Idempotency-Key"] for seen in double.seen[4:6]}
    assert len(keys) == 1


async def test_after_two_repeats_the_refusal_is_told(double: GatewayDouble) -> None:
    double.script("GET", "/auth/me", *[refused(503, "unavailable", detail=f"no {n}") for n in range(3)])
    async with HivemindClient(double.url, api_key=KEY, pause=Pauses()) as hivemind:
        with pytest.raises(ApiError, match="no 2"):
            await hivemind.whoami()
    assert len(double.seen) == 3


async def test_a_pause_that_is_longer_than_there_is_time_is_not_taken(double: GatewayDouble) -> None:
    pauses = Pauses()
    double.script("GET", "/auth/me", refused(429, "rate_limited", headers={"Retry-After": "60"}))
    async with HivemindClient(double.url, api_key=KEY, pause=pauses) as hivemind:
        with pytest.raises(ApiError):
            await hivemind.whoami()
    assert pauses.taken == []


async def test_all_pages_are_read_and_no_more_than_asked_for(double: GatewayDouble) -> None:
    for n in range(120):
        double.add_bot(f"bot-{n:03d}")
    async with HivemindClient(double.url, api_key=KEY) as hivemind:
        assert [bot.slug async for bot in hivemind.bots()] == [f"bot-{n:03d}" for n in range(120)]
        assert len(double.seen) == 3
        assert len([bot async for bot in hivemind.bots(at_most=60)]) == 60
    assert [seen.query.get("limit") for seen in double.seen[3:]] == ["50", "10"]


async def test_a_list_that_goes_round_in_circles_ends(double: GatewayDouble) -> None:
    page = answered(200, json.dumps({"items": [], "next": "again"}))
    double.script("GET", "/api/v1/bots", page, page, page)
    async with HivemindClient(double.url, api_key=KEY) as hivemind:
        with pytest.raises(NotHivemindError, match="circles"):
            _ = [bot async for bot in hivemind.bots()]


async def test_a_redirect_is_told_and_never_followed(double: GatewayDouble) -> None:
    double.script("GET", "/auth/me", answered(307, "", Location=f"{double.url}/elsewhere"))
    async with HivemindClient(double.url, api_key=KEY) as hivemind:
        with pytest.raises(NotHivemindError, match=r"redirects to .*/elsewhere"):
            await hivemind.whoami()
    assert len(double.seen) == 1


async def test_proxies_of_the_environment_are_not_asked(double: GatewayDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with HivemindClient(double.url, api_key=KEY) as hivemind:
        assert (await hivemind.whoami()).username == "ada"


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (answered(200, "<html>welcome</html>", "text/html"), NotHivemindError, "not with the account"),
        (answered(200, "{", "application/json"), NotHivemindError, "not with the account"),
        (answered(200, b'"\xff"', "application/json"), NotHivemindError, "not with the account"),
        (answered(200, "[" * 100_000, "application/json"), NotHivemindError, "not with the account"),
        (answered(200, "[]", "application/json"), NotHivemindError, "not with the account"),
        (answered(200, '{"id":5}', "application/json"), NotHivemindError, "not with the account"),
        (answered(204, "", "text/plain"), NotHivemindError, "answered 204"),
        (answered(502, "<html>oh</html>", "text/html"), ApiError, "502 Bad Gateway with text/html where the API"),
        (answered(404, '{"message":"no route"}', "application/json"), ApiError, "404 Not Found with application/json"),
    ],
)
async def test_what_is_no_answer_of_ours_is_a_clear_error(
    double: GatewayDouble,
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]],
    error: type[Exception],
    words: str,
) -> None:
    double.script("GET", "/auth/me", answer)
    async with HivemindClient(double.url, api_key=KEY) as hivemind:
        with pytest.raises(error, match=words):
            await hivemind.whoami()


async def test_an_answer_larger_than_any_of_ours_is_not_read_to_its_end(
    double: GatewayDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire_module, "LARGEST_ANSWER", 1000)
    double.script("GET", "/auth/me", answered(200, "x" * 2000))
    async with HivemindClient(double.url, api_key=KEY) as hivemind:
        with pytest.raises(NotHivemindError, match="larger than 1000"):
            await hivemind.whoami()


async def test_a_server_that_keeps_silent_is_left_in_time_and_a_post_says_that_it_may_be_done(
    double: GatewayDouble,
) -> None:
    forever = asyncio.Event()

    async def silent(_: web.Request) -> web.StreamResponse:
        await forever.wait()
        return web.Response()

    double.script("GET", "/auth/me", silent)
    double.script("POST", "/auth/login", silent)
    async with HivemindClient(double.url, api_key=KEY, timeout=timedelta(seconds=0.05)) as hivemind:
        with pytest.raises(TimedOutError, match=r"in time$"):
            await hivemind.whoami()
        with pytest.raises(TimedOutError, match="not known whether"):
            await hivemind.login("ada@example.org", "twelvechars+")
    forever.set()


@pytest.mark.parametrize(
    "url", ["localhost:8585", "ftp://a", "http://", "http://a:b@c", "http://a/?q", "http://a b", "x", "http://a:x"]
)
def test_what_is_no_address_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError, match=r"URL|address"):
        HivemindClient(url)


@pytest.mark.parametrize("slug", ["", ".", "..", "\udcff"])
async def test_a_slug_cannot_lead_to_another_path(double: GatewayDouble, slug: str) -> None:
    async with HivemindClient(double.url, api_key=KEY) as hivemind:
        with pytest.raises(InvalidInputError):
            await hivemind.bot(slug)
        with pytest.raises(ApiError):
            await hivemind.bot("a/../b?c#d%2f")
    assert [seen.path for seen in double.seen] == ["/api/v1/bots/a/../b?c#d%2f"]


@pytest.mark.parametrize("key", ["hm_a\nX-Other: b", "hm_ä", " hm_a", "hm_a\t"])
def test_a_key_that_would_leave_its_line_is_refused_without_being_repeated(double: GatewayDouble, key: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        HivemindClient(double.url, api_key=key)
    assert "hm_" not in caught.value.message


async def test_a_stream_tells_start_deltas_and_the_whole_answer(double: GatewayDouble) -> None:
    double.add_bot("helpdesk")
    double.add_snippet("helpdesk", "Refunds", "Refunds take ten days.")
    async with HivemindClient(double.url, api_key=KEY) as hivemind:
        events = [event async for event in hivemind.ask_streaming("helpdesk", "refunds?")]
        whole = await hivemind.ask("helpdesk", "refunds?")
    start, *deltas, done = events
    assert isinstance(start, Start)
    assert isinstance(done, Done)
    assert "".join(delta.text for delta in deltas if isinstance(delta, Delta)) == done.answer.reply == whole.reply
    assert done.answer.raw == whole.raw
    assert double.seen[0].headers["Accept"] == "text/event-stream"


@pytest.mark.parametrize(
    ("chunks", "error", "words"),
    [
        ([b'event: delta\ndata: {"text":"a"}\n\n'], UnreachableError, "broke off"),
        (
            [b'event: error\ndata: {"status":502,"code":"provider_unavailable","detail":"it is away"}\n\n'],
            ApiError,
            "it is away",
        ),
        ([b"event: delta\ndata: {\n\n"], NotHivemindError, "event delta"),
        ([b"event: done\ndata: {}\n\n"], NotHivemindError, "event done"),
        ([b"data: \xff\n\n"], NotHivemindError, "UTF-8"),
    ],
)
async def test_a_stream_that_ends_badly_says_how(
    double: GatewayDouble, chunks: list[bytes], error: type[Exception], words: str
) -> None:
    double.script("POST", "/api/v1/bots/helpdesk/chat", streamed(*chunks))
    async with HivemindClient(double.url, api_key=KEY) as hivemind:
        with pytest.raises(error, match=words):
            _ = [event async for event in hivemind.ask_streaming("helpdesk", "hello")]


async def test_a_refusal_before_the_first_event_is_an_ordinary_one(double: GatewayDouble) -> None:
    async with HivemindClient(double.url, api_key=KEY) as hivemind:
        with pytest.raises(ApiError) as caught:
            _ = [event async for event in hivemind.ask_streaming("nobody", "hello")]
    assert caught.value.code == "bot_not_found"


async def test_an_answer_that_was_not_streamed_is_an_answer_too(double: GatewayDouble) -> None:
    double.add_bot("helpdesk")
    async with HivemindClient(double.url, api_key=KEY) as hivemind:
        whole = await hivemind.ask("helpdesk", "hello")
        double.script("POST", "/api/v1/bots/helpdesk/chat", answered(200, json.dumps(whole.raw)))
        events = [event async for event in hivemind.ask_streaming("helpdesk", "hello")]
    assert [type(event) for event in events] == [Done]


async def test_leaving_a_stream_hangs_up(double: GatewayDouble) -> None:
    left = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            while True:
                await response.write(b'event: delta\ndata: {"text":"a"}\n\n')
                await asyncio.sleep(0)
        finally:
            left.set()

    double.script("POST", "/api/v1/bots/helpdesk/chat", endless)
    async with HivemindClient(double.url, api_key=KEY) as hivemind:
        stream = hivemind.ask_streaming("helpdesk", "hello")
        first: Any = await anext(stream)
        await stream.aclose()
        async with asyncio.timeout(5):
            await left.wait()
    assert first.text == "a"


async def test_a_session_travels_as_the_cookie_and_the_key_goes_first(double: GatewayDouble) -> None:
    double.admin = {"username": "ada", "email": "ada@example.org", "password": "twelvechars+"}
    async with HivemindClient(double.url) as nobody:
        session = await nobody.login("ada@example.org", "twelvechars+")
    async with HivemindClient(double.url, session=session.token) as by_session:
        assert (await by_session.whoami()).auth == "session"
    async with HivemindClient(double.url, session=session.token, api_key=KEY) as by_key:
        assert (await by_key.whoami()).auth == "api_key"
    assert not any({"Origin", "Sec-Fetch-Site", "Referer"} & set(seen.headers) for seen in double.seen)
