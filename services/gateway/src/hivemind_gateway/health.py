"""How the whole instance is: asked anew, within two seconds, whatever is broken."""

from __future__ import annotations

import asyncio
import hmac
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from hivemind_common.clock import system_clock
from hivemind_common.contracts.auth import AUTH_HEALTH
from hivemind_common.contracts.bots import BOTS_HEALTH
from hivemind_common.contracts.health import ComponentHealth, Condition, ServiceHealth
from hivemind_common.contracts.kinds import Instant, Message, Nothing, Rpc
from hivemind_common.contracts.knowledge import KNOWLEDGE_HEALTH
from hivemind_common.errors import HivemindError, RemoteBugError
from hivemind_common.health import OK
from hivemind_common.version import VERSION
from hivemind_gateway.problems import NotFoundError
from hivemind_gateway.routing import Access, Reply, Request, Routes

routes = Routes()

ASKED: Final[tuple[Rpc[Nothing, ServiceHealth], ...]] = (AUTH_HEALTH, BOTS_HEALTH, KNOWLEDGE_HEALTH)
NEEDED: Final = frozenset({"gateway", "auth", "bots", "db", "nats"})
"""Without these nothing can be answered; without the others something can."""


class Report(Message):
    """The whole instance."""

    status: Condition
    version: str
    time: Instant
    components: dict[str, ComponentHealth]


@routes.get("/api/v1/health", access=Access.OPEN)
async def health(request: Request) -> Reply[Report]:
    """Tell how everything is."""
    bus = request.door.bus
    components: dict[str, ComponentHealth] = {"gateway": OK}
    reports = await asyncio.gather(*(_ask(request, contract) for contract in ASKED))
    components.update({contract.owner: report.service for contract, report in zip(ASKED, reports, strict=True)})
    seen = [report.parts["db"] for report in reports if "db" in report.parts]
    components["db"] = _worst(seen, "no service that keeps data answers")
    components["nats"] = OK if bus.is_responding else ComponentHealth(status=Condition.DOWN, detail="does not answer")
    models = [report.parts["llm"] for report in reports if "llm" in report.parts]
    components["llm"] = _worst(models, "the service that knows does not answer")
    status = _overall(components)
    report = Report(status=status, version=VERSION, time=system_clock(), components=components)
    return Reply(report, 503 if status is Condition.DOWN else 200)


async def _ask(request: Request, contract: Rpc[Nothing, ServiceHealth]) -> ServiceHealth:
    try:
        return await request.call.as_service().ask(contract, Nothing())
    except (HivemindError, RemoteBugError) as fault:
        detail = str(fault) if isinstance(fault, HivemindError) else "internal error"
        return ServiceHealth(service=ComponentHealth(status=Condition.DOWN, detail=detail))


def _worst(seen: list[ComponentHealth], unknown: str) -> ComponentHealth:
    if not seen:
        return ComponentHealth(status=Condition.DOWN, detail=unknown)
    order = [Condition.DOWN, Condition.DEGRADED, Condition.OFF, Condition.OK]
    return min(seen, key=lambda component: order.index(component.status))


def _overall(components: dict[str, ComponentHealth]) -> Condition:
    if any(components[name].status is Condition.DOWN for name in NEEDED):
        return Condition.DOWN
    if any(component.status in {Condition.DOWN, Condition.DEGRADED} for component in components.values()):
        return Condition.DEGRADED
    return Condition.OK


@routes.get("/livez", access=Access.OPEN)
async def livez(_request: Request) -> web.StreamResponse:
    """Tell that the process is alive."""
    return web.Response(text="ok\n")


@routes.get("/readyz", access=Access.OPEN)
async def readyz(request: Request) -> web.StreamResponse:
    """Tell whether requests can be answered; why not stands on the ops port."""
    if request.door.bus.is_connected:
        return web.Response(text="ok\n")
    return web.Response(text="not ready\n", status=503)


@routes.get("/metrics", access=Access.OPEN)
async def metrics(request: Request) -> web.StreamResponse:
    """Show the gateway's metrics to whoever has the metrics token; to others there is nothing here."""
    expected = request.door.environment.metrics_token
    scheme, _, given = request.http.headers.get("Authorization", "").partition(" ")
    if expected is None or scheme.lower() != "bearer":
        raise NotFoundError
    if not hmac.compare_digest(given.strip().encode("utf-8", "surrogatepass"), expected.get_secret_value().encode()):
        raise NotFoundError
    body = generate_latest(request.door.bus.metrics.registry)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
