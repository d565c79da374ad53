"""`hm bot fill`: what a template leaves open, in the prompt and in what the bot knows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hivemind_client.cli.bots import Slug
from hivemind_client.cli.frame import Hm
from hivemind_client.cli.inputs import ask_or_skip, stdin_is_terminal
from hivemind_client.cli.refusals import UsageError

if TYPE_CHECKING:
    from hivemind_client.client import HivemindClient

PLACEHOLDER = re.compile(r"\{\{([a-z][a-z0-9_]{0,39})\}\}")


async def fill(
    hm: Hm,
    slug: Slug,
    values: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=VALUE…]", help="As in company=Acme; without any, on a terminal, each is asked for."
        ),
    ] = None,
) -> None:
    """Fill in the {{placeholders}} that a template leaves open, in the prompt and in the snippets."""
    given = dict(_pair(each) for each in values or [])
    async with hm.client() as hivemind:
        prompt = await hivemind.prompt(slug)
        snippets = [each async for each in hivemind.snippets(slug)]
    texts = [prompt.system_prompt, *(text for each in snippets for text in (each.title, each.body))]
    names = sorted({name for text in texts for name in PLACEHOLDER.findall(text)})
    for name in given.keys() - set(names):
        raise UsageError(f"{slug} has no placeholder {name}", hint=", ".join(names) or "none is left")
    if not given and names:
        if not stdin_is_terminal():
            raise UsageError(f"{', '.join(names)}: nothing says what they are", hint=f"hm bot fill {slug} {names[0]}=…")
        hm.out.note("An empty line leaves a placeholder as it is.")
        answers = {name: ask_or_skip(name.replace("_", " ")) for name in names}
        given = {name: answer for name, answer in answers.items() if answer}
    touched = [
        each.id for each in snippets if _filled(f"{each.title} {each.body}", given) != f"{each.title} {each.body}"
    ]
    async with hm.client() as hivemind:
        is_prompted = await _fill_prompt(hivemind, slug, given)
        for snippet_id in touched:
            await _fill_snippet(hivemind, slug, snippet_id, given)
    left = [name for name in names if name not in given]
    told: dict[str, Any] = {"filled": sorted(given), "left": left, "prompt": is_prompted, "snippets": len(touched)}
    if hm.out.as_json:
        hm.out.document(told)
    elif hm.out.quiet:
        for name in left:
            hm.out.line(name)
    else:
        where = [*(["the prompt"] if is_prompted else []), *([_many(len(touched))] if touched else [])]
        hm.out.line(f"Filled in {len(given)} of {len(names)}: {' and '.join(where) or 'nothing changed'}.")
        if left:
            hm.out.note(f"Still open: {', '.join(left)}")


async def _fill_prompt(hivemind: HivemindClient, slug: str, given: dict[str, str]) -> bool:
    prompt, tag = await hivemind.tagged_prompt(slug)
    text = _filled(prompt.system_prompt, given)
    if text == prompt.system_prompt:
        return False
    await hivemind.save_prompt(slug, text, note="placeholders filled in", tag=tag)
    return True


async def _fill_snippet(hivemind: HivemindClient, slug: str, snippet_id: str, given: dict[str, str]) -> None:
    snippet, tag = await hivemind.tagged_snippet(slug, snippet_id)
    changes = {"title": _filled(snippet.title, given), "body": _filled(snippet.body, given)}
    await hivemind.edit_snippet(slug, snippet_id, changes, tag=tag)


def _filled(text: str, given: dict[str, str]) -> str:
    return PLACEHOLDER.sub(lambda found: given.get(found[1], found[0]), text)


def _pair(given: str) -> tuple[str, str]:
    name, sign, value = given.partition("=")
    name = name.strip().strip("{}")
    if not sign or not name or not value.strip():
        raise UsageError(f"{given}: it reads NAME=VALUE", hint='hm bot fill helpdesk company="Acme Ltd"')
    return name, value.strip()


def _many(count: int) -> str:
    return "1 snippet" if count == 1 else f"{count} snippets"
