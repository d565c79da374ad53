"""How a service says how it is; the same question for each of them."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from pydantic import Field

from hivemind_common.contracts.kinds import Message, Nothing, Rpc


class Condition(StrEnum):
    """How well something does what it is there for."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"
    OFF = "off"


class ComponentHealth(Message):
    """One line of a health report; the detail holds no host, address or secret."""

    status: Condition
    detail: str = ""


class ServiceHealth(Message):
    """A service, and what it sees of the things that it needs, such as `db` and `llm`."""

    service: ComponentHealth
    parts: dict[str, ComponentHealth] = Field(default_factory=dict)


def health_of(owner: str) -> Rpc[Nothing, ServiceHealth]:
    """Return the contract by which `owner` is asked how it is."""
    return Rpc(f"{owner}.v1.health.get", Nothing, ServiceHealth, timeout=timedelta(seconds=1.2))
