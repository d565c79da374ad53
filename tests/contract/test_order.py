"""Of several things that are wrong in one request the first in the published order is told, whichever they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import orjson
import pytest

from hivemind_common.ids import new_id
from tests.conftest import PASSWORD, Instance
from tests.contract.raw_http import DATA, Line

Parts = dict[str, str]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, and what is told of it where nothing higher is."""

    status: int
    code: str
    part: str
    value: str


@dataclass(frozen=True)
class Asked:
    """A request that is in order, in its parts; only what a route looks at can be wrong with it."""

    method: str
    path: str
    body: str = ""
    lacks: frozenset[str] = frozenset()
    """Faults of these codes cannot be: nothing of the kind is looked at."""

    @property
    def parts(self) -> frozenset[str]:
        """What can be wrong with it."""
        found = {"host", "path", "method"}
        if self.path.startswith("/api/v1/"):
            found |= {"query"}
        if self.path not in {"/auth/register", "/auth/login"}:
            found |= {"who"}
        if self.body:
            found |= {"length", "type", "body"}
        if self.method != "GET":
            found |= {"site"}
        found |= {name for name in ("bot", "snippet", "session") if f"{{{name}}}" in self.path}
        if self.method == "DELETE" and "{snippet}" in self.path:
            found |= {"match"}
        if self.path.endswith("/chat"):
            found |= {"accept"}
        if self.path == "/auth/register":
            found |= {"admin"}
        return frozenset(found)


SNIPPET: Final = '{"title":"Refunds","body":"Ten days."}'
BOT: Final = '{"slug":"other","name":"Other","system_prompt":"You help."}'
FORM: Final = '{"username":"eve","email":"eve@example.org","password":"twelvechars+"}'
PASSWORDS: Final = '{"password":"twelvechars+","current_password":"twelvechars+"}'
LOGIN: Final = '{"email":"ada@example.org","password":"twelvechars+"}'
BY_SCOPE: Final = frozenset({"insufficient_scope"})

ASKED: Final = (
    Asked("POST", "/api/v1/bots", BOT),
    Asked("GET", "/api/v1/bots", lacks=BY_SCOPE),
    Asked("GET", "/api/v1/bots/{bot}", lacks=BY_SCOPE),
    Asked("POST", "/api/v1/bots/{bot}/knowledge", SNIPPET, frozenset({"slug_taken"})),
    Asked("GET", "/api/v1/bots/{bot}/knowledge/{snippet}", lacks=BY_SCOPE),
    Asked("DELETE", "/api/v1/bots/{bot}/knowledge/{snippet}"),
    Asked("POST", "/api/v1/bots/{bot}/chat", '{"message":"Hello?"}', BY_SCOPE | {"slug_taken"}),
    Asked("DELETE", "/api/v1/sessions/{session}", lacks=BY_SCOPE),
    Asked("PATCH", "/auth/me", PASSWORDS, BY_SCOPE | {"slug_taken"}),
    Asked("POST", "/auth/login", LOGIN, frozenset({"slug_taken"})),
    Asked("POST", "/auth/register", FORM, frozenset({"slug_taken", "validation_failed"})),
)


def faults_in(asked: Asked) -> list[Fault]:
    """Read the table, as far as it can be wrong with a request."""
    found = []
    for line in (DATA.parent / "refusals.tsv").read_text().split("\n"):
        if line and not line.startswith("#"):
            status, code, part, value = line.split("\t")
            if part in asked.parts and code not in asked.lacks:
                found.append(Fault(int(status), code, part, value))
    return found


def together(faults: list[Fault]) -> Iterator[tuple[Fault, ...]]:
    """Yield what can be wrong at once: each alone, every two, every three, in different parts."""
    for count in (1, 2, 3):
        for found in combinations(faults, count):
            wrong = {fault.part: fault.value for fault in found}
            # Where there is no body, it is of no type.
            if len(wrong) == count and not (wrong.get("body") == "" and "type" in wrong):
                yield found


def written(asked: Asked, faults: tuple[Fault, ...], sound: Parts, credentials: dict[str, str]) -> bytes:
    """Write the request with its faults."""
    wrong = {fault.part: fault.value for fault in faults}
    parts = sound | wrong
    body = (sound["taken"] if parts["body"] == "taken" else parts["body"]).encode()
    path = parts.get("path") or asked.path.format(**parts)
    length = parts.get("length", str(len(body)))
    kind = wrong.get("type", "")
    head = [
        f"{parts['method']} {path}{'?' if parts['query'] else ''}{parts['query']} HTTP/1.1",
        f"Host: {parts['host']}",
        "Connection: close",
        f"Accept: {parts['accept']}",
        credentials[parts["who"]],
        f"Content-Length: {length}" if body or "length" in wrong else "",
        kind,
        "" if kind.startswith("Content-Type") else "Content-Type: application/json",
        f"If-Match: {wrong['match']}" if "match" in wrong else "",
        f"Sec-Fetch-Site: {wrong['site']}" if "site" in wrong else "",
    ]
    return "\r\n".join(line for line in head if line).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: f"{asked.method} {asked.path}")
async def test_of_all_that_is_wrong_the_first_in_the_order_is_told(
    instance: Instance, owner: Any, asked: Asked
) -> None:
    await instance.mint("desk")
    snippet = await instance.teach("desk", "Refunds", "Ten days.")
    cookies = await signed_in(instance, owner)
    _, page, _ = await instance.call("GET", "/api/v1/sessions", expect=200)
    sound = {
        "host": "localhost",
        "method": asked.method,
        "who": "admin",
        "query": "",
        "accept": "*/*",
        "body": asked.body,
        "bot": "desk",
        "snippet": snippet["id"],
        "session": page["items"][0]["id"],
        "taken": orjson.dumps(orjson.loads(BOT) | {"slug": "desk"}).decode(),
    }
    credentials = {
        "admin": cookies["ada"],
        "user": cookies["bob"],
        "nobody": "",
        "wrong key": "X-API-Key: hm_wrong",
        "dead session": "Cookie: hm_session=dead",
        "two people": f"{cookies['bob']}\r\nX-API-Key: {instance.key}",
    }
    wrong = []
    for faults in together(faults_in(asked)):
        line = await Line.to(instance)
        await line.send(written(asked, faults, sound, credentials))
        answer = await line.answer()
        await line.close()
        assert answer is not None, faults
        told = (answer.status, answer.problem.get("code"))
        if told != (faults[0].status, faults[0].code):
            wrong.append(f"{[(fault.code, fault.value) for fault in faults]} is {told}")

    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong[:20])


async def signed_in(instance: Instance, owner: Any) -> dict[str, str]:
    """Open a session of an admin and one of a user."""
    await owner.execute("TRUNCATE auth.sign_in_tries")
    await owner.execute(
        "INSERT INTO auth.account (id, username, email, role, password_hash, created_at)"
        " SELECT $1, 'bob', 'bob@example.org', 'user', password_hash, now() FROM auth.account",
        new_id(),
    )
    cookies = {}
    for name in ("ada", "bob"):
        form = {"email": f"{name}@example.org", "password": PASSWORD}
        _, _, response = await instance.call("POST", "/auth/login", json=form, key="", expect=200)
        cookies[name] = f"Cookie: {response.headers['Set-Cookie'].partition(';')[0]}"
    return cookies
