"""The operator's handbook, as pages: the Markdown files of `docs/`, which `chapters/` links to."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

CHAPTERS: Final = {
    "getting-started": "Getting started",
    "hm": "hm",
    "operations": "Operations",
    "configuration": "Configuration",
    "search": "Search",
    "security": "Security",
    "http-api": "HTTP API",
    "hm-reference": "Reference of hm",
    "errors": "Errors",
    "who-may": "Who may",
    "database-rights": "Database rights",
}
"""What is in the handbook, in the order of reading, and what it is called in the list."""

_NO_WORD: Final = re.compile(r"[^\w\- ]")
_TO_A_FILE: Final = re.compile(r"(?P<name>[\w-]+)\.md(?P<place>#[\w-]+)?")


@dataclass(frozen=True)
class Heading:
    """A place within a chapter."""

    id: str
    text: str


@dataclass(frozen=True)
class Chapter:
    """A chapter as it is shown."""

    title: str
    body: Markup
    headings: tuple[Heading, ...]
    """Of the second level: what is listed beside the text."""


@cache
def chapter(name: str) -> Chapter:
    """Return a chapter; raises `KeyError` for what is none."""
    title = CHAPTERS[name]
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    text = files("hivemind_gateway.pages").joinpath("chapters", f"{name}.md").read_text(encoding="utf-8")
    tokens = markdown.parse(text)
    headings = list(_name_headings(tokens))
    for token in _all(tokens):
        if token.type == "link_open":
            _lead_here(token)
    body = markdown.renderer.render(tokens, markdown.options, {})
    # What is wider than the page scrolls within itself, and can be reached without a mouse.
    body = body.replace("<table>", '<div class="scroll" tabindex="0"><table>').replace("</table>", "</table></div>")
    return Chapter(
        title,
        Markup(body.replace("<pre>", '<pre tabindex="0">')),  # noqa: S704 - our own files; the parser lets no HTML through
        tuple(heading for level, heading in headings if level == "h2"),
    )


def _name_headings(tokens: list[Token]) -> Iterable[tuple[str, Heading]]:
    """Give each heading the id that forges give it, so that a link holds there and here."""
    seen: dict[str, int] = {}
    for opening, content in itertools.pairwise(tokens):
        if opening.type == "heading_open":
            text = "".join(each.content for each in content.children or ())
            name = _NO_WORD.sub("", text.lower()).replace(" ", "-")
            again = seen.get(name, 0)
            seen[name] = again + 1
            name = f"{name}-{again}" if again else name
            opening.attrSet("id", name)
            yield opening.tag, Heading(name, text)


def _all(tokens: Iterable[Token]) -> Iterable[Token]:
    for token in tokens:
        yield token
        yield from _all(token.children or ())


def _lead_here(link: Token) -> None:
    """Let a link between files lead to a page; one to a file that is no chapter stays as its words."""
    target = str(link.attrs["href"])
    found = _TO_A_FILE.fullmatch(target)
    if found is not None and found["name"] in CHAPTERS:
        link.attrs["href"] = f"/docs/{found['name']}{found['place'] or ''}"
    elif not target.startswith(("#", "https://", "http://")):
        del link.attrs["href"]
