"""Hivemind from outside: a typed asynchronous client of its HTTP API, and the command `hm`.

    async with HivemindClient("http://127.0.0.1:8585", api_key=key) as hivemind:
        answer = await hivemind.ask("helpdesk", "How long do refunds take?")

It imports nothing of the server, so it installs alone, on a laptop.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hivemind_client.errors import (
    ApiError,
    ClientError,
    InvalidInputError,
    NotHivemindError,
    TimedOutError,
    UnreachableError,
)

if TYPE_CHECKING:
    from hivemind_client.client import HivemindClient
    from hivemind_client.models import (
        Account,
        Answer,
        Bot,
        Citation,
        Delta,
        Done,
        Health,
        OpenSession,
        Problem,
        Registration,
        SearchHit,
        Session,
        Snippet,
        Start,
    )

VERSION = "0.1.0"

__all__ = [
    "VERSION",
    "Account",
    "Answer",
    "ApiError",
    "Bot",
    "Citation",
    "ClientError",
    "Delta",
    "Done",
    "Health",
    "HivemindClient",
    "InvalidInputError",
    "NotHivemindError",
    "OpenSession",
    "Problem",
    "Registration",
    "SearchHit",
    "Session",
    "Snippet",
    "Start",
    "TimedOutError",
    "UnreachableError",
]


def __getattr__(name: str) -> Any:
    # aiohttp and pydantic take longer to import than `hm --help` may take at all, so they wait until they are asked for.
    if name == "HivemindClient":
        return import_module("hivemind_client.client").HivemindClient
    if name in __all__:
        return getattr(import_module("hivemind_client.models"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
