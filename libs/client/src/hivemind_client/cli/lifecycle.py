"""`hm bot pause`, `resume`, `clone`, `delete`, `restore`: what happens to whole bots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hivemind_client.cli.bots import Slug, in_short
from hivemind_client.cli.frame import Hm
from hivemind_client.cli.inputs import confirmed, stdin_is_terminal
from hivemind_client.cli.refusals import UsageError

if TYPE_CHECKING:
    from hivemind_client.models import Bot


async def pause(hm: Hm, slug: Slug) -> None:
    """Let a bot answer nobody; all else works."""
    async with hm.client() as hivemind:
        _tell(hm, await hivemind.pause_bot(slug), f"Paused {slug}.", f"hm bot resume {slug} lets it answer again")


async def resume(hm: Hm, slug: Slug) -> None:
    """Let a paused bot answer again."""
    async with hm.client() as hivemind:
        _tell(hm, await hivemind.resume_bot(slug), f"{slug} answers again.", "")


async def restore(hm: Hm, slug: Slug) -> None:
    """Bring an archived bot back, with all that it knew and said."""
    async with hm.client() as hivemind:
        bot = await hivemind.restore_bot(slug)
        again = f"hm bot resume {slug} lets it answer again" if bot.status == "paused" else ""
        _tell(hm, bot, f"Restored {slug}: {in_short(bot)}, {bot.status}.", again)


async def clone(
    hm: Hm,
    slug: Slug,
    new: Annotated[str, typer.Argument(metavar="NEW", help="The slug of the clone.")],
    name: Annotated[
        str | None, typer.Option("--name", metavar="TEXT", help="What people read; else the original's.")
    ] = None,
) -> None:
    """Make another bot with the same prompt, settings, snippets and golden questions."""
    async with hm.client() as hivemind:
        bot = await hivemind.clone_bot(slug, new, name=name)
        _tell(hm, bot, f"Cloned {slug} as {bot.slug}: {in_short(bot)}.", "")


async def delete(
    hm: Hm,
    slug: Slug,
    purge: Annotated[
        bool, typer.Option("--purge", help="End it for good, archived or not, and free its slug.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed without a terminal.")] = False,
) -> None:
    """Archive a bot: for 30 days it can be restored whole."""
    if not yes and not stdin_is_terminal():
        raise UsageError("without a terminal nobody can be asked", hint="add --yes to delete without asking")
    question = (
        f"End {slug} for good, with all that it knows and said?"
        if purge
        else f"Archive {slug}? It answers nobody any more, and can be restored for 30 days."
    )
    if not yes and not confirmed(question):
        raise UsageError("nothing was deleted", hint="answer y, or give --yes")
    async with hm.client() as hivemind:
        await hivemind.delete_bot(slug, purge=purge)
    if hm.out.as_json:
        hm.out.document({"deleted": slug})
    elif not hm.out.quiet:
        hm.out.line(f"Ended {slug}; its slug is free." if purge else f"Archived {slug}.")
        if not purge:
            hm.out.note(f"hm bot restore {slug} brings it back within 30 days")


def _tell(hm: Hm, bot: Bot, words: str, more: str) -> None:
    if hm.out.as_json:
        hm.out.document(bot.raw)
    elif hm.out.quiet:
        hm.out.line(bot.slug)
    else:
        hm.out.line(words)
        if more:
            hm.out.note(more)
