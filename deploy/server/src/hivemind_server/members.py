"""A service of the fleet: as a task of this process, or as a process of its own. Both look alike from outside."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Protocol

from hivemind_common.embedded.process import Child, spawn
from hivemind_common.environment import ConfigurationError, Environment
from hivemind_common.runtime import Running, Service, bind_service
from hivemind_common.telemetry import Sink, get_logger
from hivemind_server.console import Exit
from hivemind_server.settings import Keep, to_variables, without_ours

_START_LIMIT = timedelta(seconds=60)
_MAX_LINE = 1024 * 1024


class MemberError(Exception):
    """A service did not become ready. Its text is one line for people."""


class Member(Protocol):
    """One service of the fleet."""

    service: Service
    environment: Environment

    @property
    def pid(self) -> int:
        """The process it runs in."""

    @property
    def running(self) -> Running:
        """Its ports."""

    async def start(self) -> None:
        """Return when it is ready. Raises `ConfigurationError`, or `MemberError`."""

    async def wait(self) -> str | None:
        """Wait for its end. The value says why it failed; None: something killed it, and it may start again."""

    async def stop(self, limit: timedelta) -> None:
        """Let it finish what it has taken, for as long as `limit`; then stop it. It is gone when this returns."""


class TaskMember:
    """A service as a task of this process."""

    def __init__(self, service: Service, environment: Environment) -> None:
        self.service = service
        self.environment = environment
        self._leave = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[Running] | None = None

    @property
    def pid(self) -> int:
        """The process it runs in: ours."""
        return os.getpid()

    @property
    def running(self) -> Running:
        """Its ports."""
        if self._ready is None:
            raise RuntimeError(f"{self.service.name} was not started")
        return self._ready.result()

    async def start(self) -> None:
        """Return when it is ready; what it raises on the way is raised here."""
        self._leave.clear()
        self._ready = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(self._ready), name=self.service.name)
        either: set[asyncio.Future[Any]] = {self._ready, self._task}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not self._ready.done():
            fault = self._task.exception() if not self._task.cancelled() else None
            refused = _find(fault, ConfigurationError)
            raise refused or MemberError(f"{self.service.name} did not start: {_name_of(fault)}") from fault

    async def wait(self) -> str | None:
        """Wait for its end. A task never just dies: its end is always a failure of its own."""
        if self._task is None:
            raise RuntimeError(f"{self.service.name} was not started")
        await asyncio.wait({self._task})
        fault = None if self._task.cancelled() else self._task.exception()
        return f"{self.service.name} failed: {_name_of(fault)}"

    async def stop(self, limit: timedelta) -> None:
        """Leave its context, which drains it; cancel it when that takes too long."""
        task = self._task
        if task is None:
            return
        self._leave.set()
        if limit:
            await asyncio.wait({task}, timeout=limit.total_seconds())
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=2)
        if task.done() and not task.cancelled():
            task.exception()  # told to the log by the task itself

    async def _run(self, ready: asyncio.Future[Running]) -> None:
        bind_service(self.service.name)
        try:
            async with self.service.open(self.environment) as running:
                ready.set_result(running)
                await self._leave.wait()
        except ConfigurationError:
            raise
        except Exception:
            get_logger().error("service.failed", exc_info=True)
            raise
        if not self._leave.is_set():
            raise RuntimeError("it left by itself")


class ProcessMember:
    """A service as a process of its own. It tells its ports through a pipe, and logs to its stdout."""

    def __init__(
        self, service: Service, environment: Environment, *, command: Sequence[str], keep: Keep, sink: Sink
    ) -> None:
        self.service = service
        self.environment = environment
        self._command = command
        self._keep = keep
        self._sink = sink
        self._child: Child | None = None
        self._running: Running | None = None
        self._is_ready = False
        self._output: _Lines | None = None
        self._refusal = ""

    @property
    def pid(self) -> int:
        """The process it runs in."""
        if self._child is None:
            raise RuntimeError(f"{self.service.name} was not started")
        return self._child.pid

    @property
    def running(self) -> Running:
        """Its ports, as of its last start."""
        if self._running is None:
            raise RuntimeError(f"{self.service.name} was not started")
        return self._running

    async def start(self) -> None:
        """Return when the process says that it is ready."""
        self._refusal = ""
        self._is_ready = False
        told: list[bytes] = []
        ready_in, ready_out = os.pipe()
        output_in, output_out = os.pipe()
        try:
            self._child = spawn(
                [*self._command, "--ready-fd", str(ready_out)],
                # Killed with us, not asked to leave: the next start may follow at once, and needs the ports.
                death_signal=signal.SIGKILL,
                environment=without_ours() | to_variables(self.service.name, self.environment, self._keep),
                output=output_out,
                pass_fds=[ready_out],
            )
        finally:
            os.close(ready_out)
            os.close(output_out)
        self._output = await _Lines.read(output_in, self._hear)
        ready = await _Lines.read(ready_in, told.append)
        try:
            async with asyncio.timeout(_START_LIMIT.total_seconds()):
                await ready.closed
        except TimeoutError:
            self._child.send(signal.SIGKILL)
        finally:
            ready.close()
        if not told:
            await self._drained()
            code = await self._child.wait()
            if code == Exit.CANNOT_START and self._refusal:
                raise ConfigurationError(self._refusal)
            raise MemberError(self._refusal or f"{self.service.name} did not start (exit code {code})")
        self._running = Running(**json.loads(told[0]))
        self._is_ready = True

    async def wait(self) -> str | None:
        """Wait for its end. Whoever was ready and leaves with 1 failed by itself; anything else befell it."""
        if self._child is None:
            raise RuntimeError(f"{self.service.name} was not started")
        code = await self._child.wait()
        await self._drained()
        return f"{self.service.name} failed" if code == 1 and self._is_ready else None

    async def stop(self, limit: timedelta) -> None:
        """Ask it to drain; kill it when that takes too long."""
        if self._child is None:
            return
        await self._child.stop([(signal.SIGTERM, limit)] if limit else [])
        await self._drained()

    async def _drained(self) -> None:
        """What it wrote last is read before its end is told."""
        if self._output is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await self._output.closed
            self._output.close()

    def _hear(self, line: bytes) -> None:
        if line.startswith(b"{"):
            self._sink(self.service.name, line + b"\n")
            return
        text = line.decode(errors="replace")
        if text.startswith("error: "):
            self._refusal = text.removeprefix("error: ")
        told = json.dumps({"level": "warning", "service": self.service.name, "event": "process.output", "line": text})
        self._sink(self.service.name, told.encode() + b"\n")


class _Lines(asyncio.Protocol):
    """The lines that come out of a pipe."""

    def __init__(self, hear: Callable[[bytes], None]) -> None:
        self._hear = hear
        self._rest = b""
        self._transport: asyncio.BaseTransport | None = None
        self.closed = asyncio.get_running_loop().create_future()

    @classmethod
    async def read(cls, descriptor: int, hear: Callable[[bytes], None]) -> _Lines:
        """Take over the reading end of a pipe."""
        pipe = os.fdopen(descriptor, "rb", buffering=0)
        _, lines = await asyncio.get_running_loop().connect_read_pipe(lambda: cls(hear), pipe)
        return lines

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MAX_LINE:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self._hear(line)

    def connection_lost(self, _fault: Exception | None) -> None:
        if self._rest:
            self._hear(self._rest)
        if not self.closed.done():
            self.closed.set_result(None)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _find(fault: BaseException | None, kind: type[ConfigurationError]) -> ConfigurationError | None:
    if isinstance(fault, kind):
        return fault
    inner = fault.exceptions if isinstance(fault, BaseExceptionGroup) else ()
    return next((found for found in (_find(each, kind) for each in inner) if found is not None), None)


def _name_of(fault: BaseException | None) -> str:
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return "it was cancelled" if fault is None else type(fault).__name__
