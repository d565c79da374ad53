"""Who is there: `$SRV.PING|INFO|STATS` as NATS ADR-32 has it, so that the stock `nats micro` command sees the fleet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import orjson
from nats.aio.msg import Msg

from hivemind_common.bus.permissions import discovery_subjects
from hivemind_common.clock import rfc3339, system_clock
from hivemind_common.contracts.kinds import Rpc, Stream
from hivemind_common.errors import UnavailableError
from hivemind_common.telemetry import get_logger
from hivemind_common.version import VERSION

if TYPE_CHECKING:
    from hivemind_common.bus.client import Bus

_TYPES: Final = {
    "PING": "io.nats.micro.v1.ping_response",
    "INFO": "io.nats.micro.v1.info_response",
    "STATS": "io.nats.micro.v1.stats_response",
}

MOST_WAITING: Final = 32
"""Questions of operators that wait; beyond it they are dropped, since they must not keep people waiting."""

log = get_logger()


@dataclass(slots=True)
class Endpoint:
    """A contract that is answered here, and how that went so far."""

    contract: Rpc[Any, Any] | Stream[Any, Any, Any]
    queue_group: str
    requests: int = 0
    errors: int = 0
    last_error: str = ""
    nanoseconds: int = 0

    def count(self, outcome: str, seconds: float) -> None:
        """Note one question that was answered, refused or given up."""
        self.requests += 1
        self.nanoseconds += int(seconds * 1e9)
        if outcome != "ok":
            self.errors += 1
            self.last_error = outcome

    @property
    def name(self) -> str:
        """The contract's noun and verb; a second major version stands beside the first by its number."""
        _, version, noun, verb = self.contract.subject.split(".")
        return f"{noun}-{verb}" if version == "v1" else f"{noun}-{verb}-{version}"

    def info(self) -> dict[str, Any]:
        """Return what it is."""
        return {
            "name": self.name,
            "subject": f"hm.*.{self.contract.subject}",
            "queue_group": self.queue_group,
            "metadata": {"kind": "stream" if isinstance(self.contract, Stream) else "rpc"},
        }

    def stats(self) -> dict[str, Any]:
        """Return how it does; times in nanoseconds."""
        return {
            "name": self.name,
            "subject": f"hm.*.{self.contract.subject}",
            "queue_group": self.queue_group,
            "num_requests": self.requests,
            "num_errors": self.errors,
            "last_error": self.last_error,
            "processing_time": self.nanoseconds,
            "average_processing_time": self.nanoseconds // self.requests if self.requests else 0,
        }


class Discovery:
    """Answers for one instance of a service."""

    def __init__(self, bus: Bus, instance: str, endpoints: Callable[[], list[Endpoint]]) -> None:
        self._bus = bus
        self._instance = instance
        self._endpoints = endpoints
        self._started: datetime = system_clock()

    async def start(self) -> None:
        """Hear the questions, as an instance and not as a member of a group: each instance answers."""
        for subject in discovery_subjects(self._bus.service, self._instance):
            await self._bus.connection.subscribe(subject, cb=self._answer, pending_msgs_limit=MOST_WAITING)

    async def _answer(self, message: Msg) -> None:
        verb = message.subject.split(".")[1]
        answer: dict[str, Any] = {
            "type": _TYPES[verb],
            "name": self._bus.service,
            "id": self._instance,
            "version": VERSION,
            "metadata": {},
        }
        if verb == "INFO":
            answer["description"] = f"Hivemind's {self._bus.service} service"
            answer["endpoints"] = [endpoint.info() for endpoint in self._endpoints()]
        elif verb == "STATS":
            answer["started"] = rfc3339(self._started)
            answer["endpoints"] = [endpoint.stats() for endpoint in self._endpoints()]
        if message.reply:
            try:
                await self._bus.publish(message.reply, orjson.dumps(answer))
            except UnavailableError:
                log.warning("bus.answer_lost")
