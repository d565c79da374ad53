"""`hm knowledge edit`: by flags, by a file, or in the editor; never over what somebody else has changed meanwhile."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hivemind_client.cli.drafts import LONGEST_BODY, LONGEST_TITLE, from_file, from_text
from hivemind_client.cli.editor import edited, kept_if_refused
from hivemind_client.cli.frame import Hm
from hivemind_client.cli.inputs import stdin_is_terminal, without_blank_ends
from hivemind_client.cli.refusals import UsageError

if TYPE_CHECKING:
    from hivemind_client.models import Snippet

CLEARABLE = ("tags", "source", "language")


async def edit(
    hm: Hm,
    *,
    slug: Annotated[str, typer.Argument(metavar="SLUG", help="The bot.")],
    snippet_id: Annotated[str, typer.Argument(metavar="ID", help="The snippet, as hm knowledge list names it.")],
    file: Annotated[
        str | None,
        typer.Argument(metavar="[FILE]", help="Title and text, as for hm knowledge add; - is standard input."),
    ] = None,
    title: Annotated[str | None, typer.Option("--title", metavar="T", help="A new title.")] = None,
    body: Annotated[str | None, typer.Option("--body", metavar="TEXT", help="A new text.")] = None,
    tags: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG", help="Instead of all tags there are; up to 20 times.")
    ] = None,
    source: Annotated[str | None, typer.Option("--source", metavar="TEXT", help="Where it comes from.")] = None,
    language: Annotated[str | None, typer.Option("--language", metavar="CODE", help="As in en, de, fr.")] = None,
    clear: Annotated[
        list[str] | None,
        typer.Option("--clear", metavar="MEMBER", help="tags, source or language; the last is detected again."),
    ] = None,
    allow_secret: Annotated[
        str | None, typer.Option("--allow-secret", metavar="REASON", help="Why what looks like a secret may be known.")
    ] = None,
) -> None:
    """Change a snippet, and leave the rest of it. Without flags its title and text open in $EDITOR."""
    if body is not None and file is not None:
        raise UsageError("--body and a file both give the text", hint="give one of the two")
    for member in clear or []:
        if member not in CLEARABLE:
            raise UsageError(f"--clear {member}: nothing of that name can be empty", hint="tags, source or language")
    changes: dict[str, Any] = dict.fromkeys(clear or [])
    if file is not None:
        draft = from_file(file, title=title)
        changes |= {"title": draft.title, "body": draft.body}
    given = {"title": title, "body": body, "tags": tags or None, "source": source, "language": language}
    changes |= {name: value for name, value in given.items() if value is not None}
    if not changes and not stdin_is_terminal():
        raise UsageError("there is nothing to change", hint="give a FILE, --title, --body, --tag, --source or --clear")
    async with hm.client() as hivemind:
        snippet, tag = await hivemind.tagged_snippet(slug, snippet_id)
    typed = None
    if not changes:
        changes = _in_editor(snippet)
        typed = f"# {changes['title']}\n\n{changes['body']}\n"
    if allow_secret is not None:
        changes["allow_secret"] = allow_secret
    with nullcontext() if typed is None else kept_if_refused(typed, name="snippet.md"):
        async with hm.client() as hivemind:
            changed = await hivemind.edit_snippet(slug, snippet_id, changes, tag=tag)
    if hm.out.as_json:
        hm.out.document(changed.raw)
    elif hm.out.quiet:
        hm.out.line(changed.id)
    else:
        same = changed.raw == snippet.raw
        hm.out.line(f"{changed.id}  {' '.join(changed.title.split())}{' (as it was)' if same else ''}")


def _in_editor(snippet: Snippet) -> dict[str, Any]:
    before = f"# {snippet.title}\n\n{snippet.body}\n"
    after = without_blank_ends(
        edited(
            before, name="snippet.md", at_most=LONGEST_BODY, spare=LONGEST_TITLE + len("# \n\n"), instead="give a FILE"
        )
    )
    if after == without_blank_ends(before):
        raise UsageError("nothing was changed", hint="save another text in the editor to change it")
    draft = from_text(after, "the text", untitled=snippet.title)
    return {"title": draft.title, "body": draft.body}
