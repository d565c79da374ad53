"""A double of the gateway, and `hm` run in this process with everything captured."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from hivemind_client.cli import main
from hivemind_client.testing import KEY, GatewayDouble, gateway_double
from hivemind_client.testing.terminal import Ran


@pytest.fixture
async def double() -> AsyncIterator[GatewayDouble]:
    async with gateway_double() as double:
        yield double


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the env file; nothing of this machine's own settings is left."""
    for name in ("URL", "API_KEY", "API_KEY_FILE"):
        monkeypatch.delenv(f"HIVEMIND_{name}", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "config" / "hivemind"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def unconfigured(config: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Awaitable[Ran]]:
    async def run(*arguments: str, stdin: str | bytes = "") -> Ran:
        raw = stdin.encode() if isinstance(stdin, str) else stdin
        out, err = io.BytesIO(), io.BytesIO()
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8"))
            patched.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="utf-8", write_through=True))
            patched.setattr(sys, "stderr", io.TextIOWrapper(err, encoding="utf-8", write_through=True))
            # In a thread, for `hm` brings an event loop of its own and the double lives on this one.
            code = await asyncio.to_thread(main, arguments)
            return Ran(code, out.getvalue().decode(), err.getvalue().decode())

    return run


@pytest.fixture
def hm(
    unconfigured: Callable[..., Awaitable[Ran]], double: GatewayDouble, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Awaitable[Ran]]:
    """`hm` that knows the double and has its key."""
    monkeypatch.setenv("HIVEMIND_URL", double.url)
    monkeypatch.setenv("HIVEMIND_API_KEY", KEY)
    return unconfigured
