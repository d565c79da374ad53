"""A text in the editor of whoever sits before the terminal."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hivemind_client.cli.failures import hint_for
from hivemind_client.cli.inputs import text_from
from hivemind_client.cli.refusals import UsageError
from hivemind_client.errors import ClientError


@contextmanager
def kept_if_refused(text: str, *, name: str) -> Iterator[None]:
    """Where what is done with a text fails, keep the text in a file, and let the refusal say where."""
    try:
        yield
    except ClientError as error:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="hm-", suffix=f"-{name}", delete=False) as kept:
            kept.write(text)
        hint = hint_for(error)
        error.hint = f"what you wrote is kept in {kept.name}{f'; {hint}' if hint else ''}"
        raise


def edited(text: str, *, name: str, at_most: int, spare: int = 0, instead: str) -> str:
    """Let somebody change a text in $VISUAL or $EDITOR, and return it; `instead` is how it goes without one."""
    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    with tempfile.TemporaryDirectory(prefix="hm-") as folder:
        file = Path(folder) / name
        file.write_text(text, encoding="utf-8")
        try:
            ended = subprocess.run([*editor, str(file)], check=False)  # noqa: S603  # what its user has chosen
        except OSError as fault:
            raise UsageError(
                f"the editor {editor[0]} cannot be started: {fault.strerror}", hint=f"set EDITOR, or {instead}"
            ) from fault
        if ended.returncode:
            raise UsageError(f"the editor ended with {ended.returncode}, so nothing was changed")
        return text_from(str(file), at_most=at_most, spare=spare)
