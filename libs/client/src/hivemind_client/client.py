"""The API as methods: what is asked and answered has a type, and a refusal is an exception."""

from __future__ import annotations

from hivemind_client.accounts import Accounts
from hivemind_client.bots import Bots
from hivemind_client.knowledge import Knowledge
from hivemind_client.talking import Talking


class HivemindClient(Accounts, Bots, Knowledge, Talking):
    """One server and one caller, as an asynchronous context manager.

    `timeout` is what one call may take, repeats and the whole of a stream included. A key goes before a session.
    """
