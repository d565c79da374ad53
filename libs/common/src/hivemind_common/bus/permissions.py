"""What each NATS user may say and hear, made from what the services declare, so that the server keeps them to it.

A service publishes under its own name only, hears its own questions only as a member of its queue group, and answers
without any right to write into inboxes: `allow_responses` lets it reply to what it was asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from hivemind_common.contracts.kinds import Stream

if TYPE_CHECKING:
    from hivemind_common.runtime import Service

OPERATOR: Final = "ops"
"""The user of people who look at the bus with the stock `nats` command."""

MOST_ANSWERS: Final = 100_000
"""Messages in reply to one question: the server's default of 1 would end a stream after its first item."""

ANSWERING_MARGIN: Final = timedelta(seconds=30)
"""How much longer than its longest contract a service may answer: the server remembers each question for so long."""

DISCOVERY_VERBS: Final = ("PING", "INFO", "STATS")


@dataclass(frozen=True)
class Permissions:
    """The allow-lists of one user; a subscription `subject group` may be made only as a member of that group."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    answers_for: timedelta | None
    """For how long it may reply to what it hears; None: not at all."""


def inbox_of(name: str) -> str:
    """Return the prefix of the inboxes of a user."""
    return f"_INBOX_{name}"


def discovery_subjects(name: str, instance: str = "*") -> tuple[str, ...]:
    """Return where an instance is asked who it is (NATS ADR-32): everybody's subjects, its service's, its own."""
    return tuple(
        subject
        for verb in DISCOVERY_VERBS
        for subject in (f"$SRV.{verb}", f"$SRV.{verb}.{name}", f"$SRV.{verb}.{name}.{instance}")
    )


def permissions_of(service: Service) -> Permissions:
    """Return what a service may, and nothing that it does not declare."""
    name = service.name
    asks = [f"hm.{name}.{contract.subject}" for contract in service.calls]
    streams = sorted({contract.owner for contract in service.calls if isinstance(contract, Stream)})
    acknowledges = [f"hm.{name}.{owner}.v1.stream.*.*" for owner in streams]
    tells = [f"hm.{name}.{event.subject}" for event in service.emits]
    serves = [f"hm.*.{contract.subject} {name}" for contract in service.serves]
    if any(isinstance(contract, Stream) for contract in service.serves):
        serves.append(f"hm.*.{name}.v1.stream.*.* {name}")
    hears = [f"hm.{event.owner}.{event.subject}" for event in service.hears]
    return Permissions(
        publish=(*asks, *acknowledges, *tells),
        subscribe=(f"{inbox_of(name)}.>", *serves, *hears, *discovery_subjects(name)),
        answers_for=max([contract.timeout for contract in service.serves], default=timedelta()) + ANSWERING_MARGIN,
    )


def all_permissions(services: Iterable[Service]) -> dict[str, Permissions]:
    """Return the allow-lists of every user of a set of services, the operator's among them."""
    found = {service.name: permissions_of(service) for service in services}
    found[OPERATOR] = Permissions(publish=("$SRV.>",), subscribe=(f"{inbox_of(OPERATOR)}.>",), answers_for=None)
    return found
