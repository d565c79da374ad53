"""`hm bot create`, `list`, `show`: mint bots and look at them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hivemind_client.cli.frame import Hm
from hivemind_client.cli.inputs import text_from
from hivemind_client.cli.output import clean
from hivemind_client.cli.refusals import UsageError
from hivemind_client.errors import ApiError

if TYPE_CHECKING:
    from hivemind_client.models import Bot

LONGEST_PROMPT = 32_000

Slug = Annotated[str, typer.Argument(metavar="SLUG", help="The bot.")]


async def create(
    hm: Hm,
    *,
    slug: Annotated[
        str,
        typer.Argument(metavar="SLUG", help="Its name in paths: 3 to 32 of a-z, 0-9 and hyphens; never changed later."),
    ],
    template: Annotated[
        str | None, typer.Option("--template", metavar="T", help="Start from a template, such as customer-support.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="TEXT", help="What people read; else the template's.")
    ] = None,
    description: Annotated[str | None, typer.Option("--description", metavar="TEXT", help="What it is for.")] = None,
    tier: Annotated[
        str | None, typer.Option("--tier", metavar="TIER", help="public, internal or restricted; else internal.")
    ] = None,
    prompt: Annotated[str | None, typer.Option("--prompt", metavar="TEXT", help="The system prompt.")] = None,
    prompt_file: Annotated[
        str | None,
        typer.Option("--prompt-file", metavar="F", help="The system prompt out of a file; - is standard input."),
    ] = None,
    provider: Annotated[
        str | None, typer.Option("--provider", metavar="P", help="Who answers; else the instance's.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="M", help="Which model; else the instance's.")] = None,
) -> None:
    """Create a bot, from a template or from a prompt of your own."""
    given = {
        "name": name,
        "description": description,
        "tier": tier,
        "system_prompt": prompt_from(prompt, prompt_file),
        "provider": provider,
        "model": model,
    }
    members = {member: value for member, value in given.items() if value is not None}
    async with hm.client() as hivemind:
        try:
            bot = await hivemind.create_bot(slug, members, template=template)
        except ApiError as error:
            if (
                error.code == "validation_failed"
                and template is None
                and not {"name", "system_prompt"} <= members.keys()
            ):
                error.hint = "give --template T, or both --name and --prompt (or --prompt-file)"
            raise
    if hm.out.as_json:
        hm.out.document(bot.raw)
    elif hm.out.quiet:
        hm.out.line(bot.slug)
    else:
        hm.out.line(f"Created {bot.slug}: {in_short(bot)}.")
        if any(lack.code == "placeholders_left" for lack in bot.readiness):
            hm.out.note(f"Next: hm bot fill {bot.slug}")
        elif bot.snippet_count:
            hm.out.note(f'Next: hm chat {bot.slug} "Your question"')
        else:
            hm.out.note(f"Next: hm knowledge add {bot.slug} FILE…")


async def list_(
    hm: Hm,
    status: Annotated[
        str | None,
        typer.Option("--status", metavar="STATUS", help="active, paused or archived; else all but archived."),
    ] = None,
    tier: Annotated[str | None, typer.Option("--tier", metavar="TIER", help="public, internal or restricted.")] = None,
) -> None:
    """List the bots that you may see, by slug."""
    async with hm.client() as hivemind:
        bots = [bot async for bot in hivemind.bots(status=status, tier=tier)]
    if hm.out.as_json:
        hm.out.items(bot.raw for bot in bots)
    elif hm.out.quiet:
        for bot in bots:
            hm.out.line(bot.slug)
    elif bots:
        rows = [(b.slug, b.name, b.tier, b.status, _or_dash(b.snippet_count), _ready(b)) for b in bots]
        hm.out.table(("SLUG", "NAME", "TIER", "STATUS", "SNIPPETS", "READY"), rows)
    else:
        hm.out.note("There is no bot yet: hm bot create helpdesk --template customer-support")


async def show(hm: Hm, slug: Slug) -> None:
    """Show a bot: settings, readiness, prompt."""
    async with hm.client() as hivemind:
        bot = await hivemind.bot(slug)
    if hm.out.as_json:
        hm.out.document(bot.raw)
    elif hm.out.quiet:
        hm.out.line(bot.slug)
    else:
        hm.out.members((name, value) for name, value in _profile(bot) if value)
        if bot.system_prompt:
            hm.out.line()
            hm.out.line(clean(bot.system_prompt))


def _profile(bot: Bot) -> list[tuple[str, str]]:
    effective = bot.effective
    return [
        ("slug", bot.slug),
        ("name", bot.name),
        ("description", bot.description),
        ("tier", bot.tier),
        ("status", bot.status),
        ("answers by", f"{effective.provider or '-'}, model {effective.model or '-'}" if effective else ""),
        ("snippets", _or_dash(bot.snippet_count)),
        ("search", {True: "on", False: "off", None: ""}[bot.knowledge_search_enabled]),
        ("cap a day", _money(bot.cost_cap_day_micro_usd)),
        ("cap a month", _money(bot.cost_cap_month_micro_usd)),
        ("a minute", _limits(bot)),
        ("transcripts", _kept(bot)),
        ("in channels", (bot.channel_reply_mode or "").replace("_", " ")),
        ("prompt", _version(bot)),
        ("created", bot.created_at or ""),
        ("changed", bot.updated_at or ""),
        ("ready", _ready(bot)),
        *(("", f"{lack.code}: {lack.detail}") for lack in bot.readiness if lack.detail),
    ]


def prompt_from(text: str | None, file: str | None) -> str | None:
    """The prompt that one of two flags gives."""
    if text is not None and file is not None:
        raise UsageError("--prompt and --prompt-file both give a prompt", hint="give one of the two")
    return text if file is None else text_from(file, at_most=LONGEST_PROMPT)


def in_short(bot: Bot) -> str:
    """A bot in a few words."""
    known = f", {bot.snippet_count} snippet{'' if bot.snippet_count == 1 else 's'}" if bot.snippet_count else ""
    return f"{bot.name}, {bot.tier}{known}"


def _ready(bot: Bot) -> str:
    if "readiness" not in bot.raw:
        return "-"  # callers with the role user are not told
    return "yes" if not bot.readiness else "no: " + ", ".join(lack.code for lack in bot.readiness)


def _version(bot: Bot) -> str:
    if not bot.version:
        return ""
    return f"version {bot.version}{', pinned' if bot.pinned_version else ''}"


def _kept(bot: Bot) -> str:
    if "retention_days" not in bot.raw or bot.tier == "restricted":
        return "not kept" if bot.tier == "restricted" else ""
    return "kept for good" if bot.retention_days is None else f"kept for {bot.retention_days} days"


def _limits(bot: Bot) -> str:
    limits = [
        (bot.rate_limit_per_minute, "in all"),
        (bot.user_rate_limit_per_minute, "for one speaker"),
    ]
    return ", ".join(f"{number} {whose}" for number, whose in limits if number is not None)


def _money(micro_usd: int | None) -> str:
    return "" if micro_usd is None else f"${micro_usd / 1_000_000:,.2f}"


def _or_dash(value: Any) -> str:
    return "-" if value is None else str(value)
