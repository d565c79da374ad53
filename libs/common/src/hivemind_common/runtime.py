"""A service is a value: its name, what it serves and calls, and one context manager that runs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hivemind_common import telemetry
from hivemind_common.environment import Environment

if TYPE_CHECKING:
    from hivemind_common.contracts.kinds import Event, Rpc, Stream


@dataclass(frozen=True)
class Running:
    """Where a service that is ready can be reached."""

    ops_port: int
    http_port: int | None = None


@dataclass(frozen=True)
class Service:
    """One service, as everything that runs or describes services sees it.

    `open` is entered once per process with the settings of that process: entered means ready, left means drained
    and closed. When one of its loops dies, the task that entered it is cancelled and the exit raises the cause.
    """

    name: str
    open: Callable[[Environment], AbstractAsyncContextManager[Running]]
    schema: str | None = None
    serves: tuple[Rpc[Any, Any] | Stream[Any, Any, Any], ...] = ()
    calls: tuple[Rpc[Any, Any] | Stream[Any, Any, Any], ...] = ()
    emits: tuple[Event[Any], ...] = ()
    hears: tuple[Event[Any], ...] = ()

    @property
    def login_role(self) -> str | None:
        """The role under which this service logs in to Postgres; None where it keeps no data."""
        return f"hivemind_{self.schema}" if self.schema else None


def bind_service(name: str) -> None:
    """Mark this task, and all that it starts, as the service's: its log lines say so."""
    telemetry.SERVICE.set(name)


@asynccontextmanager
async def daemons(*loops: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run loops beside the body. One that ends or dies takes the body down with it; leaving the body cancels them."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_never_ending(loop)) for loop in loops]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def _never_ending(loop: Coroutine[Any, Any, None]) -> None:
    name = getattr(loop, "__qualname__", "loop")
    await loop
    raise RuntimeError(f"{name} ended, and it never should")
