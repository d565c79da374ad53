from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from hivemind_common.clock import rfc3339
from hivemind_common.errors import STATUS_OF, Kind
from hivemind_common.ids import new_id
from hivemind_common.principal import BREAK_GLASS, Principal, PrincipalKind
from hivemind_common.runtime import daemons
from hivemind_common.telemetry import REQUEST_ID, SERVICE, configure_logging, get_logger, tell_exception


def test_ids_are_version_seven_and_in_the_order_of_their_making() -> None:
    made = [new_id() for _ in range(5000)]

    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert {(each.version, each.variant) for each in made} == {(7, "specified in RFC 4122")}


def test_ids_of_many_threads_differ() -> None:
    made: list[Any] = []
    threads = [threading.Thread(target=lambda: made.extend(new_id() for _ in range(1000))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(made)) == 8000


def test_times_have_milliseconds_and_a_z() -> None:
    assert rfc3339(datetime(2026, 11, 22, 18, 4, 5, 123_999, UTC)) == "2026-11-22T18:04:05.123Z"


def test_every_kind_has_a_status() -> None:
    assert set(STATUS_OF) == set(Kind)


def test_a_scope_is_held_by_itself_or_through_admin() -> None:
    assert BREAK_GLASS.may("chat")
    assert not Principal(kind=PrincipalKind.KEY, scopes=("chat",)).may("bots:read")


def test_a_log_line_is_one_json_object_with_service_and_request() -> None:
    lines: list[tuple[str, bytes]] = []
    configure_logging("info", lambda service, line: lines.append((service, line)))
    SERVICE.set("bots")
    token = REQUEST_ID.set("req-1")
    try:
        get_logger().debug("not.told")
        get_logger().info("chat.turn", bot="desk", text="two\nlines")
        try:
            raise ValueError(" ".join(["somebody", "wrote"]))
        except ValueError as fault:
            get_logger().error("bus.bug", exc_info=fault)
    finally:
        REQUEST_ID.reset(token)
        structlog.reset_defaults()

    told = [json.loads(line) for _, line in lines]
    assert [line["event"] for line in told] == ["chat.turn", "bus.bug"]
    assert told[0] | {"ts": ""} == {
        "ts": "",
        "level": "info",
        "service": "bots",
        "event": "chat.turn",
        "request_id": "req-1",
        "bot": "desk",
        "text": "two\nlines",
    }
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for _, line in lines)
    assert "ValueError" in told[1]["exception"]
    assert "somebody wrote" not in told[1]["exception"]


def test_an_exception_is_told_without_the_values_of_databases() -> None:
    class IntegrityError(Exception):
        sqlstate = "23505"

    assert "[23505]" in tell_exception(IntegrityError("Key (email)=(ada@example.org) already exists"))
    assert "ada@example.org" not in tell_exception(IntegrityError("Key (email)=(ada@example.org) already exists"))


async def test_a_loop_that_ends_takes_its_service_down() -> None:
    async def ends() -> None:
        return

    with pytest.raises(BaseExceptionGroup) as fault:
        async with daemons(ends()):
            import asyncio

            await asyncio.Event().wait()

    assert "ended, and it never should" in str(fault.value.exceptions[0])
