"""`hivemind service NAME`: one service in a process of its own, as containers and `up --processes` run it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys

import uvloop

from hivemind_common.environment import ConfigurationError, Environment
from hivemind_common.runtime import Running, Service
from hivemind_common.telemetry import StandardOutput, configure_logging
from hivemind_server.console import Exit, refuse
from hivemind_server.fleet import DRAIN_LIMIT
from hivemind_server.interrupts import Interrupts, StopAskedError
from hivemind_server.members import MemberError, TaskMember


def run_service(service: Service, environment: Environment, ready_fd: int | None = None) -> Exit:
    """Run until a signal comes or the service fails. `ready_fd` is told the ports, as one line of JSON, and closed."""
    output = StandardOutput(sys.stdout.buffer)
    configure_logging(environment.log_level, output.write, output.flush, is_final=True)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(service, environment, ready_fd))
    finally:
        output.flush()


async def _serve(service: Service, environment: Environment, ready_fd: int | None) -> Exit:
    interrupts = Interrupts()
    member = TaskMember(service, environment)
    ending = Exit.DONE
    try:
        await interrupts.unless_asked(member.start())
        if ready_fd is not None:
            _tell_ready(ready_fd, member.running)
        failed = await interrupts.unless_asked(member.wait())
        refuse(failed or f"{service.name} failed")
        ending = Exit.BROKE
    except ConfigurationError as fault:
        refuse(str(fault))
        ending = Exit.CANNOT_START
    except MemberError as fault:
        refuse(str(fault))
        ending = Exit.BROKE
    except StopAskedError:
        pass
    try:
        await member.stop(DRAIN_LIMIT)
    except asyncio.CancelledError:
        ending = Exit.STOPPED_AT_ONCE
    return ending


def _tell_ready(descriptor: int, running: Running) -> None:
    with os.fdopen(descriptor, "w") as pipe:
        pipe.write(json.dumps(dataclasses.asdict(running)) + "\n")
