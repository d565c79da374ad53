"""What people and files hand in: questions on a terminal, secrets, texts. Secrets are never arguments."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hivemind_client.cli.refusals import RefusedError, UnreadableFileError, UsageError
from hivemind_client.settings import LONGEST_SECRET

BYTES_PER_CHARACTER = 4


def stdin_is_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin is not None and sys.stdin.isatty()


def ask(question: str, default: str = "") -> str:
    """Ask on the terminal; questions go to stderr, so that stdout holds results only."""
    with _hearing_ctrl_c():
        sys.stderr.write(f"{question} [{default}]: " if default else f"{question}: ")
        sys.stderr.flush()
        answer = sys.stdin.readline()
    if not answer.strip() and not default:
        raise UsageError(f"no answer to {question!r}")
    return answer.strip() or default


def ask_or_skip(question: str) -> str:
    """Ask on the terminal; an empty line, and the end of input, are no answer."""
    with _hearing_ctrl_c():
        sys.stderr.write(f"{question}: ")
        sys.stderr.flush()
        return sys.stdin.readline().strip()


def ask_secret(question: str) -> str:
    """Ask without showing what is typed."""
    from getpass import getpass

    try:
        with _hearing_ctrl_c():
            answer = getpass(f"{question}: ", stream=sys.stderr)
    except EOFError:
        answer = ""
    if not answer:
        raise UsageError(f"no answer to {question!r}")
    return answer


def ask_new_password(question: str) -> str:
    """Ask twice, unseen; nothing that was mistyped once becomes a password."""
    password = ask_secret(question)
    if ask_secret("The same again") != password:
        raise UsageError("the two passwords differ; nothing was sent")
    return password


def confirmed(question: str) -> bool:
    """Ask before something that cannot be taken back; everything but yes is no."""
    with _hearing_ctrl_c():
        sys.stderr.write(f"{question} [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")


def secret_from_stdin(what: str) -> str:
    """A secret from a pipe, without the line break at its end; on a terminal it is asked for, unseen."""
    if stdin_is_terminal():
        return ask_secret(what)
    raw = _stdin(LONGEST_SECRET)
    try:
        secret = raw.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise RefusedError(f"the {what.lower()} on standard input is not UTF-8") from None
    if not secret.strip() or len(raw) > LONGEST_SECRET or "\n" in secret:
        raise RefusedError(
            f"standard input must be the {what.lower()}, on one line",
            hint=f'printf %s "$SECRET" | hm … ; got {_measure(raw)}',
        )
    return secret


def two_secrets_from_stdin(what: str) -> tuple[str, str]:
    """Two secrets from a pipe, a line each; on a terminal the caller asks instead."""
    raw = _stdin(2 * LONGEST_SECRET)
    try:
        lines = raw.decode("utf-8-sig").removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        raise RefusedError(f"the {what} on standard input are not UTF-8") from None
    first, second = [line.removesuffix("\r") for line in lines] if len(lines) == 2 else ["", ""]
    if not first.strip() or not second.strip() or len(raw) > 2 * LONGEST_SECRET:
        raise RefusedError(
            f"standard input must be the {what}, a line each", hint='printf "%s\\n" "$OLD" "$NEW" | hm …'
        )
    return first, second


def text_from(name: str, *, at_most: int, spare: int = 0) -> str:
    """The text of a file, or of standard input for `-`: UTF-8, line ends as LF, blank lines around it dropped.

    What is no text, empty or too long is refused in a line that names it; `spare` characters more are let through, for
    callers that take the text apart.
    """
    shown = "standard input" if name == "-" else name
    limit = (at_most + spare) * BYTES_PER_CHARACTER + 4096
    try:
        if name == "-":
            raw = _stdin(limit)
        else:
            with Path(name).open("rb") as file:
                raw = file.read(limit + 1)
    except IsADirectoryError:
        raise UnreadableFileError(f"{shown} is a folder", hint=f"name its files: {shown.rstrip('/')}/*.md") from None
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise UnreadableFileError(
            f"cannot read {shown}: {reason}", hint="give the name of a file that you may read"
        ) from error
    if len(raw) > limit:
        raise too_long(shown, f"more than {at_most:,}", at_most)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RefusedError(
            f"{shown} is not UTF-8 text (byte {error.start + 1})", hint=f"convert it: iconv -f LATIN1 -t UTF-8 {shown}"
        ) from None
    if "\0" in text:
        raise RefusedError(f"{shown} is not text: it holds NUL characters", hint="give a text or Markdown file")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise RefusedError(f"{shown} is empty", hint="write something into it, or leave it out")
    text = without_blank_ends(text)
    if len(text) > at_most + spare:
        raise too_long(shown, f"{len(text):,}", at_most)
    return text


def without_blank_ends(text: str) -> str:
    """The text without empty lines before and after it."""
    lines = text.rstrip().split("\n")
    while not lines[0].strip() and len(lines) > 1:
        lines.pop(0)
    return "\n".join(lines)


def too_long(what: str, length: str, at_most: int) -> RefusedError:
    """The refusal of a text over its limit."""
    return RefusedError(
        f"{what} has {length} characters, at most {at_most:,} go", hint="shorten it, or split it in two"
    )


def _stdin(limit: int) -> bytes:
    with _hearing_ctrl_c():
        return b"" if sys.stdin is None else sys.stdin.buffer.read(limit + 1)


@contextmanager
def _hearing_ctrl_c() -> Iterator[None]:
    # While a command runs, asyncio makes the first Ctrl-C the end of a task, and a task that waits for a keyboard or a pipe
    # does not hear of it. Threads have no signals; who was started deaf to them, as by `nohup`, stays so.
    if threading.current_thread() is not threading.main_thread() or not callable(
        before := signal.getsignal(signal.SIGINT)
    ):
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _measure(raw: bytes) -> str:
    return (
        "nothing"
        if not raw.strip()
        else str(raw.count(b"\n")) + " lines"
        if b"\n" in raw
        else f"over {LONGEST_SECRET} bytes"
    )
