"""Calls, streams and hints over NATS."""

from hivemind_common.bus.client import Bus, Call, open_bus
from hivemind_common.bus.streams import Incoming, Outgoing

__all__ = ["Bus", "Call", "Incoming", "Outgoing", "open_bus"]
