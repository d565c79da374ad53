"""Death at a chosen statement: before it reaches the database, or after it did and before its answer came back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from unittest.mock import patch

import asyncpg

T = TypeVar("T")

_METHODS: Final = ("execute", "executemany", "fetch", "fetchrow", "fetchval")


class DeathError(BaseException):
    """Whoever ran the statement is dead: nobody catches this, and nothing it does afterwards reaches the database."""


@dataclass
class Doom:
    """Strikes at the statement of this number, counted from 0; what is struck may be a whole process."""

    at: int
    sent: bool
    """Whether the database still gets, and does, what the dead one asked last."""
    strike: Callable[[], object] = lambda: None
    repeats: bool = True
    """Whether all that follows fails too, as it does for the dead. A strike that cancels lets the rest clean up."""
    seen: int = 0

    @property
    def has_struck(self) -> bool:
        """Whether the statement came."""
        return self.seen > self.at

    async def meet(self, connection: Any, statement: Callable[[], Awaitable[Any]]) -> Any:
        """Run a statement, or die of it."""
        number, self.seen = self.seen, self.seen + 1
        if number < self.at or (number > self.at and not self.repeats):
            return await statement()
        if number == self.at and self.sent:
            if self.repeats:
                await statement()
            else:
                task = asyncio.ensure_future(statement())
                await asyncio.sleep(0)  # it is on its way now
                self.strike()
                return await task
        self.strike()
        if not self.repeats:
            return await statement()
        connection.terminate()
        raise DeathError


_DOOM: ContextVar[Doom | None] = ContextVar("hivemind_doom", default=None)


@contextmanager
def doomed(doom: Doom) -> Iterator[Callable[[Coroutine[Any, Any, T]], asyncio.Task[T]]]:
    """Return what starts a task whose statements are counted, with those of the tasks it starts; nobody else's are."""

    def watch(name: str) -> Any:
        original = getattr(asyncpg.Connection, name)

        async def watched(self: Any, *arguments: Any, **options: Any) -> Any:
            present = _DOOM.get()
            if present is None:
                return await original(self, *arguments, **options)
            return await present.meet(self, lambda: original(self, *arguments, **options))

        return patch.object(asyncpg.Connection, name, watched)

    def start(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        context = copy_context()
        context.run(_DOOM.set, doom)
        return asyncio.get_running_loop().create_task(work, context=context)

    with ExitStack() as patches:
        for name in _METHODS:
            patches.enter_context(watch(name))
        yield start
