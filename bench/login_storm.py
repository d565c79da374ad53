"""A storm of sign-ins: so many people at once, each with the wrong password, and again as soon as they may.

A process of its own that steps back behind all others: it stands for people elsewhere, whose work is not done here. It
says `on` when it has begun, and how it was answered when its stdin ends. Settings come as its arguments.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from itertools import count
from typing import Final

_numbers: Final = count()


async def sign_in(port: int, answered: Counter[int]) -> None:
    """Try one address after another, since each may be tried ten times only; wait where that is asked for."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while True:
            form = {"email": f"{os.getpid()}-{next(_numbers)}@example.org", "password": "not the right one"}
            body = json.dumps(form).encode()
            writer.write(
                f"POST /auth/login HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
            await reader.readexactly(int(fields["content-length"]))
            answered[int(head.split()[1])] += 1
            await asyncio.sleep(float(fields.get("retry-after", 0)))
    finally:
        writer.close()


async def main(port: int, people: int) -> None:
    """Go on until nobody listens any more."""
    answered: Counter[int] = Counter()
    async with asyncio.TaskGroup() as group:
        storm = [group.create_task(sign_in(port, answered)) for _ in range(people)]
        while answered.total() < people:  # noqa: ASYNC110 - an event would cost the storm a look after each answer
            await asyncio.sleep(0.01)
        print("on", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        for each in storm:
            each.cancel()
    print(json.dumps(answered))


if __name__ == "__main__":
    os.nice(19)
    asyncio.run(main(*map(int, sys.argv[1:])))
