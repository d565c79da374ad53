"""`hm chat`: one question, or a conversation."""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hivemind_client.cli.failures import hint_for
from hivemind_client.cli.frame import CHAT_TIME, Hm, command
from hivemind_client.cli.inputs import stdin_is_terminal, text_from
from hivemind_client.cli.output import clean, one_line
from hivemind_client.cli.refusals import UsageError
from hivemind_client.errors import ApiError, ClientError, NotHivemindError
from hivemind_client.settings import SettingsError

if TYPE_CHECKING:
    from hivemind_client.client import HivemindClient
    from hivemind_client.models import Answer

LONGEST_MESSAGE = 8_000


def register(app: typer.Typer) -> None:
    """Hang this command into `hm`."""
    command(
        app,
        "chat",
        examples="""
        hm chat helpdesk "How long do refunds take?"
        hm chat helpdesk                                  a conversation; Ctrl-D ends it
        hm chat helpdesk - < question.txt
        hm chat helpdesk "And abroad?" --conversation 0192c7f0-…
        hm chat helpdesk "How long do refunds take?" --json | jq -r '.citations[].title'
        """,
    )(chat)


def chat(
    hm: Hm,
    slug: Annotated[str, typer.Argument(metavar="SLUG", help="The bot.")],
    message: Annotated[
        str | None,
        typer.Argument(metavar="MESSAGE", help="- reads standard input; none, on a terminal, is a conversation."),
    ] = None,
    conversation: Annotated[
        str | None,
        typer.Option("--conversation", metavar="ID", help="Go on with a conversation that was begun before."),
    ] = None,
    no_stream: Annotated[bool, typer.Option("--no-stream", help="Print the answer when it is whole.")] = False,
) -> None:
    """Ask a bot; its sources stand below its answer."""
    if message is None:
        if hm.out.as_json or not hm.out.on_terminal or not stdin_is_terminal():
            raise UsageError("there is no message, and no terminal to type one on", hint="give it, or - to read it")
        _converse(hm, slug, conversation, stream=not no_stream)
        return
    if message == "-":
        message = text_from("-", at_most=LONGEST_MESSAGE)
    stream = hm.out.on_terminal and not hm.out.as_json and not no_stream
    answer = _run(_turn(hm, slug, message, conversation, stream=stream))
    if hm.out.on_terminal and answer.conversation_id and conversation is None:
        hm.out.note(f"\nGo on: hm chat {slug} --conversation {one_line(answer.conversation_id)}")


def _converse(hm: Hm, slug: str, conversation: str | None, *, stream: bool) -> None:
    with suppress(ImportError):
        import readline  # noqa: F401  # imported, it gives input() its line editing and history
    hm.out.note(f"You are talking to {slug}. Ctrl-D or /quit ends, Ctrl-C stops an answer.")
    while True:
        try:
            message = input("\nyou> ").strip()
        except (EOFError, KeyboardInterrupt):
            hm.out.write("\n")
            return
        if message == "/quit":
            return
        if not message:
            continue
        try:
            answer = _run(_turn(hm, slug, message, conversation, stream=stream))
        except KeyboardInterrupt:
            hm.out.write("\n")
            hm.out.note("stopped")
        except ClientError as error:
            if _ends_it(error):
                raise
            hm.out.fail(error.message, hint_for(error), error.document)
        else:
            conversation = answer.conversation_id


def _run(turn: Coroutine[Any, Any, Answer]) -> Answer:
    import asyncio  # here, since `hm --help` has no use for it

    return asyncio.run(turn)


async def _turn(hm: Hm, slug: str, message: str, conversation: str | None, *, stream: bool) -> Answer:
    async with hm.client(timeout=CHAT_TIME) as hivemind:
        if stream:
            answer = await _streamed(hm, hivemind, slug, message, conversation)
        else:
            answer = await hivemind.ask(slug, message, conversation_id=conversation)
            if hm.out.as_json:
                hm.out.document(answer.raw)
                return answer
            hm.out.line(answer.reply)
    if not hm.out.quiet and answer.citations:
        hm.out.line()
        for number, citation in enumerate(answer.citations, 1):
            doubt = "" if citation.verified else "  (not found word for word)"
            hm.out.line(f"[{number}] {one_line(citation.title)}{doubt}")
    return answer


async def _streamed(hm: Hm, hivemind: HivemindClient, slug: str, message: str, conversation: str | None) -> Answer:
    from hivemind_client.models import Delta, Done

    shown = False
    async with aclosing(hivemind.ask_streaming(slug, message, conversation_id=conversation)) as events:
        try:
            async for event in events:
                if isinstance(event, Delta):
                    hm.out.write(clean(event.text))
                    shown = True
                elif isinstance(event, Done):
                    hm.out.write("\n" if shown else f"{clean(event.answer.reply)}\n")
                    return event.answer
        except ClientError:
            if shown:
                hm.out.write("\n")  # the error begins a line of its own
            raise
    raise NotHivemindError("the stream ended without an answer")


def _ends_it(error: ClientError) -> bool:
    # What no further question can mend; after anything else the conversation is intact, and one may ask again.
    if isinstance(error, ApiError):
        return error.status in (401, 403, 404)
    return isinstance(error, SettingsError | NotHivemindError)
