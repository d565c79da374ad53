"""Logs and metrics, bound ahead so that a request pays little for them.

A log line is one JSON object. Which service a line belongs to, and of which request, travels in context variables:
the services that share a process under `hivemind up` stay apart, and no function hands a logger around.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from collections.abc import Callable, MutableMapping
from contextvars import ContextVar
from typing import Any, BinaryIO

import orjson
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from hivemind_common.clock import rfc3339, system_clock
from hivemind_common.version import VERSION

Sink = Callable[[str, bytes], None]
"""Gets the service's name and one line of JSON with its newline."""

SERVICE: ContextVar[str] = ContextVar("hivemind_service", default="hivemind")
REQUEST_ID: ContextVar[str | None] = ContextVar("hivemind_request_id", default=None)

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_MAX_FIELD = 4_000
_HELD_SECONDS = 0.05
_MAX_HELD = 200


def get_logger() -> structlog.typing.FilteringBoundLogger:
    """Return the logger. Events are dotted names, `chat.turn`; what happened stands in fields, never a secret or a text of a person."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger


class StandardOutput:
    """Writes lines as containers want them: a few at a time, since a system call for each costs more than making it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lines: list[bytes] = []

    def write(self, _service: str, line: bytes) -> None:
        """Take a line; it is written within a moment, and at once where no loop runs."""
        self._lines.append(line)
        if len(self._lines) > 1 and len(self._lines) < _MAX_HELD:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        if len(self._lines) == 1:
            loop.call_later(_HELD_SECONDS, self.flush)
        else:
            self.flush()

    def flush(self) -> None:
        """Write what was taken."""
        lines, self._lines = self._lines, []
        if lines:
            self._stream.write(b"".join(lines))
            self._stream.flush()


def configure_logging(
    level: str, sink: Sink, flush: Callable[[], None] = lambda: None, *, is_final: bool = False
) -> None:
    """Send all lines from now on to `sink`, those of warnings and errors followed by `flush`.

    Once per process, by whoever runs the services. `is_final` promises that it will not be called again, and makes
    loggers cheaper.
    """

    def render(_logger: object, method: str, event: MutableMapping[str, Any]) -> bytes:
        line: dict[str, Any] = {
            "ts": rfc3339(system_clock()),
            "level": method,
            "service": SERVICE.get(),
            "event": event.pop("event"),
        }
        request_id = REQUEST_ID.get()
        if request_id is not None:
            line["request_id"] = request_id
        fault = event.pop("exc_info", None)
        line.update(event)
        if fault:
            line["exception"] = tell_exception(fault if isinstance(fault, BaseException) else sys.exc_info()[1])
        return orjson.dumps(line, default=lambda value: str(value)[:_MAX_FIELD], option=orjson.OPT_APPEND_NEWLINE)

    class Writer:
        """What structlog calls with the rendered line."""

        def info(self, line: bytes) -> None:
            sink(SERVICE.get(), line)

        def warning(self, line: bytes) -> None:
            sink(SERVICE.get(), line)
            flush()

        debug = msg = info
        error = warning

    writer = Writer()
    structlog.configure(
        processors=[render],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: writer,
        cache_logger_on_first_use=is_final,
    )
    logging.basicConfig(handlers=[_Foreign()], level=logging.WARNING, force=True)


def tell_exception(fault: BaseException | None) -> str:
    """Write a bug for our log: where, and of what type, without the values that databases put into their texts."""
    if fault is None:
        return ""
    frames = "".join(traceback.format_tb(fault.__traceback__))
    text = str(fault) if isinstance(fault, (RuntimeError, TypeError, AttributeError, AssertionError, OSError)) else ""
    code = getattr(fault, "sqlstate", None)
    name = f"{type(fault).__module__}.{type(fault).__qualname__}"
    told = f"{frames}{name}{f' [{code}]' if code else ''}{f': {text[:500]}' if text else ''}"
    inner = (
        fault.exceptions if isinstance(fault, BaseExceptionGroup) else [cause for cause in [fault.__cause__] if cause]
    )
    return "\n--\n".join([told, *(tell_exception(each) for each in inner)])


class _Foreign(logging.Handler):
    """Libraries that use `logging` are heard in the same form, without their words: these may hold what people wrote."""

    def emit(self, record: logging.LogRecord) -> None:
        log = get_logger()
        fault = record.exc_info[1] if record.exc_info else None
        log.warning("library.log", logger=record.name, line=f"{record.module}:{record.lineno}", exc_info=fault or False)


class Metrics:
    """The metrics of one service, in a registry of its own, with the ones that every service has."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        build = Gauge(
            "hivemind_build_info", "Version of the running code.", ["service", "version"], registry=self.registry
        )
        build.labels(service, VERSION).set(1)
        self.bus_calls = self.counter("hivemind_bus_calls", "Calls over the bus.", "service", "contract", "outcome")
        self.bus_seconds = self.histogram(
            "hivemind_bus_call_seconds", "Seconds a call over the bus took.", "service", "contract"
        )

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        """Make a counter; its sample is called `<name>_total`."""
        return Counter(name, text, labels, registry=self.registry)

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        """Make a gauge: a number that goes up and down."""
        return Gauge(name, text, labels, registry=self.registry)

    def histogram(self, name: str, text: str, *labels: str) -> Histogram:
        """Make a histogram of seconds."""
        buckets = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
        return Histogram(name, text, labels, registry=self.registry, buckets=buckets)
