"""`hm health`, `hm version`: the server, and `hm` itself."""

from __future__ import annotations

from typing import NamedTuple

import typer

from hivemind_client import VERSION
from hivemind_client.cli.frame import Hm, command
from hivemind_client.errors import ApiError, NotHivemindError, phrase_of

GLANCE = 2.0
"""Seconds that somebody who only asks for a version waits for a server."""

LARGEST_HEALTH = 65_536


def register(app: typer.Typer) -> None:
    """Hang these commands into `hm`."""
    command(
        app,
        "health",
        examples="""
        hm health
        hm health --url https://bots.example.org
        hm health --json | jq .components
        """,
    )(health)
    command(
        app,
        "version",
        examples="""
        hm version
        hm version --json
        """,
    )(version)


async def health(hm: Hm) -> None:
    """Show how the server is, part by part. It needs no key; a server that is down is exit code 8."""
    async with hm.anonymous() as hivemind:
        health = await hivemind.health()
        url = hivemind.url
    if health.status == "down":
        down = [
            f"{name} ({part.detail or 'down'})" for name, part in health.components.items() if part.status == "down"
        ]
        message = f"the server is down: {', '.join(down) or 'it does not say what'}"
        raise ApiError(
            503,
            {
                "type": "about:blank",
                "title": phrase_of(503),
                "status": 503,
                "code": "unavailable",
                "detail": message,
                "error": message,
                "request_id": None,
                "health": health.raw,
            },
            hint="the server's log says why",
        )
    if hm.out.as_json:
        hm.out.document(health.raw)
    elif hm.out.quiet:
        hm.out.line(health.status)
    else:
        hm.out.line(f"{url}: {health.status}, version {health.version or 'unknown'}")
        rows = [(name, component.status, component.detail) for name, component in health.components.items()]
        if rows:
            hm.out.line()
            hm.out.table(("PART", "STATUS", "DETAIL"), rows)


def version(hm: Hm) -> None:
    """Print the version of hm and of the server, and whether they fit. A server that does not is exit code 6."""
    if hm.out.quiet:
        hm.out.line(VERSION)
        return
    server = _server_of(hm)
    if server.fits is False:
        what = f"version {server.version}" if server.version else "something else"
        hint = f"install hm {server.version}" if server.version else "look at the URL: --url or HIVEMIND_URL"
        raise NotHivemindError(f"hm {VERSION} does not fit {what} at {server.url}", hint=hint)
    if hm.out.as_json:
        hm.out.document({"version": VERSION, "server": server._asdict()})
    else:
        hm.out.line(f"hm {VERSION}")
        hm.out.line(f"server {server.version or server.fault}, {server.url}")


class Server(NamedTuple):
    """What stands at the other end."""

    url: str
    version: str | None
    fits: bool | None
    """None: nobody answers, so nobody knows."""
    fault: str


def _server_of(hm: Hm) -> Server:
    """Ask for the version by the standard library, which is there at once; all else takes longer to load than to ask."""
    import http.client
    import json
    from urllib.parse import urlsplit

    url = hm.settings.url.rstrip("/")
    try:
        parts = urlsplit(url)
        kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        connection = kinds[parts.scheme](parts.hostname or "", parts.port, timeout=hm.flags.timeout or GLANCE)
    except (KeyError, ValueError, http.client.HTTPException):
        return Server(url, None, None, "none: that is no URL of a server")
    try:
        connection.request("GET", f"{parts.path}/api/v1/health", headers={"User-Agent": f"hm/{VERSION}"})
        found = json.loads(connection.getresponse().read(LARGEST_HEALTH))
        version = found["version"]
    except OSError as fault:
        return Server(url, None, None, f"none answers: {(fault.strerror or str(fault) or 'no answer').lower()}")
    except (ValueError, KeyError, TypeError, http.client.HTTPException):
        return Server(url, None, False, "none: something else answers")
    finally:
        connection.close()
    return Server(url, str(version)[:40], fits(VERSION, str(version)), "")


def fits(ours: str, theirs: str) -> bool:
    """Whether two versions understand one another: those of one major version do, and before 1.0 those of one minor."""
    own, other = (version.split(".") for version in (ours, theirs))
    count = 2 if own[0] == other[0] == "0" else 1
    return own[:count] == other[:count]
