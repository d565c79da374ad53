"""Each user of the bus against each subject: every cell is written down, and the real server is asked about each."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import nats
import pytest
import pytest_asyncio

from hivemind_common.bus.permissions import OPERATOR, all_permissions
from hivemind_common.contracts.kinds import Stream
from hivemind_common.testing.servers import Servers
from hivemind_server.contracts_command import contracts_of
from hivemind_server.services import SERVICES
from tests.contract.raw_nats import RawNats, raw_nats

MATRIX: Final = Path(__file__).with_name("data") / "who_may_speak.tsv"
USERS: Final = (*sorted(service.name for service in SERVICES), OPERATOR)
CONTRACTS: Final = {contract.subject: contract for contract in contracts_of(SERVICES)}


def read_matrix() -> dict[tuple[str, str], str]:
    heading, *rows = [line.split("\t") for line in MATRIX.read_text(encoding="utf-8").splitlines()]
    assert tuple(heading[1:]) == USERS, "the matrix wants a column for each user of the bus"
    return {(row[0], user): cell for row in rows for user, cell in zip(USERS, row[1:], strict=True)}


CELLS: Final = read_matrix()


async def questions_taken(servers: Servers) -> dict[str, int]:
    """Ask every service how many questions it has taken, as an operator does."""
    connection = await nats.connect(
        servers.nats.url_for(OPERATOR).get_secret_value(), inbox_prefix=b"_INBOX_ops", allow_reconnect=False
    )
    try:
        taken: dict[str, int] = {}
        for service in SERVICES:
            told = json.loads((await connection.request(f"$SRV.STATS.{service.name}", timeout=5)).data)
            taken |= {each["subject"].removeprefix("hm.*."): each["num_requests"] for each in told["endpoints"]}
        return taken
    finally:
        await connection.close()


@pytest_asyncio.fixture(params=USERS)
async def as_user(servers: Servers, request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, RawNats]]:
    async with raw_nats(servers, request.param) as connection:
        yield request.param, connection


def test_every_contract_has_its_row_and_every_row_its_contract() -> None:
    assert {subject for subject, _ in CELLS} == set(CONTRACTS)
    assert set(CELLS.values()) <= {"asks", "answers", "-"}
    assert set(all_permissions(SERVICES)) == set(USERS)


async def test_only_who_asks_may_publish_a_question_and_only_under_its_own_name(as_user: tuple[str, RawNats]) -> None:
    user, connection = as_user
    for subject in CONTRACTS:
        for name in USERS:
            allowed = name == user and CELLS[subject, user] == "asks"
            assert await connection.may_publish(f"hm.{name}.{subject}", f"_INBOX_{user}.x.1") is allowed, (
                name,
                subject,
            )


async def test_only_who_answers_may_hear_a_question_and_only_as_one_of_its_group(as_user: tuple[str, RawNats]) -> None:
    user, connection = as_user
    for subject in CONTRACTS:
        for group in ("", *USERS, "other"):
            allowed = group == user and CELLS[subject, user] == "answers"
            assert await connection.may_subscribe(f"hm.*.{subject}", group) is allowed, (group, subject)
        # Less than the whole is part of what it may; one asker's questions alone are no different.
        assert await connection.may_subscribe(f"hm.gateway.{subject}") is False, subject


async def test_acknowledgements_go_to_whoever_answers_a_stream_that_one_asks(as_user: tuple[str, RawNats]) -> None:
    user, connection = as_user
    for owner in USERS:
        streams = [
            contract for contract in CONTRACTS.values() if isinstance(contract, Stream) and contract.owner == owner
        ]
        asks = any(CELLS[contract.subject, user] == "asks" for contract in streams)
        answers = owner == user and bool(streams)
        assert await connection.may_publish(f"hm.{user}.{owner}.v1.stream.abc.1") is asks, owner
        assert await connection.may_subscribe(f"hm.*.{owner}.v1.stream.abc.*", owner) is answers, owner
        assert await connection.may_subscribe(f"hm.*.{owner}.v1.stream.abc.*") is False, owner


async def test_nobody_hears_or_forges_the_answers_of_others(as_user: tuple[str, RawNats]) -> None:
    user, connection = as_user
    for other in USERS:
        assert await connection.may_subscribe(f"_INBOX_{other}.>") is (other == user), other
        assert await connection.may_publish(f"_INBOX_{other}.abc.1") is False, other


async def test_nobody_takes_more_than_a_subject(as_user: tuple[str, RawNats]) -> None:
    _, connection = as_user
    for subject in (
        ">",
        "*",
        "hm.>",
        "hm.*.>",
        "hm.*.*.v1.>",
        "_INBOX_*.>",
        "_INBOX.>",
        "$SYS.>",
        "$SRV.>",
        "$SRV.*",
        "$JS.>",
    ):
        assert await connection.may_subscribe(subject) is False, subject
        assert await connection.may_subscribe(subject, "gateway") is False, subject
    for subject in ("hm.x", "anything", "$SYS.REQ.SERVER.PING", "$JS.API.INFO", "_INBOX.abc"):
        assert await connection.may_publish(subject) is False, subject


async def test_a_service_tells_who_it_is_and_only_operators_ask(as_user: tuple[str, RawNats]) -> None:
    user, connection = as_user
    for verb in ("PING", "INFO", "STATS"):
        for name in USERS:
            is_mine = name == user and user != OPERATOR
            assert await connection.may_subscribe(f"$SRV.{verb}.{name}") is is_mine, name
            assert await connection.may_subscribe(f"$SRV.{verb}.{name}.abc") is is_mine, name
            assert await connection.may_publish(f"$SRV.{verb}.{name}") is (user == OPERATOR), name
        assert await connection.may_subscribe(f"$SRV.{verb}") is (user != OPERATOR), verb


async def test_an_answer_may_go_where_a_question_came_from_and_nowhere_else(servers: Servers) -> None:
    async with raw_nats(servers, "gateway") as asker, raw_nats(servers, "bots") as answerer:
        await asker.listen("_INBOX_gateway.>")
        await answerer.listen("hm.*.bots.v1.bot.get", "bots")
        assert await answerer.may_publish("_INBOX_gateway.asked.1") is False
        assert await asker.may_publish("hm.gateway.bots.v1.bot.get", "_INBOX_gateway.asked.1")
        while not answerer.messages:
            await answerer.settle()
        # A stream of answers is let through too, not the first alone.
        for _ in range(100):
            assert await answerer.may_publish("_INBOX_gateway.asked.1") is True
        assert await answerer.may_publish("_INBOX_gateway.asked.2") is False
        while len(asker.messages) < 100:
            await asker.settle()


async def test_a_service_that_was_taken_over_reaches_nothing_that_it_does_not_call(
    instance: Any, servers: Servers
) -> None:
    await instance.mint("desk")
    before = await questions_taken(servers)
    async with raw_nats(servers, "bots") as intruder:
        for subject, contract in CONTRACTS.items():
            for name in USERS:
                passes = await intruder.may_publish(f"hm.{name}.{subject}", "_INBOX_bots.x.1")
                assert passes is (name == "bots" and CELLS[subject, "bots"] == "asks"), (name, contract.subject)
    after = await questions_taken(servers)
    reached = {subject for subject in after if after[subject] != before[subject]}
    assert reached <= {subject for subject in CONTRACTS if CELLS[subject, "bots"] == "asks"}
