"""`hm knowledge`: teach a bot, look at what it knows, and search as it would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hivemind_client.cli import editing, teaching
from hivemind_client.cli.drafts import Draft, checked, from_file
from hivemind_client.cli.frame import Hm, command, group
from hivemind_client.cli.inputs import confirmed, stdin_is_terminal
from hivemind_client.cli.output import one_line
from hivemind_client.cli.refusals import UsageError

if TYPE_CHECKING:
    from hivemind_client.client import HivemindClient
    from hivemind_client.models import Snippet

Slug = Annotated[str, typer.Argument(metavar="SLUG", help="The bot.")]
SnippetId = Annotated[str, typer.Argument(metavar="ID", help="The snippet, as hm knowledge list names it.")]


def register(app: typer.Typer) -> None:
    """Hang these commands into `hm`."""
    knowledge = group(
        "Teach a bot, look at what it knows, and search as it would.",
        """
        hm knowledge add helpdesk faq/*.md
        hm knowledge list helpdesk
        hm knowledge search helpdesk "how long do refunds take"
        """,
    )
    app.add_typer(knowledge, name="knowledge")
    for name, function, examples in (
        (
            "add",
            add,
            """
            hm knowledge add helpdesk faq/*.md
            hm knowledge add helpdesk refunds.md --tag billing --source "Handbook, page 3"
            hm knowledge add helpdesk --title Refunds --body "Refunds take ten days."
            pbpaste | hm knowledge add helpdesk --title Refunds --file -
            """,
        ),
        (
            "list",
            list_,
            "hm knowledge list helpdesk --limit 20\nhm knowledge list helpdesk --json | jq '.items | length'",
        ),
        (
            "show",
            show,
            "hm knowledge show helpdesk 0192c7f0-…\nhm knowledge show helpdesk 0192c7f0-… --json | jq -r .body",
        ),
        (
            "edit",
            editing.edit,
            """
            hm knowledge edit helpdesk 0192c7f0-…
            hm knowledge edit helpdesk 0192c7f0-… refunds.md
            hm knowledge edit helpdesk 0192c7f0-… --title Refunds --tag billing --clear source
            """,
        ),
        (
            "delete",
            delete,
            """
            hm knowledge delete helpdesk 0192c7f0-…
            hm knowledge delete helpdesk 0192c7f0-… --yes
            hm knowledge delete helpdesk --tag "summer sale" --yes
            """,
        ),
        (
            "search",
            search,
            'hm knowledge search helpdesk "how long do refunds take"\nhm knowledge search helpdesk refunds --limit 3 --json',
        ),
        (
            "gaps",
            gaps,
            """
            hm knowledge gaps helpdesk
            hm knowledge add helpdesk gift-cards.md --gap 0192c7f0-…
            hm knowledge gaps helpdesk --dismiss 0192c7f0-…
            """,
        ),
    ):
        command(knowledge, name, examples=examples)(function)


async def add(
    hm: Hm,
    *,
    slug: Slug,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE…]",
            help="One snippet each: a first line '# Title', else the name, is the title; - is standard input.",
        ),
    ] = None,
    title: Annotated[
        str | None, typer.Option("--title", metavar="T", help="The title; with a file it is all body.")
    ] = None,
    body: Annotated[str | None, typer.Option("--body", metavar="TEXT", help="The text itself.")] = None,
    file: Annotated[
        str | None, typer.Option("--file", metavar="F", help="The text out of a file; - is standard input.")
    ] = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="May be given up to 20 times.")] = None,
    source: Annotated[
        str | None, typer.Option("--source", metavar="TEXT", help="Where it comes from; else the file's base name.")
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", metavar="CODE", help="As in en, de, fr; else it is detected.")
    ] = None,
    gap: Annotated[
        str | None, typer.Option("--gap", metavar="ID", help="The question it answers, as hm knowledge gaps names it.")
    ] = None,
    allow_secret: Annotated[
        str | None, typer.Option("--allow-secret", metavar="REASON", help="Why what looks like a secret may be known.")
    ] = None,
) -> int:
    """Teach a bot, a snippet for each file. The next search and the next answer know it."""
    names = [*(files or []), *([file] if file is not None else [])]
    if body is not None and names:
        raise UsageError("--body and a file both give the text", hint="give one of the two")
    if title is not None and len(names) > 1:
        raise UsageError(
            "--title is for one snippet, and these are several files", hint='begin each file with "# Title"'
        )
    if gap is not None and len(names) > 1:
        raise UsageError("--gap is for one snippet, and these are several files")
    if names.count("-") > 1:
        raise UsageError("standard input can be read once only")
    more: dict[str, Any] = {"tags": tags or [], "language": language, "allow_secret": allow_secret}
    if len(names) > 1:
        return await teaching.teach_files(hm, slug, names, source, more)
    if names:
        draft = from_file(names[0], title=title, source=source)
    elif title is not None and body is not None:
        draft = checked(Draft(title, body, source), "the snippet")
    else:
        raise UsageError("there is nothing to add", hint="give a FILE, or --title with --body or --file")
    async with hm.client() as hivemind:
        snippet = await hivemind.add_snippet(slug, draft.title, draft.body, source=draft.source, gap=gap, **more)
    if hm.out.as_json:
        hm.out.document(snippet.raw)
    else:
        teaching.tell(hm, snippet)
    return 0


async def list_(
    hm: Hm,
    slug: Slug,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="At most so many; else all.")] = None,
) -> None:
    """List what a bot knows, newest first."""
    async with hm.client() as hivemind:
        snippets = [snippet async for snippet in hivemind.snippets(slug, at_most=limit)]
    if hm.out.as_json:
        hm.out.items(snippet.raw for snippet in snippets)
    elif hm.out.quiet:
        for snippet in snippets:
            hm.out.line(snippet.id)
    elif snippets:
        rows = [(s.id, s.title, ", ".join(s.tags) or "-", s.source or "-") for s in snippets]
        hm.out.table(("ID", "TITLE", "TAGS", "SOURCE"), rows)
    else:
        hm.out.note(f"{slug} knows nothing yet: hm knowledge add {slug} FILE…")


async def show(hm: Hm, slug: Slug, snippet_id: SnippetId) -> None:
    """Show a snippet whole."""
    async with hm.client() as hivemind:
        snippet = await hivemind.snippet(slug, snippet_id)
    if hm.out.as_json:
        hm.out.document(snippet.raw)
    elif hm.out.quiet:
        hm.out.line(snippet.body)
    else:
        hm.out.members((name, value) for name, value in _card(snippet) if value)
        hm.out.line()
        hm.out.line(snippet.body)


async def delete(
    hm: Hm,
    slug: Slug,
    snippet_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The snippet, as hm knowledge list names it.")
    ] = None,
    tag: Annotated[str | None, typer.Option("--tag", metavar="TAG", help="All snippets that have it, instead.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed without a terminal.")] = False,
) -> None:
    """Make a bot forget a snippet, or all with a tag, for good."""
    if (snippet_id is None) == (tag is None):
        raise UsageError("which one is to be deleted?", hint="give an ID, or --tag TAG for all that have it")
    if not yes and not stdin_is_terminal():
        raise UsageError("without a terminal nobody can be asked", hint="add --yes to delete without asking")
    async with hm.client() as hivemind:
        if not yes and not confirmed(await _question(hivemind, slug, snippet_id, tag)):
            raise UsageError("nothing was deleted", hint="answer y, or give --yes")
        if snippet_id is not None:
            await hivemind.delete_snippet(slug, snippet_id)
            told: dict[str, Any] = {"deleted": snippet_id}
            words = f"Deleted {snippet_id}."
        else:
            deleted = await hivemind.delete_tagged(slug, tag or "")
            told = {"deleted": deleted}
            words = f"Deleted {deleted} {'snippet' if deleted == 1 else 'snippets'}."
    if hm.out.as_json:
        hm.out.document(told)
    elif not hm.out.quiet:
        hm.out.line(words)


async def _question(hivemind: HivemindClient, slug: str, snippet_id: str | None, tag: str | None) -> str:
    if snippet_id is None:
        known = [snippet async for snippet in hivemind.snippets(slug)]
        count = sum(tag in snippet.tags for snippet in known)
        return f"Delete {count} of the {len(known)} snippets of {slug} for good?"
    snippet = await hivemind.snippet(slug, snippet_id)
    return f"Delete {one_line(snippet.title)!r} of {slug} for good?"


async def gaps(
    hm: Hm,
    slug: Slug,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="At most so many; else all.")] = None,
    dismiss: Annotated[
        str | None, typer.Option("--dismiss", metavar="ID", help="Forget this one: it needs no answer.")
    ] = None,
) -> None:
    """List the questions that a bot had no answer to, newest first."""
    async with hm.client() as hivemind:
        if dismiss is not None:
            await hivemind.dismiss_gap(slug, dismiss)
            found = []
        else:
            found = [gap async for gap in hivemind.gaps(slug, at_most=limit)]
    if dismiss is not None:
        if hm.out.as_json:
            hm.out.document({"dismissed": dismiss})
        elif not hm.out.quiet:
            hm.out.line(f"Dismissed {dismiss}.")
    elif hm.out.as_json:
        hm.out.items(gap.raw for gap in found)
    elif hm.out.quiet:
        for gap in found:
            hm.out.line(gap.id)
    elif found:
        hm.out.table(
            ("ID", "ASKED", "LAST", "QUESTION"),
            [(g.id, str(g.asked), g.last_asked_at or "-", g.question) for g in found],
        )
    else:
        hm.out.note(f"{slug} had an answer to whatever it was asked.")


async def search(
    hm: Hm,
    slug: Slug,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="As somebody would ask the bot.")],
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, max=50, help="At most so many; else 10.")
    ] = None,
) -> None:
    """Search as the bot would for a question, best first."""
    async with hm.client() as hivemind:
        hits = await hivemind.search(slug, query, at_most=limit)
    if hm.out.as_json:
        hm.out.items(hit.raw for hit in hits)
    elif hm.out.quiet:
        for hit in hits:
            hm.out.line(hit.id)
    elif hits:
        rows = [(hit.id, f"{hit.score:.3g}", hit.title, hit.excerpt) for hit in hits]
        hm.out.table(("ID", "SCORE", "TITLE", "EXCERPT"), rows)
    else:
        hm.out.note(f"{slug} has nothing about that.")


def _card(snippet: Snippet) -> list[tuple[str, Any]]:
    return [
        ("id", snippet.id),
        ("title", snippet.title),
        ("tags", ", ".join(snippet.tags)),
        ("source", snippet.source),
        ("language", snippet.language),
        ("created", snippet.created_at),
        ("changed", snippet.updated_at),
    ]
