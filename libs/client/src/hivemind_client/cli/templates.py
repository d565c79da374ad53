"""`hm template`: bots that are ready to be minted."""

from __future__ import annotations

from typing import Annotated

import typer

from hivemind_client.cli.frame import Hm, command, group
from hivemind_client.cli.output import clean
from hivemind_client.cli.refusals import UsageError


def register(app: typer.Typer) -> None:
    """Hang these commands into `hm`."""
    template = group(
        "Bots that are ready to be minted.",
        """
        hm template list
        hm template show hr-faq
        hm bot create people --template hr-faq
        """,
    )
    app.add_typer(template, name="template")
    command(template, "list", examples="hm template list\nhm template list --json | jq -r '.items[].slug'")(list_)
    command(template, "show", examples="hm template show hr-faq\nhm template show hr-faq --json | jq .snippets")(show)


async def list_(hm: Hm) -> None:
    """List the templates."""
    async with hm.client() as hivemind:
        found = await hivemind.templates()
    if hm.out.as_json:
        hm.out.items(each.raw for each in found)
    elif hm.out.quiet:
        for each in found:
            hm.out.line(each.slug)
    else:
        rows = [(each.slug, each.name, each.tier, str(len(each.snippets)), each.description) for each in found]
        hm.out.table(("SLUG", "NAME", "TIER", "SNIPPETS", "DESCRIPTION"), rows)


async def show(hm: Hm, slug: Annotated[str, typer.Argument(metavar="SLUG", help="The template.")]) -> None:
    """Show a template: its prompt, and what a bot made from it knows."""
    async with hm.client() as hivemind:
        found = {each.slug: each for each in await hivemind.templates()}
    if slug not in found:
        raise UsageError(f"there is no template {slug}", hint=f"choose one of {', '.join(found)}")
    template = found[slug]
    if hm.out.as_json:
        hm.out.document(template.raw)
        return
    if hm.out.quiet:
        hm.out.line(template.slug)
        return
    pairs = [("slug", template.slug), ("name", template.name), ("tier", template.tier), ("for", template.description)]
    hm.out.members(pairs)
    hm.out.line()
    hm.out.line(clean(template.system_prompt))
    hm.out.line()
    for snippet in template.snippets:
        hm.out.line(f"- {snippet.title}")
    hm.out.note(f"\nNext: hm bot create SLUG --template {template.slug}")
