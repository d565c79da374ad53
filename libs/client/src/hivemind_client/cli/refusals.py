"""What a command refuses by itself, before any server is asked."""

from __future__ import annotations

from hivemind_client.errors import ClientError


class UsageError(ClientError):
    """The command was put in a way that cannot be meant."""

    code = "usage"


class RefusedError(ClientError):
    """What was handed in is not fit to be sent: a file that is no text, or too long."""

    code = "refused"


class UnreadableFileError(ClientError):
    """A file that was named cannot be read."""

    code = "unreadable_file"
