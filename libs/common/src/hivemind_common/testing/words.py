"""Contracts to try the bus with: `bots` echoes words and spells them."""

from __future__ import annotations

from datetime import timedelta

from hivemind_common.bus import Bus, Call
from hivemind_common.contracts.kinds import Event, Message, Rpc, Stream
from hivemind_common.errors import HivemindError, Kind
from hivemind_common.principal import ANONYMOUS, Principal


class Word(Message):
    """A word."""

    text: str


class OutOfWordsError(HivemindError):
    """The refusal that both contracts list."""

    code = "out_of_words"
    kind = Kind.CONFLICT


ECHO = Rpc("bots.v1.word.echo", Word, Word, errors=(OutOfWordsError,))
SPELL = Stream("bots.v1.word.spell", Word, Word, Word, errors=(OutOfWordsError,))
SPOKEN = Event("bots.v1.word.spoken", Word)


def ask(bus: Bus, seconds: float = 5, principal: Principal = ANONYMOUS) -> Call:
    """Begin a call that may take so long."""
    return bus.call(principal, timeout=timedelta(seconds=seconds), request_id="req-1")


async def echo(_call: Call, word: Word) -> Word:
    """Answer with what was asked."""
    return word
