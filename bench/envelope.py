"""What the metadata of a call costs over a real NATS, by the form that it travels in: `.venv/bin/python -m bench.envelope`.

One process asks and answers over two connections of nats-py, 64 questions under way, uvloop; the CPU is that of the
process and of the server, for each call. All forms ask and answer the same bodies, and in all but the bare one the
answering side ends up with the same `Envelope`. Rounds alternate; ratios are taken within a round.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any, Final
from uuid import UUID

import nats
import uvloop
from nats.aio.client import Client
from nats.aio.msg import Msg

from bench.cpu import seconds_of
from bench.report import Figure, figure, finish, note, options_of
from hivemind_common.bus.envelope import Envelope, frame, pack, split, unpack
from hivemind_common.bus.permissions import all_permissions, inbox_of
from hivemind_common.contracts.bots import GET_BOT
from hivemind_common.embedded.account import embedded_account
from hivemind_common.embedded.nats import EmbeddedNats, NatsUser
from hivemind_common.ids import AccountId
from hivemind_common.principal import ALL_SCOPES, Principal, PrincipalKind, Role
from hivemind_common.secrets import SecretStr
from hivemind_server.services import SERVICES

ROUNDS: Final = 9
CALLS: Final = 20_000
UNDER_WAY: Final = 64

QUESTION: Final = b'{"slug":"helpdesk"}'
ANSWER: Final = json.dumps({"slug": "helpdesk", "system_prompt": "You help. " * 100}).encode()
ADA: Final = Principal(
    kind=PrincipalKind.KEY,
    id=AccountId(UUID("01920000-0000-7000-8000-000000000001")),
    name="ada",
    role=Role.ADMIN,
    scopes=ALL_SCOPES,
)

Headers = dict[str, str] | None
Sent = tuple[bytes, Headers]


def envelope(number: int) -> Envelope:
    """Return the metadata of one question; the id differs each time, as it does in life."""
    return Envelope(4870, f"01920000-0000-7000-8000-{number:012x}", ADA, sent_ms=number)


@dataclass(frozen=True)
class Form:
    """How a question and its answer are written and read."""

    name: str
    ask: Callable[[int], Sent]
    answer: Callable[[Msg], Sent]
    read: Callable[[Msg], bytes]


def bare_answer(_message: Msg) -> Sent:
    """Answer with a body alone."""
    return ANSWER, None


def bare_read(message: Msg) -> bytes:
    """Take the body."""
    return message.data


def line_ask(number: int) -> Sent:
    """Ask as the bus does."""
    return pack(envelope(number), QUESTION), None


def line_answer(message: Msg) -> Sent:
    """Answer as the bus does."""
    unpack(message.data)
    return frame("end", 0, ANSWER), None


def line_read(message: Msg) -> bytes:
    """Read an answer as the bus does."""
    line, body = split(message.data)
    if line["k"] != "end" or line["n"] != 0:
        raise SystemExit("the answer is not whole")
    return body


@lru_cache(maxsize=4096)
def principal_text(principal: Principal) -> str:
    """Write who asks; kept, as the line form keeps it."""
    return principal.model_dump_json(exclude_defaults=True)


@lru_cache(maxsize=4096)
def principal_of(text: str) -> Principal:
    """Read who asks; kept by its text, which favours this form where the line form reads anew."""
    return Principal.model_validate_json(text)


def headers_ask(number: int) -> Sent:
    """Say the same in four headers."""
    made = envelope(number)
    return QUESTION, {
        "Hm-Left": str(made.left_ms),
        "Hm-Request-Id": made.request_id,
        "Hm-Sent": str(made.sent_ms),
        "Hm-Principal": principal_text(made.principal),
    }


def headers_read(message: Msg) -> None:
    """Make the envelope from four headers."""
    headers = message.headers or {}
    Envelope(
        int(headers["Hm-Left"]),
        headers["Hm-Request-Id"],
        principal_of(headers["Hm-Principal"]),
        sent_ms=int(headers["Hm-Sent"]),
    )


def headers_answer(message: Msg) -> Sent:
    """Answer with the kind and the number of the piece as headers."""
    headers_read(message)
    return ANSWER, {"Hm-Kind": "end", "Hm-Number": "0"}


def headers_bare_answer(message: Msg) -> Sent:
    """Answer without any metadata: the cheapest that headers can be."""
    headers_read(message)
    return ANSWER, None


def headers_answer_read(message: Msg) -> bytes:
    """Read an answer whose metadata are headers."""
    headers = message.headers or {}
    if headers["Hm-Kind"] != "end" or int(headers["Hm-Number"]) != 0:
        raise SystemExit("the answer is not whole")
    return message.data


BARE: Final = "no metadata"
FORMS: Final = (
    Form(BARE, lambda _: (QUESTION, None), bare_answer, bare_read),
    Form("one JSON line each way", line_ask, line_answer, line_read),
    Form("four NATS headers, two back", headers_ask, headers_answer, headers_answer_read),
    Form("four NATS headers, none back", headers_ask, headers_bare_answer, bare_read),
)


class Pair:
    """An asker and an answerer on the same server."""

    def __init__(self, asker: Client, answerer: Client) -> None:
        self._asker = asker
        self._answerer = answerer
        self._form = FORMS[0]
        self._inbox = f"{inbox_of('gateway')}.bench"
        self._waiting: dict[str, asyncio.Future[Msg]] = {}
        self._numbers = itertools.count(1)

    async def start(self) -> None:
        """Listen on both sides."""
        await self._answerer.subscribe(f"hm.*.{GET_BOT.subject}", queue="bots", cb=self._answer)
        await self._asker.subscribe(f"{self._inbox}.*", cb=self._hear)
        for client in (self._asker, self._answerer) * 2:
            await client.flush()

    async def run(self, form: Form, calls: int) -> None:
        """Ask so many questions in one form."""
        self._form = form
        left = iter(range(calls))

        async def ask_on() -> None:
            for _ in left:
                await self._call(form)

        async with asyncio.TaskGroup() as group:
            for _ in range(UNDER_WAY):
                group.create_task(ask_on())

    async def _call(self, form: Form) -> None:
        number = next(self._numbers)
        token = str(number)
        future: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._waiting[token] = future
        data, headers = form.ask(number)
        await self._asker.publish(
            f"hm.gateway.{GET_BOT.subject}", data, reply=f"{self._inbox}.{token}", headers=headers
        )
        if form.read(await future) != ANSWER:
            raise SystemExit(f"{form.name}: the answer is another one")

    async def _answer(self, message: Msg) -> None:
        data, headers = self._form.answer(message)
        await self._answerer.publish(message.reply, data, headers=headers)

    async def _hear(self, message: Msg) -> None:
        self._waiting.pop(message.subject.rpartition(".")[2]).set_result(message)


@asynccontextmanager
async def connected(folder: Path) -> AsyncIterator[tuple[Pair, int]]:
    """Start a server as `hivemind up` does, and connect; the number is the server's process id."""
    password = SecretStr("for-this-run-only")
    users = {name: NatsUser(password, allowed) for name, allowed in all_permissions(SERVICES).items()}
    server = EmbeddedNats(folder / "nats", users=users, account=embedded_account())
    await server.start()
    try:
        asker = await nats.connect(server.url_for("gateway").get_secret_value())
        answerer = await nats.connect(server.url_for("bots").get_secret_value())
        pair = Pair(asker, answerer)
        await pair.start()
        yield pair, server.pid
        await asker.close()
        await answerer.close()
    finally:
        await server.stop()


