"""`hm bot edit`: members by flags, the prompt in the editor; never over what somebody else has changed meanwhile."""

from __future__ import annotations

import json
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hivemind_client.cli.bots import LONGEST_PROMPT, Slug, in_short, prompt_from
from hivemind_client.cli.editor import edited, kept_if_refused
from hivemind_client.cli.frame import Hm
from hivemind_client.cli.inputs import stdin_is_terminal
from hivemind_client.cli.refusals import UsageError

if TYPE_CHECKING:
    from hivemind_client.models import Bot

TEXTS = frozenset(
    {
        *("name", "description", "tier", "system_prompt", "provider", "model"),
        *("grounding", "strictness", "channel_reply_mode"),
    }
)
"""Members that are text, so that `name=5` is a name; of all others the value is JSON."""


async def edit(
    hm: Hm,
    *,
    slug: Slug,
    name: Annotated[str | None, typer.Option("--name", metavar="TEXT", help="What people read.")] = None,
    description: Annotated[str | None, typer.Option("--description", metavar="TEXT", help="What it is for.")] = None,
    tier: Annotated[str | None, typer.Option("--tier", metavar="TIER", help="public, internal or restricted.")] = None,
    prompt: Annotated[str | None, typer.Option("--prompt", metavar="TEXT", help="The system prompt.")] = None,
    prompt_file: Annotated[
        str | None,
        typer.Option("--prompt-file", metavar="F", help="The system prompt out of a file; - is standard input."),
    ] = None,
    provider: Annotated[str | None, typer.Option("--provider", metavar="P", help="Who answers.")] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="M", help="Which model.")] = None,
    members: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="MEMBER=VALUE", help="Any member; a list or number as JSON, nothing or null for none."
        ),
    ] = None,
    note: Annotated[
        str | None, typer.Option("--note", metavar="TEXT", help="Of the prompt's new version: what changed, and why.")
    ] = None,
) -> None:
    """Change a bot, live with its next answer. Without flags its prompt opens in $EDITOR."""
    given = {
        "name": name,
        "description": description,
        "tier": tier,
        "system_prompt": prompt_from(prompt, prompt_file),
        "provider": provider,
        "model": model,
    }
    changes = _joined({member: value for member, value in given.items() if value is not None}, members or [])
    if not changes and not stdin_is_terminal():
        raise UsageError("there is nothing to change", hint="give --prompt-file, --name, --set MEMBER=VALUE or others")
    async with hm.client() as hivemind:
        before, tag = await hivemind.tagged_bot(slug)
    typed = None
    if not changes:
        typed = _in_editor(before.system_prompt or "")
        changes = {"system_prompt": typed}
    if note is not None:
        if "system_prompt" not in changes:
            raise UsageError("--note is of a prompt's new version, and no prompt is given")
        changes["note"] = note
    with nullcontext() if typed is None else kept_if_refused(typed, name="prompt.md"):
        async with hm.client() as hivemind:
            bot = await hivemind.edit_bot(slug, changes, tag=tag)
    _tell(hm, before, bot, is_prompted="system_prompt" in changes)


def _tell(hm: Hm, before: Bot, bot: Bot, *, is_prompted: bool) -> None:
    if hm.out.as_json:
        hm.out.document(bot.raw)
    elif hm.out.quiet:
        hm.out.line(bot.slug)
    elif bot.raw == before.raw and not is_prompted:
        hm.out.line(f"{bot.slug} is as it was.")
    else:
        hm.out.line(f"Changed {bot.slug}: {in_short(bot)}, prompt version {bot.version}.")
        if is_prompted and bot.pinned_version is not None:
            hm.out.note(f"Version {bot.pinned_version} is pinned and stays live: hm bot prompt {bot.slug} --unpin")


def _joined(changes: dict[str, Any], members: list[str]) -> dict[str, Any]:
    """What flags name, and what `--set` does, each once."""
    for member, value in map(_member, members):
        if member in changes:
            raise UsageError(f"{member} is given twice", hint="give it once")
        changes[member] = value
    return changes


def _member(given: str) -> tuple[str, Any]:
    member, sign, value = given.partition("=")
    if not sign or not member.strip():
        raise UsageError(f"--set {given}: it reads MEMBER=VALUE", hint="--set rate_limit_per_minute=30")
    member = member.strip()
    if value in ("", "null") and member not in ("name", "description", "system_prompt"):
        return member, None
    if member not in TEXTS:
        with suppress(ValueError):
            return member, json.loads(value)
    return member, value  # what else it should be is said by who knows the member


def _in_editor(before: str) -> str:
    after = edited(before, name="prompt.md", at_most=LONGEST_PROMPT, instead="give --prompt-file F")
    if after.strip() == before.strip():
        raise UsageError("nothing was changed", hint="save another text in the editor to change it")
    return after
