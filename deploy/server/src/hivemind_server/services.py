"""The services that this version consists of."""

from __future__ import annotations

from typing import Final

from hivemind_auth.service import AUTH
from hivemind_bots.service import BOTS
from hivemind_common.runtime import Service
from hivemind_gateway.service import GATEWAY
from hivemind_knowledge.service import KNOWLEDGE

SERVICES: Final[tuple[Service, ...]] = (GATEWAY, AUTH, BOTS, KNOWLEDGE)
"""The ops port of each follows from its place, so a new one comes last."""
