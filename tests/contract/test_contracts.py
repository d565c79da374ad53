"""The map of who asks whom is what the services do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from hivemind_common.contracts import auth, bots, golden_questions, knowledge, manifests, prompts
from hivemind_common.contracts.kinds import Message, Rpc, Stream
from hivemind_server.contracts_command import contracts_of, differences, run, schema_of
from hivemind_server.services import SERVICES

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = contracts_of(SERVICES)
NAMES = {
    value.subject: name
    for module in (auth, bots, golden_questions, knowledge, manifests, prompts)
    for name, value in vars(module).items()
    if isinstance(value, (Rpc, Stream))
}


def test_the_committed_schemas_and_the_map_are_what_the_code_says() -> None:
    assert differences({contract.subject: schema_of(contract) for contract in CONTRACTS}) == []


def test_every_question_has_exactly_one_owner_who_is_named_in_it() -> None:
    served = [(contract.subject, service.name) for service in SERVICES for contract in service.serves]

    assert len({subject for subject, _ in served}) == len(served)
    assert all(subject.split(".")[0] == name for subject, name in served)


def test_whatever_is_called_is_served() -> None:
    served = {contract.subject for service in SERVICES for contract in service.serves}
    called = {contract.subject for service in SERVICES for contract in service.calls}

    assert called - served == set()
    assert served - called == set()


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_service_declares_what_it_serves_and_calls(service: Any) -> None:
    folder = next((ROOT / "services").glob(f"{service.name}/src/*"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in folder.rglob("*.py"))
    assembly = (folder / "service.py").read_text(encoding="utf-8")
    body = assembly[: assembly.index(f"{service.name.upper()} = Service(")]
    served = set(re.findall(r"bus\.(?:serving|streaming)\(([A-Z_]+),", body))

    assert served == {NAMES[contract.subject] for contract in service.serves}
    used = set(re.findall(r"\.(?:ask|ask_raw|open)\(\s*([A-Z][A-Z_]+),", text))
    # Health is asked through a table, so its contracts do not stand in a call.
    declared = [contract for contract in service.calls if not contract.subject.endswith(".health.get")]
    assert used == {NAMES[contract.subject] for contract in declared}


MESSAGES = sorted(
    {
        model
        for contract in CONTRACTS
        for model in (
            getattr(contract, "request", None),
            getattr(contract, "reply", None),
            getattr(contract, "item", None),
        )
        if model is not None
    },
    key=lambda model: model.__name__,
)


@pytest.mark.parametrize("model", MESSAGES, ids=lambda model: model.__name__)
def test_messages_pass_over_members_that_they_do_not_know(model: type[Message]) -> None:
    assert model.model_config.get("extra") == "ignore"
    assert model.model_config.get("frozen") is True
    assert model.model_config.get("hide_input_in_errors") is True


def test_the_command_prints_the_map_and_a_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "| `bots.v1.turn.take` | stream | bots | gateway |" in capsys.readouterr().out
    assert run(["bots.v1.bot.get"]) == 0
    assert '"bot_not_found' in capsys.readouterr().out
    assert run(["bots.v1.bot.nope"]) == 2


def test_no_requirements_name_an_index_and_each_has_hashes() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"https?:|index-url|find-links", text), path.name
        pinned = re.findall(r"^[a-z0-9][^ ]*==", text, re.MULTILINE)
        assert len(pinned) > 0
        assert text.count("--hash=sha256:") >= len(pinned)
