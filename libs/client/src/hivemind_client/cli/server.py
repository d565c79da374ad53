"""`hm health`, `hm version`: the server, and `hm` itself."""

from __future__ import annotations

import typer

from hivemind_client import VERSION
from hivemind_client.cli.frame import Hm, command
from hivemind_client.errors import ApiError, phrase_of


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
    """Print the version of hm. No server is asked."""
    if hm.out.as_json:
        hm.out.document({"version": VERSION})
    else:
        hm.out.line(VERSION if hm.out.quiet else f"hm {VERSION}")
