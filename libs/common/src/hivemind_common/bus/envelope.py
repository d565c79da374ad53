"""The form of what travels: one line of JSON metadata, a newline, the JSON body.

A question: `{"v":1,"d":4870,"m":91282,"r":"<request id>","p":{…}}`; `d` is the time left in milliseconds, `m` the
asker's monotonic clock when it sent, in milliseconds, `p` who asks, and where there are such, `a` the address of the
client, `i` the idempotency key and `t` the trace parent. An answer: `{"k":"end","n":0}`, with `k` one of

- `open`  the question was taken; `c` names where acknowledgements go (streams only),
- `item`  one item of a stream, numbered by `n` from 0,
- `beat`  the answering side is alive,
- `part`  a piece of an answer that is too long for one message,
- `end`   the answer, or the last piece of it. A refusal is an `end` with the headers of NATS ADR-32.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import orjson

from hivemind_common.principal import Principal

MAX_BODY: Final = 256 * 1024
"""Bytes of a question's body at most; larger things go through Postgres by id."""

MAX_PART: Final = 200 * 1024
"""Bytes of one piece of an answer."""

LEAST_LEFT_MS: Final = 5
"""A hop that has less than this left refuses: it could not finish anyway."""

RETURN_SHARE: Final = 0.1
RETURN_MS: Final = 400
"""Each hop keeps a tenth of the time, and at most this, for its answer to travel back."""

LONGEST_HINT_MS: Final = 60_000
"""What an event's envelope says of time: nobody waits for an answer."""

ERROR_HEADER: Final = "Nats-Service-Error"
ERROR_CODE_HEADER: Final = "Nats-Service-Error-Code"


class MalformedMessageError(Exception):
    """Bytes that are no message of ours."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """The metadata of a question."""

    left_ms: int
    request_id: str
    principal: Principal
    idempotency_key: str | None = None
    traceparent: str | None = None
    address: str | None = None
    sent_ms: int | None = None
    """The asker's monotonic clock; comparable with other values of the same asker only."""


@lru_cache(maxsize=4096)
def _principal_json(principal: Principal) -> bytes:
    return principal.model_dump_json(exclude_defaults=True).encode()


def pack(envelope: Envelope, body: bytes) -> bytes:
    """Write a question."""
    line: dict[str, Any] = {"v": 1, "d": envelope.left_ms, "r": envelope.request_id}
    if envelope.sent_ms is not None:
        line["m"] = envelope.sent_ms
    if envelope.traceparent is not None:
        line["t"] = envelope.traceparent
    if envelope.idempotency_key is not None:
        line["i"] = envelope.idempotency_key
    if envelope.address is not None:
        line["a"] = envelope.address
    line["p"] = orjson.Fragment(_principal_json(envelope.principal))
    return orjson.dumps(line) + b"\n" + body


def unpack(data: bytes) -> tuple[Envelope, bytes]:
    """Read a question; raises `MalformedMessageError`."""
    line, body = split(data)
    try:
        envelope = Envelope(
            left_ms=int(line["d"]),
            request_id=str(line["r"]),
            principal=Principal.model_validate(line["p"]),
            idempotency_key=line.get("i"),
            traceparent=line.get("t"),
            address=line.get("a"),
            sent_ms=int(line["m"]) if "m" in line else None,
        )
    except (KeyError, TypeError, ValueError) as fault:
        raise MalformedMessageError("the metadata of the question is not ours") from fault
    if line.get("v") != 1:
        raise MalformedMessageError("the envelope has a version that is not known here")
    return envelope, body


def split(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Part a message into its metadata and its body; raises `MalformedMessageError`."""
    line, newline, body = data.partition(b"\n")
    if not newline:
        raise MalformedMessageError("no line of metadata")
    try:
        metadata = orjson.loads(line)
    except orjson.JSONDecodeError as fault:
        raise MalformedMessageError("the metadata is not JSON") from fault
    if not isinstance(metadata, dict):
        raise MalformedMessageError("the metadata is not an object")
    return metadata, body


_WHOLE_ANSWER = b'{"k":"end","n":0}\n'


def frame(kind: str, number: int, body: bytes = b"", **more: str) -> bytes:
    """Write one message of an answer."""
    if kind == "end" and number == 0 and not more:
        return _WHOLE_ANSWER + body
    return orjson.dumps({"k": kind, "n": number, **more}) + b"\n" + body


def answer_frames(body: bytes, number: int = 0) -> list[bytes]:
    """Write an answer as the one or more messages that carry it, numbered from `number`."""
    if len(body) <= MAX_PART:
        return [frame("end", number, body)]
    pieces = [body[start : start + MAX_PART] for start in range(0, len(body), MAX_PART)]
    last = len(pieces) - 1
    return [frame("end" if place == last else "part", number + place, piece) for place, piece in enumerate(pieces)]
