"""What crosses the bus, written down as it was sent, and put to a service again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import nats
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import SecretStr

from hivemind_common.bus.envelope import ERROR_HEADER, split
from hivemind_common.bus.permissions import inbox_of

ANSWER_LIMIT: Final = 30
"""Seconds that an answer may take."""


@dataclass(frozen=True)
class Recorded:
    """One message. Its data is a line of metadata, a newline, and JSON: text all of it."""

    subject: str
    data: str
    reply: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, message: Msg) -> Recorded:
        """Take a message down."""
        return cls(message.subject, message.data.decode(), message.reply, dict(message.headers or {}))

    @property
    def kind(self) -> str:
        """What it is among the messages of an answer: `open`, `item`, `beat`, `part` or `end`."""
        return str(split(self.data.encode())[0].get("k"))

    @property
    def body(self) -> bytes:
        """What follows the metadata."""
        return split(self.data.encode())[1]


@dataclass(frozen=True)
class Exchange:
    """A question, and the messages that answered it."""

    question: Recorded
    answers: Sequence[Recorded]

    @property
    def caller(self) -> str:
        """Who asked."""
        return self.question.subject.split(".")[1]

    @property
    def contract(self) -> str:
        """Whose subject it was, without the caller."""
        return self.question.subject.split(".", 2)[2]

    @property
    def is_whole(self) -> bool:
        """Whether the answer came to its end."""
        return bool(self.answers) and self.answers[-1].kind == "end"

    @property
    def refusal(self) -> str | None:
        """The code of the refusal; None where there was an answer."""
        return self.answers[-1].headers.get(ERROR_HEADER)

    @property
    def items(self) -> tuple[bytes, ...]:
        """What a stream brought before its end."""
        return tuple(each.body for each in self.answers if each.kind == "item")

    @property
    def answer(self) -> bytes:
        """The answer in one piece, or the refusal."""
        return b"".join(each.body for each in self.answers if each.kind in {"part", "end"})

    @property
    def told(self) -> list[Any]:
        """Everything that was answered, as JSON: the items, then the answer or refusal."""
        return [orjson.loads(body) for body in (*self.items, self.answer)]


def to_lines(messages: Iterable[Recorded]) -> str:
    """Write messages down, one to a line; what is empty is left out."""
    lines = ({name: value for name, value in asdict(message).items() if value} for message in messages)
    return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)


def from_lines(text: str) -> list[Recorded]:
    """Read what was written down."""
    return [Recorded(**json.loads(line)) for line in text.split("\n") if line]


def exchanges_of(messages: Sequence[Recorded]) -> list[Exchange]:
    """Bring questions and answers together, in the order of the questions."""
    answers: dict[str, list[Recorded]] = {}
    for message in messages:
        answers.setdefault(message.subject, []).append(message)
    return [Exchange(each, answers.get(each.reply, ())) for each in messages if each.reply]


@asynccontextmanager
async def recording(url: SecretStr) -> AsyncIterator[list[Recorded]]:
    """Write down whatever crosses the bus while the block is open; the user must be one that may hear everything."""
    messages: list[Recorded] = []

    async def hear(message: Msg) -> None:
        if message.subject.startswith(("hm.", "_INBOX_")):
            messages.append(Recorded.of(message))

    connection = await nats.connect(url.get_secret_value(), allow_reconnect=False)
    try:
        await connection.subscribe(">", cb=hear)
        await connection.flush()
        await connection.flush()  # the first one may overtake the subscription
        yield messages
    finally:
        await connection.close()


@asynccontextmanager
async def connected_as(url: SecretStr, user: str) -> AsyncIterator[Client]:
    """Connect as a service does, with inboxes where its user may hear."""
    connection = await nats.connect(url.get_secret_value(), inbox_prefix=inbox_of(user).encode(), allow_reconnect=False)
    try:
        yield connection
    finally:
        await connection.close()


async def put(connection: Client, subject: str, data: str) -> Exchange:
    """Ask with these very bytes, and wait for the end of the answer."""
    question = Recorded(subject, data, connection.new_inbox())
    answers: list[Recorded] = []
    subscription = await connection.subscribe(question.reply)
    async with asyncio.timeout(ANSWER_LIMIT):
        await connection.flush()
        await connection.publish(subject, data.encode(), reply=question.reply)
        while not (answers and answers[-1].kind == "end"):
            message = await subscription.next_msg(timeout=ANSWER_LIMIT)
            if not message.data:
                raise AssertionError(f"nobody serves {subject}")
            answers.append(Recorded.of(message))
    await subscription.unsubscribe()
    return Exchange(question, answers)
