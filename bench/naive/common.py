"""What the three services share: logging, metrics, and the loop that answers questions."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import nats
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from prometheus_client import Counter, Histogram

CALLS = Counter("naive_calls", "Calls over the bus.", ["service", "subject", "outcome"])
CALL_SECONDS = Histogram("naive_call_seconds", "Seconds a call over the bus took.", ["service", "subject"])

log = structlog.get_logger()

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


def set_up_logging() -> None:
    """Configure both ways of logging: JSON lines from ours, lines of text from the libraries."""
    logging.basicConfig(level=logging.INFO, stream=sys.stdout)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    )


async def connect(service: str) -> Client:
    """Connect to NATS."""
    return await nats.connect(os.environ["NATS_URL"], name=service)


async def call(nc: Client, service: str, subject: str, question: dict[str, Any], headers: dict[str, str]) -> Any:
    """Ask another service."""
    started = time.perf_counter()
    outcome = "error"
    try:
        reply = await nc.request(subject, json.dumps(question).encode(), timeout=5, headers=headers)
        answer = json.loads(reply.data)
        outcome = "ok"
    finally:
        CALLS.labels(service, subject, outcome).inc()
        CALL_SECONDS.labels(service, subject).observe(time.perf_counter() - started)
    return answer


async def serve(nc: Client, service: str, subject: str, handler: Handler) -> None:
    """Answer questions, each in a task of its own."""
    tasks: set[asyncio.Task[None]] = set()

    async def answer(message: Msg) -> None:
        started = time.perf_counter()
        structlog.contextvars.bind_contextvars(request_id=(message.headers or {}).get("X-Request-Id"))
        outcome = "error"
        try:
            reply = await handler(json.loads(message.data))
            outcome = "ok"
        except Exception:
            log.exception("failed", subject=subject)
            reply = {"error": "internal"}
        seconds = time.perf_counter() - started
        CALLS.labels(service, subject, outcome).inc()
        CALL_SECONDS.labels(service, subject).observe(seconds)
        log.info("call", service=service, subject=subject, outcome=outcome, duration_ms=seconds * 1000)
        await message.respond(json.dumps(reply).encode())

    async def take(message: Msg) -> None:
        task = asyncio.create_task(answer(message))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    await nc.subscribe(subject, queue=service, cb=take)


async def until_stopped(nc: Client) -> None:
    """Say that it is ready, and wait for the signal."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await nc.flush()
    await nc.flush()
    log.info("ready")
    await stop.wait()
    await nc.drain()
