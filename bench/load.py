"""The load: so many clients, each asking again as soon as it was answered. A process of its own, the same for all sides.

Plain sockets and one epoll, so that it costs a small part of what it asks for. It tells its own share of a core, since
it runs on the cores that it measures. Settings come as JSON on stdin, the result leaves as JSON on stdout.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Final

_DRAIN_SECONDS: Final = 10.0
_READ: Final = 256 * 1024


@dataclass(frozen=True)
class Load:
    """What is asked, by how many, and for how long."""

    port: int
    path: str
    key: str
    clients: int
    seconds: float
    pause: float = 0.0
    """Seconds that a client waits after an answer before it asks again."""

    @property
    def request(self) -> bytes:
        """The bytes of one request."""
        return (
            f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nX-API-Key: {self.key}\r\n"
            "Accept: application/json\r\nUser-Agent: bench\r\n\r\n"
        ).encode()


@dataclass(frozen=True)
class Measured:
    """What came of it. `answered` counts also what came after the time was up; the rate does not."""

    answered: int
    failed: int
    per_second: float
    p50_ms: float
    p99_ms: float
    own_cpu_share: float


def is_whole(data: bytes) -> bool:
    """Whether an answer is complete. Every side announces the length of its body."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    start = data.find(b"Content-Length: ") + 16
    return len(data) >= end + 4 + int(data[start : data.find(b"\r", start)])


class Clients:
    """The connections, each with one question under way."""

    def __init__(self, load: Load) -> None:
        self._request = load.request
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._begun: dict[int, bytes] = {}
        self.sent: dict[int, float] = {}
        for _ in range(load.clients):
            client = socket.create_connection(("127.0.0.1", load.port))
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets[client.fileno()] = client
            self._poll.register(client, select.EPOLLIN)

    def ask_all(self) -> None:
        """Begin."""
        for number in self._sockets:
            self.ask(number)

    def ask(self, number: int) -> None:
        """Send one question."""
        self.sent[number] = time.perf_counter()
        self._sockets[number].sendall(self._request)

    def answers(self, at_most: float = _DRAIN_SECONDS) -> Iterator[tuple[int, bytes]]:
        """Wait, so many seconds at most, and yield whoever got a whole answer."""
        events = self._poll.poll(at_most)
        if not events and at_most >= _DRAIN_SECONDS:
            raise SystemExit(f"{len(self.sent)} answers did not come")
        for number, _ in events:
            data = self._sockets[number].recv(_READ)
            if not data:
                raise SystemExit("a connection was closed")
            if number in self._begun:
                data = self._begun.pop(number) + data
            if is_whole(data):
                yield number, data
            else:
                self._begun[number] = data

    def close(self) -> None:
        """Hang up."""
        for client in self._sockets.values():
            client.close()


def run(load: Load) -> Measured:
    """Ask until the time is up, and wait for the last answers."""
    clock = time.perf_counter
    clients = Clients(load)
    took: list[float] = []
    resting: deque[tuple[float, int]] = deque()
    failed = late = 0
    cpu, started = time.process_time(), clock()
    until = started + load.seconds
    clients.ask_all()
    while clients.sent or resting:
        while resting and (resting[0][0] <= clock() or clock() >= until):
            _, number = resting.popleft()
            if clock() < until:
                clients.ask(number)
        if not clients.sent and not resting:
            break
        at_most = max(resting[0][0] - clock(), 0.0) if resting else _DRAIN_SECONDS
        for number, data in clients.answers(at_most):
            now = clock()
            failed += not data.startswith(b"HTTP/1.1 200 ")
            asked = clients.sent.pop(number)
            if now < until:
                took.append(now - asked)
                if load.pause:
                    resting.append((now + load.pause, number))
                else:
                    clients.ask(number)
            else:
                late += 1
    share = (time.process_time() - cpu) / (clock() - started)
    clients.close()
    took.sort()
    return Measured(
        len(took) + late,
        failed,
        round(len(took) / load.seconds, 1),
        round(took[len(took) // 2] * 1000, 3),
        round(took[len(took) * 99 // 100] * 1000, 3),
        round(share, 3),
    )


if __name__ == "__main__":
    json.dump(asdict(run(Load(**json.load(sys.stdin)))), sys.stdout)