async def measure(folder: Path, number: int) -> list[dict[str, Any]]:
    """Return all rounds."""
    rounds = []
    async with connected(folder) as (pair, server):
        for form in FORMS:
            await pair.run(form, CALLS // 4)  # warms up
        for each in range(number):
            for form in FORMS[:: -1 if each % 2 else 1]:
                ours, theirs = time.process_time(), seconds_of([server])
                await pair.run(form, CALLS)
                client = (time.process_time() - ours) / CALLS * 1e6
                nats_us = (seconds_of([server]) - theirs) / CALLS * 1e6
                found = {"round": each, "form": form.name, "client_us": round(client, 1), "nats_us": round(nats_us, 1)}
                rounds.append(found)
                note(json.dumps(found))
    return rounds


def figures_of(rounds: Sequence[dict[str, Any]]) -> Iterator[Figure]:
    """Yield the CPU of each form, and how many times that of the bare one it is."""
    taken = {form.name: [each["client_us"] + each["nats_us"] for each in rounds if each["form"] == form.name] for form in FORMS}  # fmt: skip
    for form in FORMS:
        yield figure("CPU of a call", form.name, median(taken[form.name]), "µs")
    for form in FORMS[1:]:
        ratio = median(one / bare for one, bare in zip(taken[form.name], taken[BARE], strict=True))
        yield figure("CPU of a call over that of a bare one", form.name, ratio, "×")


def main() -> int:
    """Measure, print the table, and keep the rounds."""
    options = options_of(__doc__)
    os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix="hivemind-bench-") as name:
        Path(name).chmod(0o711)  # as root the server runs as another account
        rounds = uvloop.run(measure(Path(name), options.rounds or ROUNDS))
    return finish("envelope", list(figures_of(rounds)), rounds, writes=not options.no_write)


if __name__ == "__main__":
    sys.exit(main())
