"""The wire is a promise: what the previous state said is put to today's services, and is answered as it was.

`python -m tests.record_wire COMMIT` makes the recording; nothing here needs the history.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import orjson
import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator

from hivemind_common.bus import refusals
from hivemind_common.bus.envelope import unpack
from hivemind_common.testing.recording import Exchange, Recorded, connected_as, exchanges_of, from_lines, put
from hivemind_common.testing.servers import Servers
from hivemind_server.contracts_command import contracts_of
from hivemind_server.services import SERVICES
from tests.conftest import PASSWORD, running_on
from tests.previous import WIRE, folder_of, read_state
from tests.walk import VARIABLES

STATE: Final = read_state()
FOLDER: Final = folder_of(STATE["commit"])
MESSAGES: Final = (FOLDER / "messages.jsonl").read_text(encoding="utf-8")
SCHEMAS: Final[Mapping[str, Any]] = orjson.loads((FOLDER / "schemas.json").read_bytes())
SAMPLES: Final = [orjson.loads(line) for line in (FOLDER / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
RETIRED: Final[Mapping[str, str]] = STATE["retired"]
TODAY: Final[Mapping[str, Any]] = {contract.subject: contract for contract in contracts_of(SERVICES)}
LIVING: Final = sorted(subject for subject in SCHEMAS if subject not in RETIRED)
RECORDED: Final = [each for each in exchanges_of(from_lines(MESSAGES)) if each.contract not in RETIRED]

NOT_RECORDED: Final[Mapping[tuple[str, str], str]] = {
    ("auth.v1.admin.register", "unavailable"): "takes a crowd at the door in the same moment",
    ("auth.v1.session.open", "unavailable"): "takes a crowd at the door in the same moment",
    ("auth.v1.password.change", "unavailable"): "takes a crowd at the door in the same moment",
    ("auth.v1.password.change", "account_disabled"): "no route of that state disables an account",
    ("bots.v1.prompt.restore", "bot_not_found"): "takes a bot that is archived in the same moment",
    ("bots.v1.golden-question.add", "too_many_questions"): "takes five hundred of them",
    ("bots.v1.upload.apply", "too_many_questions"): "the door refuses a document of so many",
}
"""Refusals that a contract of the previous state allows and the walk does not meet, each with its reason."""

BYTES_PER_CONTRACT: Final = 12_000

ID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")

TIME_LEFT: Final = re.compile(r'"d":\d+')
PLENTY: Final = '"d":30000'

of_each = partial(pytest.mark.parametrize, "subject")


@dataclass
class Ids:
    """Which id of today stands for which of the recording: services make their own."""

    today: dict[str, str] = field(default_factory=dict)

    def learn(self, recorded: Any, told: Any) -> None:
        """Walk through two answers to the same question, side by side."""
        if isinstance(recorded, dict) and isinstance(told, dict):
            for name in recorded.keys() & told.keys():
                self.learn(recorded[name], told[name])
        elif isinstance(recorded, list) and isinstance(told, list):
            for one, other in zip(recorded, told, strict=False):
                self.learn(one, other)
        elif isinstance(recorded, str) and isinstance(told, str) and ID.fullmatch(recorded) and ID.fullmatch(told):
            assert self.today.setdefault(recorded, told) == told, "two answers do not agree on who is who"

    def apply(self, text: str) -> str:
        """Return a question with the ids of today."""
        return ID.sub(lambda found: self.today.get(found[0], found[0]), text)


Pairs = Mapping[str, list[tuple[Exchange, Exchange]]]
"""By contract: what was recorded, and what today's services say to the same question."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pairs(servers: Servers, database: str) -> AsyncIterator[Pairs]:
    """Put each recorded question to today's services, in its order and as the one who asked it.

    How much time was left is the only thing that is changed: a machine that is busy must not be refused for it.
    """
    found: dict[str, list[tuple[Exchange, Exchange]]] = defaultdict(list)
    ids = Ids()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running_on(servers, database, **VARIABLES))
        connections = {
            caller: await stack.enter_async_context(connected_as(servers.nats.url_for(caller), caller))
            for caller in sorted({each.caller for each in RECORDED})
        }
        for recorded in RECORDED:
            question = recorded.question
            told = await put(
                connections[recorded.caller], question.subject, ids.apply(TIME_LEFT.sub(PLENTY, question.data, count=1))
            )
            for before, now in zip(recorded.told, told.told, strict=False):
                ids.learn(before, now)
            found[recorded.contract].append((recorded, told))
        yield found


def test_the_recording_is_of_the_previous_state_alone() -> None:
    assert [path.name for path in WIRE.iterdir()] == [FOLDER.name]
    # It grows with what there is to be said, and with nothing else.
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < BYTES_PER_CONTRACT * len(SCHEMAS)


def test_the_recording_holds_no_secret() -> None:
    assert PASSWORD not in MESSAGES
    # A key or token is longer than what may be shown of it.
    assert not re.search(r"hm_[A-Za-z0-9]{13}", MESSAGES)


@of_each(sorted(SCHEMAS))
def test_every_contract_of_the_previous_state_is_served_or_retired_with_a_reason(subject: str) -> None:
    assert (subject in TODAY) != bool(RETIRED.get(subject))


