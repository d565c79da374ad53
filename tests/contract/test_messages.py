"""Every message of every contract: what is written is what is read, by this version, an older and a newer one."""

from __future__ import annotations

import os
from functools import partial
from typing import Any, Final

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from hivemind_common.bus.envelope import Envelope, pack, unpack
from hivemind_common.contracts.kinds import Event, Message, Stream
from hivemind_common.principal import Principal
from hivemind_common.testing.examples import messages_of
from hivemind_server.contracts_command import SCHEMAS, contracts_of
from hivemind_server.services import SERVICES
from tests.previous import folder_of, read_state

CONTRACTS: Final = {contract.subject: contract for contract in contracts_of(SERVICES)}
TODAY: Final = {path.stem: orjson.loads(path.read_bytes()) for path in SCHEMAS.glob("*.json")}
PREVIOUS: Final = orjson.loads((folder_of(read_state()["commit"]) / "schemas.json").read_bytes())

PARTS: Final = {
    (subject, part): model
    for subject, contract in CONTRACTS.items()
    for part in ("request", "reply", "item", "message")
    if (model := getattr(contract, part, None)) is not None
}
"""Every message, by its contract and its place there."""

ASKED: Final = sorted(
    {model for (_, part), model in PARTS.items() if part == "request"}, key=lambda model: model.__name__
)
ALL: Final = sorted({*PARTS.values(), Principal}, key=lambda model: model.__name__)
TOLD: Final = sorted(place for place in PARTS if place[1] != "request")

of_each = partial(pytest.mark.parametrize, "model", ids=lambda model: model.__name__)
some = settings(
    max_examples=500 if os.environ.get("HIVEMIND_FULL") else 20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
added_later = st.dictionaries(st.from_regex(r"x_[a-z]{1,5}", fullmatch=True), json_values, min_size=1, max_size=2)


def from_a_newer_peer(value: Any, written: Any, added: dict[str, Any]) -> Any:
    """Return a message as JSON, with members added to it and to every message within it."""
    if isinstance(value, BaseModel):
        known = {name: from_a_newer_peer(getattr(value, name), each, added) for name, each in written.items()}
        return added | known
    if isinstance(value, tuple):
        return [from_a_newer_peer(each, text, added) for each, text in zip(value, written, strict=True)]
    if isinstance(value, dict):
        return {name: from_a_newer_peer(value[name], each, added) for name, each in written.items()}
    return written


@of_each(ALL)
@some
@given(data=st.data())
def test_what_is_written_is_what_is_read(model: type[BaseModel], data: st.DataObject) -> None:
    message = data.draw(messages_of(model))

    assert model.model_validate_json(message.model_dump_json().encode()) == message


@of_each(ALL)
@some
@given(data=st.data(), added=added_later)
def test_what_a_newer_peer_adds_at_any_depth_is_passed_over(
    model: type[BaseModel], data: st.DataObject, added: dict[str, Any]
) -> None:
    message = data.draw(messages_of(model))
    newer = from_a_newer_peer(message, message.model_dump(mode="json"), added)

    assert model.model_validate_json(orjson.dumps(newer)) == message


@of_each(ASKED)
@some
@given(data=st.data())
def test_a_question_without_what_was_not_set_says_the_same_and_what_was_set_can_be_told(
    model: type[Message], data: st.DataObject
) -> None:
    question = data.draw(messages_of(model))
    read = model.model_validate_json(question.model_dump_json(exclude_unset=True).encode())

    assert read == question
    assert read.model_dump(exclude_unset=True) == question.model_dump(exclude_unset=True)


@pytest.mark.parametrize("place", TOLD, ids="-".join)
@some
@given(data=st.data())
def test_whatever_may_be_told_is_allowed_by_the_schemas_of_today_and_of_the_previous_state(
    place: tuple[str, str], data: st.DataObject
) -> None:
    subject, part = place
    written = orjson.loads(data.draw(messages_of(PARTS[place])).model_dump_json())

    for schemas in (TODAY, PREVIOUS):
        # A contract that is newer than the previous state has no reader there.
        if subject in schemas:
            Draft202012Validator(schemas[subject][part]).validate(written)


@some
@given(
    envelope=st.builds(
        Envelope,
        left_ms=st.integers(0, 10**9),
        request_id=st.text(max_size=40),
        principal=messages_of(Principal),
        idempotency_key=st.none() | st.text(max_size=40),
        traceparent=st.none() | st.text(max_size=55),
        address=st.none() | st.text(max_size=64),
        sent_ms=st.none() | st.integers(0, 2**62),
    ),
    body=st.binary(max_size=40),
    added=added_later,
)
def test_an_envelope_is_read_as_it_was_packed_and_a_newer_one_too(
    envelope: Envelope, body: bytes, added: dict[str, Any]
) -> None:
    packed = pack(envelope, body)
    line, _, rest = packed.partition(b"\n")

    assert unpack(packed) == (envelope, body)
    assert unpack(orjson.dumps(added | orjson.loads(line)) + b"\n" + rest) == (envelope, body)


def test_every_contract_has_its_messages_here() -> None:
    for subject, contract in CONTRACTS.items():
        parts = {part for each, part in PARTS if each == subject}
        wanted = {"message"} if isinstance(contract, Event) else {"request", "reply"}
        assert parts == wanted | ({"item"} if isinstance(contract, Stream) else set())
