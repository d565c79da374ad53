"""`GET /api/v1/bots/{slug}` with a key, at 64 clients, against two yardsticks: `.venv/bin/python -m bench.bot_read`.

- *hivemind*: `hivemind up --processes` as it is: gateway, auth, bots, NATS and Postgres, each a process.
- *naive*: the same path written the plain way, three processes on a NATS of its own and the same rows: bench/naive.
- *one process*: the same table and SQL with the same care and without a bus: bench/one_process.py.
- *quiet*: hivemind without its line for each request and without metrics: bench/quiet.py.

Rounds alternate, each ratio is taken within a round, and the median of them is told. CPU is that of every process of
a side, servers included, for each answer. The load runs on the same cores: a process of its own, the same for all.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from hashlib import file_digest
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench.cpu import by_part
from bench.load import Load
from bench.report import ROOT, Figure, figure, finish, note, options_of
from bench.startup import Running, up
from hivemind_common.embedded.binaries import wheel_nats
from hivemind_common.testing.processes import alive, family
from hivemind_common.testing.waiting import wait_until
from hivemind_server.settings import without_ours

NAIVE: Final = ROOT / "bench" / "naive"
PATH: Final = "/api/v1/bots/helpdesk"
MANY: Final = 64
ROUNDS: Final = 11
SECONDS: Final = 2.0
"""Short, and many of them: what else happens on the machine meets all sides of a round alike."""

SECONDS_ALONE: Final = 1.0
LIMIT: Final = 30.0

Parts = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Side:
    """One way of answering: where, to whom, and the processes that do it."""

    name: str
    port: int
    key: str
    parts: Callable[[], Parts]


@contextmanager
def hivemind(name: str, scratch: Path, program: Sequence[str] = (str(ROOT / "hivemind"),)) -> Iterator[Side]:
    """Run it with an admin and a taught bot."""
    folder = scratch / name
    with up(folder, ("--processes",), program) as running:
        yield Side(name, int(running.url.rpartition(":")[2]), fill(running.url), lambda: parts_of(running, folder))


def parts_of(running: Running, folder: Path) -> Parts:
    """Return the processes of a running instance by name; `up` is the one that watches and keeps the logs."""
    told = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    heads = {name: member["pid"] for name, member in told["services"].items()}
    heads |= {name: told[name]["pid"] for name in ("nats", "postgres")}
    parts = {name: family(pid) for name, pid in heads.items()}
    known = {pid for pids in parts.values() for pid in pids}
    return parts | {"up": [pid for pid in family(running.process.pid) if pid not in known]}


def fill(url: str) -> str:
    """Register the admin and mint a bot without limits from a template; the value is the admin's key."""

    def post(path: str, body: Mapping[str, Any], key: str = "") -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "X-API-Key": key}
        request = urllib.request.Request(
            url + path, json.dumps(body).encode(), {name: value for name, value in headers.items() if value}
        )
        with urllib.request.urlopen(request, timeout=LIMIT) as response:
            return dict(json.load(response))

    form = {"username": "ada", "email": "ada@example.org", "password": "correct horse battery"}
    key = str(post("/auth/register", form)["api_key"])
    unlimited = dict.fromkeys(
        (
            "rate_limit_per_minute",
            "user_rate_limit_per_minute",
            "cost_cap_day_micro_usd",
            "cost_cap_month_micro_usd",
        )
    )
    post("/api/v1/bots", {"slug": "helpdesk", "template": "customer-support"} | unlimited, key)
    return key


@contextmanager
def naive(scratch: Path, beside: Side, database: str) -> Iterator[Side]:
    """Run the baseline on the rows of `beside`."""
    check_frozen()
    folder = scratch / "naive"
    folder.mkdir()
    with ExitStack() as stack:
        nats_port, port = free_port(), free_port()
        command = [str(wheel_nats()), "-a", "127.0.0.1", "-p", str(nats_port)]
        nats = stack.enter_context(started(command, folder / "nats.log", {}))
        reachable(nats_port, nats, folder / "nats.log")
        variables = {"NATS_URL": f"nats://127.0.0.1:{nats_port}", "DATABASE_URL": database, "PORT": str(port)}
        parts = {"nats": [nats.pid]}
        for name in ("auth", "bots", "gateway"):
            command = [sys.executable, "-m", f"bench.naive.{name}"]
            process = stack.enter_context(started(command, folder / f"{name}.log", variables))
            ready(process, folder / f"{name}.log")
            parts[name] = [process.pid]
        yield Side("naive", port, beside.key, lambda: parts | {"postgres": beside.parts()["postgres"]})


