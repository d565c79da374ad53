"""`hm knowledge`: teach a bot, look at what it knows, and search as it would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hivemind_client.cli import teaching
from hivemind_client.cli.drafts import Draft, checked, from_file
from hivemind_client.cli.frame import Hm, command, group
from hivemind_client.cli.inputs import confirmed, stdin_is_terminal
from hivemind_client.cli.output import one_line
from hivemind_client.cli.refusals import UsageError

if TYPE_CHECKING:
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
        ("delete", delete, "hm knowledge delete helpdesk 0192c7f0-…\nhm knowledge delete helpdesk 0192c7f0-… --yes"),
        (
            "search",
            search,
            'hm knowledge search helpdesk "how long do refunds take"\nhm knowledge search helpdesk refunds --limit 3 --json',
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
) -> int:
    """Teach a bot, a snippet for each file. The next search and the next answer know it."""
    names = [*(files or []), *([file] if file is not None else [])]
    if body is not None and names:
        raise UsageError("--body and a file both give the text", hint="give one of the two")
    if title is not None and len(names) > 1:
        raise UsageError(
            "--title is for one snippet, and these are several files", hint='begin each file with "# Title"'
        )
    if names.count("-") > 1:
        raise UsageError("standard input can be read once only")
    if len(names) > 1:
        return await teaching.teach_files(hm, slug, names, tags or [], source)
    if names:
        draft = from_file(names[0], title=title, source=source)
    elif title is not None and body is not None:
        draft = checked(Draft(title, body, source), "the snippet")
    else:
        raise UsageError("there is nothing to add", hint="give a FILE, or --title with --body or --file")
    async with hm.client() as hivemind:
        snippet = await hivemind.add_snippet(slug, draft.title, draft.body, tags=tags or [], source=draft.source)
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
    snippet_id: SnippetId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed without a terminal.")] = False,
) -> None:
    """Make a bot forget a snippet, for good."""
    if not yes and not stdin_is_terminal():
        raise UsageError("without a terminal nobody can be asked", hint="add --yes to delete without asking")
    async with hm.client() as hivemind:
        if not yes:
            snippet = await hivemind.snippet(slug, snippet_id)
            if not confirmed(f"Delete {one_line(snippet.title)!r} of {slug} for good?"):
                raise UsageError("nothing was deleted", hint="answer y, or give --yes")
        await hivemind.delete_snippet(slug, snippet_id)
    if hm.out.as_json:
        hm.out.document({"deleted": snippet_id})
    elif not hm.out.quiet:
        hm.out.line(f"Deleted {snippet_id}.")


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
        ("created", snippet.created_at),
        ("changed", snippet.updated_at),
    ]
