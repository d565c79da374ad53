"""`hm bot prompt`: the prompt, its versions, what differs between them, and which one is live."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated

import typer

from hivemind_client.cli.bots import Slug
from hivemind_client.cli.frame import Hm
from hivemind_client.cli.output import clean
from hivemind_client.cli.refusals import UsageError

if TYPE_CHECKING:
    from hivemind_client.client import HivemindClient
    from hivemind_client.models import Prompt


async def prompt(
    hm: Hm,
    *,
    slug: Slug,
    version: Annotated[
        int | None, typer.Option("--version", metavar="N", min=1, help="Print this version instead of the live one.")
    ] = None,
    versions: Annotated[bool, typer.Option("--versions", help="List all versions, newest first.")] = False,
    diff: Annotated[
        tuple[int, int] | None, typer.Option("--diff", metavar="A B", help="What differs between two versions.")
    ] = None,
    restore: Annotated[
        int | None, typer.Option("--restore", metavar="N", min=1, help="Save the text of this version anew.")
    ] = None,
    pin: Annotated[
        int | None, typer.Option("--pin", metavar="N", min=1, help="Keep this version live, whatever is saved.")
    ] = None,
    unpin: Annotated[bool, typer.Option("--unpin", help="Let the newest version go live again.")] = False,
) -> None:
    """Print the live prompt of a bot, or work with its versions."""
    given = (version is not None, versions, diff is not None, restore is not None, pin is not None, unpin)
    if sum(given) > 1:
        raise UsageError("--version, --versions, --diff, --restore, --pin and --unpin exclude each other")
    async with hm.client() as hivemind:
        if versions:
            _list(hm, [each async for each in hivemind.prompts(slug)])
        elif diff is not None:
            await _diff(hm, hivemind, slug, *diff)
        elif restore is not None:
            _tell(hm, await hivemind.restore_prompt(slug, restore))
        elif pin is not None:
            _tell(hm, await hivemind.pin_prompt(slug, pin))
        elif unpin:
            await hivemind.unpin_prompt(slug)
            _tell(hm, await hivemind.prompt(slug))
        else:
            found = await hivemind.prompt(slug, version)
            if hm.out.as_json:
                hm.out.document(found.raw)
            else:
                hm.out.line(found.system_prompt)


def _list(hm: Hm, found: list[Prompt]) -> None:
    if hm.out.as_json:
        hm.out.items(each.raw for each in found)
    elif hm.out.quiet:
        for each in found:
            hm.out.line(str(each.version))
    else:
        rows = [
            (str(each.version), _state(each), each.author or "-", each.created_at or "-", each.note or "-")
            for each in found
        ]
        hm.out.table(("VERSION", "STATE", "AUTHOR", "SAVED", "NOTE"), rows)


def _state(found: Prompt) -> str:
    return "pinned, live" if found.pinned else "live" if found.live else "-"


async def _diff(hm: Hm, hivemind: HivemindClient, slug: str, first: int, second: int) -> None:
    old, new = await hivemind.prompt(slug, first), await hivemind.prompt(slug, second)
    names = (f"{slug}@{first}", f"{slug}@{second}")
    lines = difflib.unified_diff(
        clean(old.system_prompt).splitlines(), clean(new.system_prompt).splitlines(), *names, lineterm=""
    )
    text = "".join(f"{line}\n" for line in lines)
    if hm.out.as_json:
        hm.out.document({"from": first, "to": second, "diff": text})
    elif text:
        hm.out.diff(text)
    else:
        hm.out.note(f"versions {first} and {second} say the same")


def _tell(hm: Hm, found: Prompt) -> None:
    if hm.out.as_json:
        hm.out.document(found.raw)
    elif hm.out.quiet:
        hm.out.line(str(found.version))
    else:
        state = "pinned and live" if found.pinned else "live" if found.live else "saved; another version is pinned"
        hm.out.line(f"Version {found.version} is {state}.")