def check_frozen() -> None:
    """Refuse to compare with a baseline that is not the one that was committed."""
    changed = [name for name, sum_ in frozen_sums().items() if sum_ != sum_of(NAIVE / name)]
    if changed:
        raise SystemExit(f"bench/naive is frozen, and differs: {', '.join(changed)}")


def frozen_sums() -> dict[str, str]:
    """Return the sums that were committed, by file."""
    lines = (NAIVE / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    return {name: sum_ for sum_, name in map(str.split, lines)}


def sum_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


@contextmanager
def one_process(scratch: Path, beside: Side, database: str) -> Iterator[Side]:
    """Run the yardstick without a bus on the rows of `beside`."""
    port, log = free_port(), scratch / "one_process.log"
    variables = {"HIVEMIND_BIND": f"127.0.0.1:{port}", "HIVEMIND_DATABASE_URL": database}
    with started([sys.executable, "-m", "bench.one_process"], log, variables) as process:
        reachable(port, process, log)
        parts = {"gateway": [process.pid]}
        yield Side("one process", port, beside.key, lambda: parts | {"postgres": beside.parts()["postgres"]})


@contextmanager
def started(command: Sequence[str], log: Path, variables: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program with its output in a file, and end it."""
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, cwd=ROOT, env=without_ours() | dict(variables), stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(LIMIT)


def ready(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a part of the baseline says so."""

    def said() -> bool:
        check_alive(process, log)
        return b'"event": "ready"' in log.read_bytes()

    wait_until(said, limit=LIMIT, what=log.stem)


def reachable(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until something listens there."""

    def connects() -> bool:
        check_alive(process, log)
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(connects, limit=LIMIT, what=log.stem)


def check_alive(process: subprocess.Popen[bytes], log: Path) -> None:
    """Refuse to wait for what has ended."""
    if not alive(process.pid):
        raise SystemExit(f"{log.stem} ended: {log.read_text(errors='replace')[-500:]}")


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def shown_by(side: Side) -> Any:
    """Return the bot as a side tells it."""
    request = urllib.request.Request(f"http://127.0.0.1:{side.port}{PATH}", headers={"X-API-Key": side.key})
    with urllib.request.urlopen(request, timeout=LIMIT) as response:
        return json.load(response)


def measure(side: Side, clients: int, seconds: float, pause: float = 0.0) -> dict[str, Any]:
    """Put the load on a side; returns rate, latencies, and CPU in microseconds for each answer."""
    load = Load(side.port, PATH, side.key, clients, seconds, pause)
    before = by_part(side.parts())
    done = subprocess.run(
        [sys.executable, "-P", str(ROOT / "bench" / "load.py")],
        input=json.dumps(asdict(load)),
        capture_output=True,
        text=True,
        check=False,
    )
    after = by_part(side.parts())
    if done.returncode:
        raise SystemExit(f"{side.name}: {done.stderr.strip()}")
    found = dict(json.loads(done.stdout))
    if found["failed"]:
        raise SystemExit(f"{side.name}: {found['failed']} answers were refusals")
    cpu = {name: round((after[name] - before[name]) * 1e6 / found["answered"], 1) for name in after}
    return {"side": side.name, "clients": clients} | found | {"cpu_us": round(sum(cpu.values()), 1), "cpu_us_of": cpu}


def rounds_of(sides: Sequence[Side], number: int) -> Iterator[dict[str, Any]]:
    """Yield what each side did, in turn; the order turns about, so that none always comes first."""
    for side in sides:
        measure(side, MANY, 1.0)  # warms up
    for each in range(number):
        for side in sides[:: -1 if each % 2 else 1]:
            yield {"round": each} | measure(side, MANY, SECONDS)
        for side in sides[:: -1 if each % 2 else 1]:
            if side.name in {"hivemind", "one process"}:
                yield {"round": each} | measure(side, 1, SECONDS_ALONE)


class Table:
    """The rounds, asked for medians."""

    def __init__(self, rounds: Sequence[dict[str, Any]]) -> None:
        self._rounds = rounds

    def values(self, side: str, value: str, clients: int = MANY) -> list[float]:
        """Return one value of a side, round by round."""
        return [each[value] for each in self._rounds if each["side"] == side and each["clients"] == clients]

    def median(self, side: str, value: str, clients: int = MANY) -> float:
        """Return its median."""
        return median(self.values(side, value, clients))

    def ratio(self, value: str, over: str, under: str, clients: int = MANY) -> float:
        """Return the median of the ratios of two sides within each round."""
        pairs = zip(self.values(over, value, clients), self.values(under, value, clients), strict=True)
        return median(one / other for one, other in pairs)

    def figures(self) -> Iterator[Figure]:
        """Yield each value, and each ratio with its aim."""
        many, alone = f"{MANY} clients", "1 client"
        for side in ("hivemind", "naive", "one process", "quiet"):
            yield figure(f"{side}: requests", many, self.median(side, "per_second"), "/s")
            yield figure(f"{side}: p50", many, self.median(side, "p50_ms"), "ms")
            yield figure(f"{side}: p99", many, self.median(side, "p99_ms"), "ms")
            yield figure(f"{side}: CPU of all its processes", many, self.median(side, "cpu_us"), "µs")
        for side in ("hivemind", "one process"):
            yield figure(f"{side}: p50", alone, self.median(side, "p50_ms", 1), "ms")
        yield figure("share of a core that the load takes", many, self.median("hivemind", "own_cpu_share"), "")
        tail = median(
            late / usual
            for late, usual in zip(self.values("hivemind", "p99_ms"), self.values("hivemind", "p50_ms"), strict=True)
        )
        yield figure("hivemind: p99 over p50", many, tail, "×", most=3)
        yield figure("hivemind over naive: requests", many, self.ratio("per_second", "hivemind", "naive"), "×", least=3.5)  # fmt: skip
        yield figure("naive over hivemind: CPU of all processes", many, self.ratio("cpu_us", "naive", "hivemind"), "×")
        yield figure("hivemind over one process: requests", many, self.ratio("per_second", "hivemind", "one process"), "×", least=0.9)  # fmt: skip
        yield figure("hivemind over one process: p50", alone, self.ratio("p50_ms", "hivemind", "one process", 1), "×", most=3.3)  # fmt: skip
        yield figure("request line and metrics, on over off: CPU", many, self.ratio("cpu_us", "hivemind", "quiet"), "×", most=1.5)  # fmt: skip


def main() -> int:
    """Measure, print the table, and keep the rounds."""
    options = options_of(__doc__)
    os.umask(0o022)  # the servers of root run as another account
    rounds = []
    with tempfile.TemporaryDirectory(prefix="hivemind-bench-") as name, ExitStack() as stack:
        scratch = Path(name)
        scratch.chmod(0o711)
        note("starting all sides")
        ours = stack.enter_context(hivemind("hivemind", scratch))
        database = (scratch / "hivemind" / "secrets" / "ops_dsn").read_text(encoding="utf-8").strip()
        sides = [
            ours,
            stack.enter_context(naive(scratch, ours, database)),
            stack.enter_context(one_process(scratch, ours, database)),
            stack.enter_context(hivemind("quiet", scratch, (sys.executable, "-m", "bench.quiet"))),
        ]
        if not shown_by(sides[0]) == shown_by(sides[1]) == shown_by(sides[2]):
            raise SystemExit("the sides do not tell the same bot")
        for each in rounds_of(sides, options.rounds or ROUNDS):
            rounds.append(each)
            note(json.dumps(each))
    return finish("bot_read", list(Table(rounds).figures()), rounds, writes=not options.no_write)


if __name__ == "__main__":
    sys.exit(main())
