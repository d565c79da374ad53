"""How a service is: what it needs, asked anew each time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from hivemind_common.contracts.health import ComponentHealth, Condition, ServiceHealth

if TYPE_CHECKING:
    from hivemind_common.bus import Bus, Call
    from hivemind_common.contracts.kinds import Nothing
    from hivemind_common.db import Database

OK = ComponentHealth(status=Condition.OK)


class Health:
    """Tells how a service is, to the gateway over the bus and to probes on the ops port."""

    def __init__(
        self,
        bus: Bus,
        database: Database | None = None,
        parts: Callable[[], Mapping[str, ComponentHealth]] = dict,
    ) -> None:
        self._bus = bus
        self._database = database
        self._parts = parts

    async def tell(self, _call: Call, _question: Nothing) -> ServiceHealth:
        """Answer over the bus."""
        parts = dict(self._parts())
        service = OK
        if self._bus.fault is not None:
            service = ComponentHealth(status=Condition.DOWN, detail=self._bus.fault)
        if self._database is not None:
            answers = await self._database.answers()
            parts["db"] = OK if answers else ComponentHealth(status=Condition.DOWN, detail="does not answer")
            if not answers:
                service = ComponentHealth(status=Condition.DEGRADED, detail="the database does not answer")
        return ServiceHealth(service=service, parts=parts)

    async def causes(self) -> Sequence[str]:
        """Tell what keeps the service from being ready, a line each."""
        told = []
        if not self._bus.is_connected:
            told.append("nats: not connected")
        if self._bus.fault is not None:
            told.append(f"nats: {self._bus.fault}")
        if self._database is not None and not await self._database.answers():
            told.append("db: does not answer")
        return told
