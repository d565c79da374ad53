"""The frame of every command: the flags they share, the settings, the client, and how a failure ends."""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from hivemind_client.cli.output import Output
from hivemind_client.cli.pages import CommandPage, GroupPage, without_command
from hivemind_client.cli.refusals import UsageError
from hivemind_client.errors import InvalidInputError
from hivemind_client.settings import Settings, SettingsError, resolve

if TYPE_CHECKING:
    from hivemind_client.client import HivemindClient

HELP = {"help_option_names": ["--help", "-h"], "max_content_width": 100}
ANSWER_TIME = 30.0
CHAT_TIME = 180.0
"""A model may think, and a fallback may think after it."""

PATIENCE = 1.0
"""Seconds after which a command says what it waits for."""

LONG_TIME = 150.0
"""What works on everything that many bots know."""


class Flags(NamedTuple):
    """What may stand before and after every command. Of two values the inner one holds."""

    as_json: bool = False
    url: str | None = None
    quiet: bool = False
    no_color: bool = False
    timeout: float | None = None

    def over(self, outer: Flags) -> Flags:
        """These flags, where they are set, over those that stood further left."""
        return Flags(
            self.as_json or outer.as_json,
            outer.url if self.url is None else self.url,
            self.quiet or outer.quiet,
            self.no_color or outer.no_color,
            outer.timeout if self.timeout is None else self.timeout,
        )


def _shared(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, the API's own.")] = False,
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help="The server, before all settings.")] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only what the next command needs: slugs, ids, the reply.")
    ] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours; NO_COLOR=1 does the same.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", metavar="SECS", help="How long an answer may take: 30 seconds, in chat 180."),
    ] = None,
) -> None:
    """Only its signature is used."""


_SHARED = [
    parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
    for parameter in inspect.signature(_shared, eval_str=True).parameters.values()
]


class Hm:
    """What a command works with."""

    def __init__(self, flags: Flags) -> None:
        self.flags = flags
        self.out = Output(as_json=flags.as_json, quiet=flags.quiet, color=not flags.no_color)
        self.environ: Mapping[str, str] = os.environ
        if flags.timeout is not None and not 0 < flags.timeout <= 86_400:
            raise UsageError("--timeout takes seconds, more than 0 and at most 86400")

    @cached_property
    def settings(self) -> Settings:
        """Where the server is and who asks; what is odd about it has been warned of."""
        settings = resolve(self.environ, self.flags.url)
        for warning in settings.warnings:
            self.out.warn(warning)
        return settings

    @asynccontextmanager
    async def client(self, *, timeout: float = ANSWER_TIME) -> AsyncIterator[HivemindClient]:
        """The server, asked with the credential that is configured; SettingsError when there is none."""
        settings = self.settings
        if settings.api_key is None and settings.session is None:
            raise SettingsError(
                "no API key is set",
                hint="hm setup starts a new server; hm login --key-stdin, or HIVEMIND_API_KEY, takes a key that you have",
            )
        async with self.asking(settings, timeout=timeout) as client:
            yield client

    @asynccontextmanager
    async def anonymous(self, *, api_key: str | None = None) -> AsyncIterator[HivemindClient]:
        """The server, asked without what is configured: by nobody, or with a key that is still to be tried."""
        async with self.asking(replace(self.settings, api_key=api_key, session=None, credential_from="")) as client:
            yield client

    @asynccontextmanager
    async def asking(self, settings: Settings, *, timeout: float = ANSWER_TIME) -> AsyncIterator[HivemindClient]:
        """The server that these settings name, asked with their credential."""
        from hivemind_client.client import HivemindClient
        from hivemind_client.wire import checked_url

        limit = timedelta(seconds=self.flags.timeout or timeout)
        with _blaming(settings.url_from):
            url = checked_url(settings.url)
        with _blaming(settings.credential_from):
            client = HivemindClient(url, api_key=settings.api_key, session=settings.session, timeout=limit)
        async with client, _waiting_shown(self.out, client):
            yield client


@asynccontextmanager
async def _waiting_shown(out: Output, client: HivemindClient) -> AsyncIterator[None]:
    """Say on a terminal that an answer is still waited for, once that takes longer than a moment."""
    if not out.errors_on_terminal or out.quiet:
        yield
        return
    import asyncio

    async def show() -> None:
        now = asyncio.get_running_loop().time
        while True:
            since = client.waiting_since
            if since is not None and now() - since >= PATIENCE and not out.has_progress:
                out.status(f"waiting for {client.url}, {now() - since:.0f} s")
            else:
                out.status("")
            await asyncio.sleep(0.2)

    shown = asyncio.create_task(show())
    try:
        yield
    finally:
        shown.cancel()
        out.status("")


@contextmanager
def _blaming(source: str) -> Iterator[None]:
    # Who reads "no URL" must know in which of four places it stands.
    try:
        yield
    except InvalidInputError as error:
        if source in ("--url", ""):
            raise
        raise SettingsError(f"{source}: {error.message}", hint=error.hint) from None


def group(help_text: str, examples: str = "") -> typer.Typer:
    """A group of commands; the shared flags may stand behind its name too."""
    app = typer.Typer(
        cls=GroupPage,
        help=help_text,
        epilog=inspect.cleandoc(examples),
        context_settings=HELP,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        invoke_without_command=True,
    )

    def remember(ctx: typer.Context, **flags: Any) -> None:
        ctx.obj = Flags(**flags).over(ctx.obj or Flags())
        if ctx.invoked_subcommand is None:
            without_command(ctx)

    app.callback()(_signed(remember, []))
    return app


def command(app: typer.Typer, name: str, *, examples: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function a command. Its first parameter is the Hm; the docstring is its help; it may be asynchronous.

    What it returns is the exit code, None being 0.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        _, *own = inspect.signature(function, eval_str=True).parameters.values()

        def run(ctx: typer.Context, **arguments: Any) -> int:
            flags = Flags(**{field: arguments.pop(field) for field in Flags._fields}).over(ctx.obj or Flags())
            result = function(Hm(flags), **arguments)
            if inspect.iscoroutine(result):
                import asyncio

                result = asyncio.run(result)
            return result or 0

        help_text = inspect.cleandoc(function.__doc__ or "")
        register_with = app.command(
            name, cls=CommandPage, help=help_text, epilog=inspect.cleandoc(examples), context_settings=HELP
        )
        register_with(_signed(run, own))
        return function

    return register


def _signed(function: Callable[..., Any], own: list[inspect.Parameter]) -> Callable[..., Any]:
    # Typer reads parameters from signatures; this writes one, so that no command repeats the shared flags.
    parameters = [
        inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context),
        *(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own),
        *_SHARED,
    ]
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # any function may carry one
    function.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return function