@of_each(LIVING)
def test_every_contract_was_recorded_with_an_answer_and_each_of_its_refusals(subject: str) -> None:
    met = {each.refusal for each in RECORDED if each.contract == subject}
    allowed = {line.partition(" ")[0] for line in SCHEMAS[subject]["errors"]}

    assert None in met
    assert allowed - met == {code for owner, code in NOT_RECORDED if owner == subject}


def test_every_question_was_recorded_with_its_whole_answer() -> None:
    assert [each.question.subject for each in RECORDED if not each.is_whole] == []
    assert {each.contract for each in RECORDED} == set(LIVING)


@of_each(LIVING)
def test_a_recorded_question_is_read_whole(subject: str) -> None:
    for each in RECORDED:
        if each.contract == subject:
            envelope, body = unpack(each.question.data.encode())
            read = TODAY[subject].request.model_validate_json(body)

            assert envelope.request_id
            assert read.model_dump(mode="json", exclude_unset=True) == orjson.loads(body)


@of_each(LIVING)
def test_a_recorded_question_is_answered_as_it_was(subject: str, pairs: Pairs) -> None:
    for recorded, told in pairs[subject]:
        assert told.refusal == recorded.refusal, told.answer
        assert form(told) == form(recorded)


@of_each(LIVING)
def test_the_previous_schema_holds_for_what_is_answered_today(subject: str, pairs: Pairs) -> None:
    schema = SCHEMAS[subject]
    for _, told in pairs[subject]:
        for item in told.items:
            judge(schema["item"], item)
        if told.refusal is None:
            judge(schema["reply"], told.answer)


@of_each(LIVING)
def test_a_refusal_keeps_its_kind_its_status_and_its_members(subject: str, pairs: Pairs) -> None:
    for recorded, told in pairs[subject]:
        if recorded.refusal is not None:
            before, now = orjson.loads(recorded.answer), orjson.loads(told.answer)

            assert recorded.answers[-1].headers == told.answers[-1].headers
            assert (before["kind"], set(before) - set(now)) == (now["kind"], set())
            assert set(before["facts"]) - set(now["facts"]) == set()


@of_each(LIVING)
def test_what_was_answered_then_can_be_read_today(subject: str) -> None:
    contract = TODAY[subject]
    for each in RECORDED:
        if each.contract == subject:
            for item in each.items:
                contract.item.model_validate_json(item)
            if each.refusal is None:
                contract.reply.model_validate_json(each.answer)
            else:
                read = refusals.from_wire(each.answer, contract.errors)
                assert type(read) in (*refusals.EVERYWHERE, *contract.errors)


@of_each(LIVING)
def test_whatever_the_previous_state_might_say_is_read_whole(subject: str) -> None:
    contract = TODAY[subject]
    samples = [sample for sample in SAMPLES if sample["subject"] == subject]

    assert {sample["part"] for sample in samples} == SCHEMAS[subject].keys() & {"request", "reply", "item"}
    for sample in samples:
        read = getattr(contract, sample["part"]).model_validate_json(orjson.dumps(sample["message"]))
        assert read.model_dump(mode="json", exclude_unset=True) == sample["message"]


@of_each(LIVING)
def test_a_contract_allows_the_refusals_that_it_allowed(subject: str) -> None:
    told = {f"{error.code} ({error.status or error.kind})" for error in TODAY[subject].errors}

    # New ones may come: who does not know a code goes by its kind.
    assert set(SCHEMAS[subject]["errors"]) - told == set()


def form(exchange: Exchange) -> list[str]:
    """In which order which kinds of messages came; into how many pieces a text is cut is no promise."""
    return list(dict.fromkeys(each.kind for each in exchange.answers if each.kind != "beat"))


def judge(schema: Any, data: bytes) -> None:
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(orjson.loads(data))


def test_whoever_finds_a_member_gone_or_changed_says_so() -> None:
    schema = SCHEMAS["auth.v1.setup.get"]["reply"]
    validator = Draft202012Validator(schema)

    assert validator.is_valid({"has_admin": True, "new": 1})
    assert not validator.is_valid({})
    assert not validator.is_valid({"has_admin": "yes"})


def test_ids_are_told_apart_by_where_they_stand() -> None:
    ids = Ids()
    one, other = ("01a21018-b42d-7000-8843-6d0a00f13b4b", "01a21018-b42d-7000-8843-6d0a00f13b4c")

    ids.learn({"items": [{"id": one}], "gone": one}, {"items": [{"id": other}], "new": other})

    assert ids.apply(f'{{"id":"{one}"}}') == f'{{"id":"{other}"}}'
    with pytest.raises(AssertionError, match="who is who"):
        ids.learn({"id": one}, {"id": one})


def test_a_recording_pairs_questions_with_their_answers() -> None:
    question = Recorded("hm.gateway.auth.v1.setup.get", '{"v":1}\n{}', "_INBOX_gateway.x.1")
    answer = Recorded("_INBOX_gateway.x.1", '{"k":"end","n":0}\n{"has_admin":true}')
    hint = Recorded("hm.gateway.bots.v1.stream.x.1", '{"a":1}')

    assert exchanges_of([question, hint, answer]) == [Exchange(question, [answer])]
