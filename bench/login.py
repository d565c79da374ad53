"""Signing in with wrong passwords: what time tells of accounts, and what a storm takes from others: `.venv/bin/python -m bench.login`.

- *one at a time*: known and unknown addresses in turn, each pair in any order, each address so often as it may be
  tried. The spread is that of the ratio of medians when the pairs are drawn again and again.
- *storm*: 200 people sign in at once and again as soon as they may, while others read a bot at half of full speed. Rounds
  without a storm and with one alternate, the ratio is taken within a round, and the median of them is told.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench import bot_read
from bench.bot_read import Side, hivemind
from bench.report import ROOT, Figure, figure, finish, note, options_of
from hivemind_server.settings import without_ours

TRIES: Final = 500
EACH: Final = 10
"""So many wrong passwords may be tried for one address from one network."""

PEOPLE: Final = 200
READERS: Final = 4
ROUNDS: Final = 15
SECONDS: Final = 2.0
DRAWS: Final = 2_000

ADD_ACCOUNTS: Final = f"""
INSERT INTO auth.account (id, username, email, role, password_hash, created_at)
SELECT gen_random_uuid(), 'known' || number, 'known' || number || '@example.org', 'user', password_hash, now()
  FROM auth.account, generate_series(1, {TRIES // EACH + 1}) AS number
"""


def times_of(port: int, chance: random.Random) -> Iterator[tuple[float, float]]:
    """Yield what a known and an unknown address took, in milliseconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def took(email: str) -> tuple[float, bytes]:
        form = json.dumps({"email": email, "password": "not the right one"})
        started = time.perf_counter()
        connection.request("POST", "/auth/login", form, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        told = json.loads(answer.read())
        seconds = time.perf_counter() - started
        if answer.status != 401:
            raise SystemExit(f"a wrong password was answered with {answer.status}")
        told.pop("request_id")
        return seconds * 1000, json.dumps(told).encode()

    for number in range(TRIES // EACH + 1):
        for _ in range(EACH):
            kinds = ["known", "other"]
            chance.shuffle(kinds)
            found = {kind: took(f"{kind}{number + 1}@example.org") for kind in kinds}
            if found["known"][1] != found["other"][1]:
                raise SystemExit("the answers differ")
            if number:  # the first address warms up
                yield found["known"][0], found["other"][0]
    connection.close()


def ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """Return how much longer known addresses took than unknown ones."""
    return median(known for known, _ in pairs) / median(other for _, other in pairs)


def spread(pairs: Sequence[tuple[float, float]], chance: random.Random) -> tuple[float, float]:
    """Return between what the ratio is in 95 of 100 draws."""
    drawn = sorted(ratio(chance.choices(pairs, k=len(pairs))) for _ in range(DRAWS))
    return drawn[DRAWS * 25 // 1000], drawn[DRAWS * 975 // 1000]


@contextmanager
def storm(port: int, answered: dict[str, int]) -> Iterator[None]:
    """Sign in from all sides while the block runs."""
    command = [sys.executable, "-P", str(ROOT / "bench" / "login_storm.py"), str(port), str(PEOPLE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None or process.stdout.readline() != "on\n":
            raise SystemExit("the storm did not begin")
        yield
        told, _ = process.communicate("")
    answered.update(json.loads(told))


def rounds_of(side: Side, number: int) -> Iterator[dict[str, Any]]:
    """Yield what readers saw, in turn without a storm and with one."""
    bot_read.measure(side, READERS, 1.0)  # warms up
    # Half of what they could ask for: a pause as long as an answer takes, and what lies between.
    pause = READERS / bot_read.measure(side, READERS, SECONDS)["per_second"]
    for each in range(number):
        for name in ("calm", "storm")[:: -1 if each % 2 else 1]:
            answered: dict[str, int] = {}
            if name == "storm":
                with storm(side.port, answered):
                    found = bot_read.measure(side, READERS, SECONDS, pause)
            else:
                found = bot_read.measure(side, READERS, SECONDS, pause)
            if not set(answered) <= {"401", "429", "503"}:
                raise SystemExit(f"the storm was answered with {answered}")
            yield {"round": each} | found | {"side": name, "sign_ins": answered}


def figures_of(pairs: Sequence[tuple[float, float]], rounds: Sequence[dict[str, Any]]) -> Iterator[Figure]:
    """Yield each value, and each ratio with its aim."""
    alone, many = "one at a time", f"{READERS} readers, half load"
    least, most = spread(pairs, random.Random(5))
    yield figure("wrong password, known address: median", alone, median(known for known, _ in pairs), "ms")
    yield figure("wrong password, unknown address: median", alone, median(other for _, other in pairs), "ms")
    yield figure("known over unknown: median", alone, ratio(pairs), "×")
    yield figure("known over unknown: median, lower end of the spread", alone, least, "×", least=0.95)
    yield figure("known over unknown: median, upper end of the spread", alone, most, "×", most=1.05)

    def values(name: str, value: str) -> list[float]:
        return [each[value] for each in rounds if each["side"] == name]

    def change(value: str) -> float:
        return median(storm / calm for storm, calm in zip(values("storm", value), values("calm", value), strict=True))

    for name, text in (("calm", "without a storm"), ("storm", f"beside {PEOPLE} who sign in")):
        for value in ("p50_ms", "p99_ms"):
            yield figure(f"read {text}: {value[:3]}", many, median(values(name, value)), "ms")
    yield figure("read beside a storm over without: p50", many, change("p50_ms"), "×")
    yield figure("read beside a storm over without: p99", many, change("p99_ms"), "×", most=1.1)
    judged = median(each["sign_ins"].get("401", 0) for each in rounds if each["side"] == "storm")
    yield figure("passwords judged in a storm", many, judged / SECONDS, "/s")


def main() -> int:
    """Measure, print the table, and keep the rounds."""
    options = options_of(__doc__)
    os.umask(0o022)  # the servers of root run as another account
    with tempfile.TemporaryDirectory(prefix="hivemind-bench-") as name:
        scratch = Path(name)
        scratch.chmod(0o711)
        with hivemind("login", scratch) as side:
            command = [str(ROOT / "hivemind"), "sql", "--data-dir", str(scratch / "login"), "-c", ADD_ACCOUNTS]
            subprocess.run(command, env=without_ours(), check=True, stdout=subprocess.DEVNULL)
            note("one at a time")
            pairs = list(times_of(side.port, random.Random(5)))
            rounds = []
            for each in rounds_of(side, options.rounds or ROUNDS):
                rounds.append(each)
                note(json.dumps(each))
    kept = [{"known_ms": round(known, 3), "unknown_ms": round(other, 3)} for known, other in pairs]
    return finish("login", list(figures_of(pairs, rounds)), [*kept, *rounds], writes=not options.no_write)


if __name__ == "__main__":
    sys.exit(main())
