"""How often a password may be tried: ten wrong ones for one address from one network within a quarter of an hour.

The pair is what waits, so a stranger elsewhere cannot lock an account's owner out, nor can a neighbour who mistypes the
address of somebody else.
"""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import Final

from hivemind_auth import storage
from hivemind_common.contracts.auth import MOST_TRIES, TooManyTriesError
from hivemind_common.db import Conn, Database

WINDOW: Final = timedelta(minutes=15)

_PREFIX: Final = {4: 24, 6: 64}
"""What of an address is one network: whoever has one address there can have the others."""


def network_of(address: str | None) -> str:
    """Return the network that an address belongs to; what is no address is one network of its own."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    return str(ipaddress.ip_network((found, _PREFIX[found.version]), strict=False))


class Try:
    """One look at a password; a wrong one stays counted."""

    def __init__(self, pair: bytes, taken: storage.TakenTry) -> None:
        self._pair = pair
        self.facts = {"limit": MOST_TRIES, "remaining": taken.left, "reset_secs": taken.reset_secs}
        """How many tries are left to the pair, for whoever is told that this one was wrong."""

    async def was_right(self, conn: Conn) -> None:
        """Forget this try and those before it, in the transaction of what it opened."""
        await storage.forget_tries(conn, self._pair)


async def take_try(database: Database, email: str, address: str | None) -> Try:
    """Take a try before the password is looked at; raises `TooManyTriesError` when there is none left.

    It is taken first so that any number of tries at once are no more than any number in a row.
    """
    async with database.connection() as conn:
        pair = await storage.pair_of(conn, email, network_of(address))
        taken = await storage.take_try(conn, pair, WINDOW, MOST_TRIES)
    if not taken.is_taken:
        raise TooManyTriesError(retry_after=taken.reset_secs, facts={"scope": "login", "limit": MOST_TRIES})
    return Try(pair, taken)
