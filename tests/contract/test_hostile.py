"""What nobody well-meaning sends: it is refused, or closed on, and nothing breaks."""

from __future__ import annotations

import asyncio
import logging
import random
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
import pytest_asyncio
from yarl import URL

from hivemind_common import connection
from hivemind_common.testing.waiting import until
from hivemind_gateway import bodies, service
from tests.conftest import Instance, Start
from tests.contract.footprint import footprint, tasks_are_back
from tests.contract.raw_http import Answer, Line, repeated, rows, written_out

MIB = 1024 * 1024
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(autouse=True)
def no_bug_in_any_log(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Whatever is sent: no stack trace, no bug, no fault of the event loop."""
    yield
    out, err = capsys.readouterr()
    assert [line for line in (out + err).split("\n") if "Traceback" in line or "http.bug" in line] == []
    told = [record for record in caplog.records if record.levelno >= logging.WARNING or record.exc_info]
    assert [(record.name, record.getMessage()) for record in told] == []


@pytest_asyncio.fixture
async def desk(instance: Instance) -> Instance:
    await instance.mint("desk")
    return instance


def faults_of(answer: Answer, code: str) -> Iterator[str]:
    """Say what an answer lacks that each must have."""
    if answer.headers.get("server") != "hivemind" or b"aiohttp" in answer.body:
        yield "names a library"
    if not answer.headers.get("x-request-id"):
        yield "has no request id"
    if (answer.headers.get("x-content-type-options"), answer.headers.get("cache-control")) != ("nosniff", "no-store"):
        yield "lacks a header"
    if code != "-" and answer.body:
        problem = answer.problem
        if (problem.get("code"), problem.get("status")) != (code, answer.status):
            yield f"is {problem.get('code')}: {problem.get('detail', '')[:100]}"
        if problem.get("request_id") != answer.headers.get("x-request-id"):
            yield "has two request ids"


async def judged(instance: Instance, expected: str, code: str, then: str, cell: str) -> list[str]:
    """Send what a row says; the faults of what comes back."""
    host = URL(instance.url).authority
    filled = (
        cell.replace("{host}", host).replace("{key}", "X-API-Key: {rawkey}\\r\\n").replace("{rawkey}", instance.key)
    )
    raw = written_out(filled)
    line = await Line.to(instance)
    try:
        sending = asyncio.create_task(line.send(raw))
        answers = [await line.answer(has_body=not raw.startswith(b"HEAD")) for _ in expected.split()]
        await sending
        faults = []
        if then == "open":
            await line.send(LIVEZ)
            last = await line.answer()
            if last is None or last.status != 200:
                faults.append("the connection is not open, or says something else")
        elif await line.answer() is not None:
            faults.append("one answer too many")
    finally:
        await line.close()
    found = [answer for answer in answers if answer is not None]
    if [str(answer.status) for answer in found] != expected.split():
        faults.append(f"is {[(answer.status, answer.body[:200]) for answer in found]}")
    faults += [fault for answer in found for fault in faults_of(answer, code if answer is found[-1] else "-")]
    return faults


@pytest.mark.parametrize("table", ["heads", "framing"])
async def test_each_request_of_the_table_is_answered_as_it_says(desk: Instance, table: str) -> None:
    wrong = []
    for number, (expected, code, then, cell) in rows(table):
        try:
            faults = await judged(desk, expected, code, then, cell)
        except TimeoutError:
            faults = ["no answer, or no end"]
        wrong += [f"{table}.tsv:{number} {cell[:90]!r} {fault}" for fault in faults]

    assert not wrong, "\n".join(wrong)


async def test_each_target_of_the_table_is_answered_as_it_says(desk: Instance) -> None:
    wrong = []
    line = await Line.to(desk)
    for number, (status, code, place, cell) in rows("targets"):
        head = f"GET {repeated(cell)} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {desk.key}\r\n\r\n"
        await line.send(head.encode())
        answer = await line.answer()
        assert answer is not None, f"targets.tsv:{number} ended the connection"
        errors = answer.problem.get("errors", [{"path": "-"}])
        faults = list(faults_of(answer, code))
        if (str(answer.status), errors[0]["path"]) != (status, repeated(place)):
            faults.append(f"is {answer.status} at {errors[0]['path'][:80]}")
        wrong += [f"targets.tsv:{number} {cell[:90]!r} {fault}" for fault in faults]
    await line.close()

    assert not wrong, "\n".join(wrong)


async def refused_bodies(desk: Instance) -> list[str]:
    """Send each body of the table; what is wrong with the answers."""
    wrong = []
    line = await Line.to(desk)
    for number, (status, code, cell) in rows("bodies"):
        body = written_out(cell)
        head = (
            f"POST /api/v1/bots HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {desk.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        await line.send(head.encode() + body)
        answer = await line.answer()
        assert answer is not None, f"bodies.tsv:{number} ended the connection"
        faults = list(faults_of(answer, code))
        if str(answer.status) != status:
            faults.append(f"is {answer.status}")
        if len(answer.body) > 20_000:
            faults.append(f"is answered with {len(answer.body)} bytes")
        wrong += [f"bodies.tsv:{number} {cell[:90]!r} {fault}" for fault in faults]
    await line.close()
    return wrong


async def test_each_body_of_the_table_is_answered_as_it_says_and_leaves_no_memory_behind(
    desk: Instance, record_property: Callable[[str, object], None]
) -> None:
    wrong = await refused_bodies(desk)
    assert not wrong, "\n".join(wrong)
    before = await footprint()

    assert await refused_bodies(desk) == wrong

    after = await footprint()
    record_property("memory more than before", f"{(after.resident_bytes - before.resident_bytes) / 2**20:.1f} MiB")
    assert after.tasks <= before.tasks
    assert after.resident_bytes - before.resident_bytes < 16 * MIB
    _, page, _ = await desk.call("GET", "/api/v1/bots", expect=200)
    assert [bot["slug"] for bot in page["items"]] == ["desk"]


async def test_each_origin_of_the_table_may_or_may_not_as_it_says(instance: Instance) -> None:
    wrong = []
    port = URL(instance.url).port
    for number, (status, cell) in rows("origins"):
        headers = [text.replace("{port}", str(port)) for text in cell.split("|") if text]
        if not any(text.startswith("Host:") for text in headers):
            headers.insert(0, f"Host: 127.0.0.1:{port}")
        head = "\r\n".join(["POST /auth/register HTTP/1.1", *headers, "Content-Type: application/json"])
        line = await Line.to(instance)
        await line.send(head.encode().replace(rb"\x00", b"\0") + b"\r\nContent-Length: 2\r\n\r\n{}")
        answer = await line.answer()
        await line.close()
        if answer is None or str(answer.status) != status:
            wrong.append(f"origins.tsv:{number} {cell} is {answer}")

    assert not wrong, "\n".join(wrong)


async def test_whatever_is_changed_in_a_request_it_is_answered_or_refused(desk: Instance) -> None:
    chance = random.Random(7)
    body = b'{"slug":"desk","name":"Desk","system_prompt":"You help."}'
    good = (
        b"POST /api/v1/bots?x=1 HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nX-API-Key: " + desk.key.encode() + b"\r\n"
        b"Content-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    for number in range(400):
        raw = bytearray(good)
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(raw))
            match chance.randrange(4):
                case 0:
                    raw[at] = chance.randrange(256)
                case 1:
                    del raw[at : at + chance.randrange(1, 9)]
                case 2:
                    raw[at:at] = chance.randbytes(chance.randrange(1, 9))
                case _:
                    raw[at:at] = raw[chance.randrange(len(raw)) :][:40]
        line = await Line.to(desk)
        await line.send(bytes(raw))
        line.writer.write_eof()  # a body that was announced too long does not come
        answer = await line.answer()
        await line.close()
        assert answer is None or answer.status < 500, (number, bytes(raw), answer)


async def test_a_request_that_comes_byte_by_byte_is_a_request(desk: Instance) -> None:
    line = await Line.to(desk)
    for byte in LIVEZ:
        await line.send(bytes([byte]))
        await asyncio.sleep(0)

    answer = await line.answer()
    await line.close()
    assert answer is not None
    assert answer.status == 200


async def test_a_head_that_does_not_come_to_its_end_is_not_waited_for(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.3)
    async with start() as instance:
        for beginning in (b"GET /", b"GET /livez HTTP/1.1\r\nHost: localhost\r\nA: ", LIVEZ + b"GET /", b"\r\n"):
            line = await Line.to(instance)
            await line.send(beginning)
            if beginning.startswith(LIVEZ):
                assert await line.answer() is not None
            dripping = asyncio.create_task(drip(line, b"\r\n" if beginning == b"\r\n" else b"x"))
            assert await line.answer() is None
            dripping.cancel()
            await line.close()


async def drip(line: Line, drop: bytes) -> None:
    while True:
        await line.send(drop)
        await asyncio.sleep(0.05)


async def test_a_connection_on_which_nothing_is_asked_ends(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "IDLE_SECONDS", 0.3)
    async with start() as instance:
        silent, asking = await Line.to(instance), await Line.to(instance)
        await asking.send(LIVEZ)
        assert await asking.answer() is not None

        assert await silent.answer() is None
        assert await asking.answer() is None


async def test_large_bodies_that_come_slowly_fill_no_memory_and_keep_no_small_one_out(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "MAX_AT_ONCE", 3 * MIB)
    whole = b'{"email":"nobody@example.org","password":"' + b"x" * 1_024 + b'"}'
    whole += b" " * (MIB - len(whole))
    head = b"POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    announced = head + b"Content-Length: %d\r\n\r\n" % MIB
    async with start() as instance:
        slow = [await Line.to(instance) for _ in range(3)]
        for line in slow:
            await line.send(announced + whole[:-1])

        async def further() -> Answer:
            line = await Line.to(instance)
            await line.send(announced + whole)
            answer = await line.answer()
            await line.close()
            assert answer is not None
            return answer

        async def is_crowded() -> bool:
            return (await further()).status == 503

        await until(is_crowded, limit=10, what="there is room for no more")
        answer = await further()
        assert (answer.problem["code"], answer.problem["service"]) == ("unavailable", "gateway")
        assert answer.headers["retry-after"] == "1"
        small = await Line.to(instance)
        await small.send(head + b"Content-Length: 65536\r\n\r\n" + whole[:65_536])
        fitting = await small.answer()
        assert fitting is not None
        assert fitting.status == 401

        # Whoever was let in is answered, and whoever hangs up makes room.
        await slow[0].send(whole[-1:])
        finished = await slow[0].answer()
        assert finished is not None
        assert finished.status == 401
        await slow[1].close()
        for _ in range(3):
            await until(lambda: has_room(further), limit=10, what="there is room again")
        for line in (*slow, small):
            await line.close()


async def has_room(further: Callable[[], Awaitable[Answer]]) -> bool:
    return (await further()).status in {401, 429}


async def test_the_time_of_a_slow_sender_is_none_of_the_answers(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = tuple(replace(row, timeout=timedelta(seconds=1)) for row in service.ROUTES)
    monkeypatch.setattr(service, "ROUTES", rows)
    async with start() as instance:
        line = await Line.to(instance)
        body = b'{"email":"somebody@example.org","password":"wrong"}'
        await line.send(
            b"POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        for at in range(0, len(body), 5):
            await line.send(body[at : at + 5])
            await asyncio.sleep(0.15)

        answer = await line.answer()
        await line.close()
        assert answer is not None
        assert answer.status in {401, 429}, answer


@pytest.mark.parametrize("framing", [b"Content-Length: 500", b"Transfer-Encoding: chunked"])
async def test_a_body_that_stops_half_way_is_not_waited_for(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, framing: bytes
) -> None:
    monkeypatch.setattr(bodies, "PATIENCE_SECONDS", 0.3)
    line = await Line.to(instance)
    await line.send(
        b"POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        + framing
        + b"\r\n\r\n5\r\n"
    )
    dripping = asyncio.create_task(drip(line, b""))

    answer = await line.answer()
    assert answer is not None
    assert (answer.status, answer.problem["code"]) == (400, "bad_request")
    assert await line.answer() is None
    dripping.cancel()
    await line.close()


async def test_a_chunk_that_is_wrong_ends_a_body_that_is_being_read(instance: Instance) -> None:
    line = await Line.to(instance)
    await line.send(
        b"POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    answering = asyncio.create_task(line.answer())
    await until(lambda: is_true(line.continued == 1), limit=10, what="the body is asked for")
    await line.send(b"1\r\n{\r\nZZ\r\n")

    answer = await answering
    assert answer is not None
    assert (answer.status, answer.problem["code"]) == (400, "bad_request")
    assert await line.answer() is None
    await line.close()


async def is_true(state: bool) -> bool:
    return state


@pytest.mark.parametrize(
    ("path", "length", "status", "words"),
    [
        ("/auth/login", 2, 422, 1),
        ("/auth/login", 0, 400, 0),
        ("/auth/login", 2_000_000, 413, 0),
        ("/api/v1/bots", 2, 401, 0),
        ("/nowhere", 2, 404, 0),
        ("/livez", 2, 405, 0),
    ],
)
async def test_a_body_that_is_refused_is_not_asked_for(
    instance: Instance, path: str, length: int, status: int, words: int
) -> None:
    line = await Line.to(instance)
    await line.send(
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n".encode()
    )
    answering = asyncio.create_task(line.answer())
    if words:
        await until(lambda: is_true(line.continued == words), limit=10, what="the body is asked for")
        await line.send(b"{}")

    answer = await answering
    assert answer is not None
    assert (answer.status, line.continued) == (status, words)
    await line.close()


async def test_after_a_refusal_the_connection_ends_at_once_though_the_client_goes_on(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LINGER_SECONDS", 60.0)
    line = await Line.to(instance)
    await line.send(
        b"POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    pouring = asyncio.create_task(pour(line))

    answer = await line.answer()
    assert answer is not None
    assert answer.status == 413
    assert await line.answer() is None
    pouring.cancel()
    await line.close()


async def pour(line: Line) -> None:
    while not line.writer.is_closing():
        await line.send(b"10000\r\n" + b" " * 65_536 + b"\r\n")


async def test_idle_connections_cost_little_and_keep_nobody_out(
    instance: Instance, record_property: Callable[[str, object], None]
) -> None:
    count = min(2_000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
    url = URL(instance.url)
    before = await footprint()
    async with idle_connections(url, count) as sockets:
        await until(lambda: are_open(before.tasks + count), limit=20, what="all are connected")
        during = await footprint()
        _, _, response = await instance.call("GET", "/livez", expect=200)
        assert response.headers["Server"] == "hivemind"
        for held in sockets:
            held.send(b"GET /livez HTTP/1.1\r\nHost: local")  # and now each has begun a head
        await instance.call("GET", "/api/v1/bots", expect=200)

    await until(lambda: tasks_are_back(before.tasks + 4), limit=20, what="all are gone")
    each = (during.resident_bytes - before.resident_bytes) / count
    record_property("idle connections", count)
    record_property("memory each", f"{each / 1024:.1f} KiB")
    assert each < 24 * 1024


async def are_open(tasks: int) -> bool:
    return len(asyncio.all_tasks()) >= tasks


async def test_when_there_are_too_many_connections_the_oldest_idle_ones_make_room(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 100))
    async with start() as instance:
        lines = [await Line.to(instance) for _ in range(60)]
        for line in lines[-3:]:
            await line.send(LIVEZ)
            answer = await line.answer()
            assert answer is not None
            assert answer.status == 200

        assert await lines[0].answer() is None
        for line in lines:
            await line.close()


async def test_when_all_connections_are_being_answered_a_further_one_is_closed_and_nobody_is_cut_off(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 100))
    head = b"POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
    async with start() as instance:
        busy = [await Line.to(instance) for _ in range(50)]
        answering = []
        for line in busy:
            # Each is asked for its body, so by then it is being answered.
            await line.send(head + b"Expect: 100-continue\r\n\r\n")
            answering.append(asyncio.create_task(line.answer()))
        await until(lambda: is_true(all(line.continued for line in busy)), limit=10, what="all are being answered")

        for _ in range(5):
            further = await Line.to(instance)
            assert await further.answer() is None
            await further.close()
        for line in busy:
            await line.send(b"{}")
        answers = [await each for each in answering]
        assert [answer and answer.status for answer in answers] == [422] * 50
        # Whoever has its answer makes room.
        line = await Line.to(instance)
        await line.send(LIVEZ)
        answer = await line.answer()
        assert answer is not None
        assert answer.status == 200
        for each in (*busy, line):
            await each.close()


@asynccontextmanager
async def idle_connections(url: URL, count: int) -> AsyncIterator[list[socket.socket]]:
    """Open many connections, by sockets alone: streams would add what they keep themselves."""
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        sockets = []
        for _ in range(count):
            held = stack.enter_context(socket.socket())
            held.setblocking(False)
            await loop.sock_connect(held, (url.host, url.port))
            sockets.append(held)
        yield sockets


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
@pytest.mark.parametrize("message", ["How long do refunds take?", ""])
async def test_a_dead_session_is_cleared_whatever_is_answered(desk: Instance, accept: str, message: str) -> None:
    _, _, response = await desk.call(
        "POST",
        "/api/v1/bots/desk/chat",
        json={"message": message},
        headers={"Accept": accept, "Cookie": "hm_session=dead"},
        expect=200 if message else 422,
    )

    assert response.headers.getall("Set-Cookie") == ["hm_session=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"]


async def test_what_cannot_be_read_is_counted_and_has_its_line_in_the_log(
    instance: Instance, capsys: pytest.CaptureFixture[str]
) -> None:
    line = await Line.to(instance)
    await line.send(b"GET /livez HTTP/1.1\r\n\r\n")
    answer = await line.answer()
    await line.close()

    assert answer is not None
    told = [text for text in capsys.readouterr().out.split("\n") if "http.request" in text]
    assert "status=400" in told[-1]
    assert "unmatched" in told[-1]
