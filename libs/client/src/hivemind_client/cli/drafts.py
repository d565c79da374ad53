"""Snippets before they are sent: from flags, or a file each."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from hivemind_client.cli.inputs import text_from, too_long, without_blank_ends
from hivemind_client.cli.refusals import RefusedError, UsageError

LONGEST_TITLE = 200
LONGEST_BODY = 20_000


@dataclass(frozen=True)
class Draft:
    """A snippet that may be sent."""

    title: str
    body: str
    source: str | None


def from_file(name: str, *, title: str | None = None, source: str | None = None) -> Draft:
    """One file, one snippet.

    Its first line, when that is a heading `# …`, else its base name, becomes the title, the rest the body, and the base
    name the source. With a title given, the whole file is the body.
    """
    text = text_from(name, at_most=LONGEST_BODY, spare=LONGEST_TITLE + len("# \n\n"))
    # A name need not be UTF-8, what is sent must be.
    base = None if name == "-" else os.fsencode(Path(name).name).decode("utf-8", "replace")
    draft = from_text(text, "standard input" if name == "-" else name, title=title, untitled=base)
    return replace(draft, source=source or base)


def from_text(text: str, shown: str, *, title: str | None = None, untitled: str | None = None) -> Draft:
    """A text as a snippet: its title, unless one is given, is its first line `# …`, else `untitled`."""
    first, _, rest = text.partition("\n")
    body, heading = text, ""
    if title is None and first.startswith("# ") and (heading := first[2:].strip()):
        body = without_blank_ends(rest) if rest.strip() else ""
    title = title or heading or untitled
    if title is None:
        raise UsageError(f"{shown} needs a title", hint='begin it with a line "# Title", or give --title')
    if not body:
        raise RefusedError(f"{shown} has a title and nothing below it", hint="write the answer below the heading")
    return checked(Draft(title, body, None), shown)


def checked(draft: Draft, where: str) -> Draft:
    """The draft, when it is within the limits."""
    if len(draft.title) > LONGEST_TITLE:
        raise too_long(f"the title of {where}", f"{len(draft.title):,}", LONGEST_TITLE)
    if len(draft.body) > LONGEST_BODY:
        raise too_long(f"the body of {where}", f"{len(draft.body):,}", LONGEST_BODY)
    return draft
