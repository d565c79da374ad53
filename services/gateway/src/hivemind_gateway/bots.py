"""Bots and templates."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from hivemind_common.contracts.bots import (
    CLONE_BOT,
    CREATE_BOT,
    EDIT_BOT,
    GET_BOT,
    LIST_BOTS,
    LIST_TEMPLATES,
    PAUSE_BOT,
    REMOVE_BOT,
    RESOLVE_BOT,
    RESTORE_BOT,
    RESUME_BOT,
    AllowedOrigins,
    AllowedUsers,
    Bot,
    BotChanges,
    BotDraft,
    BotInState,
    BotNamed,
    BotStatus,
    Clearable,
    CloneBot,
    CreateBot,
    Description,
    EditBot,
    Fallbacks,
    Grounding,
    ListBots,
    ListTemplates,
    ModelName,
    Money,
    Name,
    Note,
    OutputTokens,
    ProviderName,
    Rate,
    RemoveBot,
    ReplyMode,
    RetentionDays,
    Slug,
    Strictness,
    SystemPrompt,
    Temperature,
    Template,
    Tier,
)
from hivemind_common.contracts.edits import Expected
from hivemind_common.contracts.kinds import Message
from hivemind_common.principal import Role
from hivemind_gateway import cursors
from hivemind_gateway.patches import UNTOUCHED, Patch
from hivemind_gateway.problems import InvalidCursorError
from hivemind_gateway.queries import Cursor, Flag, Whole
from hivemind_gateway.routing import Access, Reply, Request, Routes, created

routes = Routes()


class BotForm(BotDraft):
    """A bot as it is asked for: with a template, or with a name and a prompt of its own. What is not sent is filled in."""

    # Whether they are there together is judged by whoever knows the templates; here it is told.
    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["template"], "properties": {"template": {"type": "string"}}},
                {
                    "required": ["name", "system_prompt"],
                    "properties": {"name": {"type": "string"}, "system_prompt": {"type": "string"}},
                },
            ]
        }
    )


class BotQuery(BaseModel):
    """Which bots to list."""

    model_config = ConfigDict(hide_input_in_errors=True)

    limit: Annotated[Whole, Field(ge=1, le=200)] = 50
    cursor: Cursor | None = None
    status: BotStatus | None = None
    tier: Tier | None = None
    q: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None


class BotCard(Message):
    """What somebody who is no admin sees of a bot."""

    slug: str
    name: str
    description: str
    tier: Tier
    status: BotStatus


class BotList(Message):
    """A page of bots."""

    items: tuple[Bot, ...] | tuple[BotCard, ...]
    next: str | None


class TemplatePage(Message):
    """All templates."""

    items: tuple[Template, ...]
    next: str | None = None


@routes.post(
    "/api/v1/bots",
    access=Access.BOTS_WRITE,
    status=201,
    refuses=CREATE_BOT.errors,
    is_tagged=True,
    example={"slug": "help-desk", "name": "Help desk", "system_prompt": "You answer questions about our shop."},
)
async def create_bot(request: Request, body: BotForm) -> Reply[Bot]:
    """Mint a bot, blank or from a template."""
    bot = await request.call.ask_raw(CREATE_BOT, CreateBot(draft=body))
    return created(bot, at=f"/api/v1/bots/{body.slug}")


@routes.get("/api/v1/bots", access=Access.BOTS_READ, refuses=(InvalidCursorError,))
async def list_bots(request: Request, query: BotQuery) -> Reply[BotList]:
    """List bots by slug."""
    scope = f"/api/v1/bots?status={query.status}&tier={query.tier}&q={query.q}"
    wanted = ListBots(
        limit=query.limit,
        after=cursors.place_of(scope, query.cursor),
        status=query.status,
        tier=query.tier,
        text=query.q,
    )
    page = await request.call.ask(LIST_BOTS, wanted)
    following = cursors.write(scope, page.items[-1].slug) if page.more else None
    items = tuple(_card(bot) for bot in page.items) if _sees_cards(request) else page.items
    return Reply(BotList(items=items, next=following))


@routes.get("/api/v1/bots/{slug}", access=Access.BOTS_READ, refuses=GET_BOT.errors, is_tagged=True)
async def show_bot(request: Request) -> Reply[Bot] | Reply[BotCard]:
    """Show a bot."""
    named = BotNamed(slug=request.slug)
    if _sees_cards(request):
        return Reply(_card(await request.call.ask(GET_BOT, named)))
    return Reply(await request.call.ask_raw(GET_BOT, named))


class BotPatch(Patch):
    """What to change of a bot."""

    READ_ONLY = frozenset(
        {
            "id",
            "status",
            "version",
            "pinned_version",
            "effective",
            "readiness",
            "snippet_count",
            "created_at",
            "updated_at",
        }
    )

    slug: str = UNTOUCHED
    """The same as it is, or 409 `slug_immutable`."""
    name: Name = UNTOUCHED
    description: Description = UNTOUCHED
    tier: Tier = UNTOUCHED
    system_prompt: SystemPrompt = UNTOUCHED
    note: Note = UNTOUCHED
    """Of the prompt's new version."""
    provider: ProviderName | None = None
    model: ModelName | None = None
    fallbacks: Fallbacks = UNTOUCHED
    max_output_tokens: OutputTokens = UNTOUCHED
    temperature: Temperature | None = None
    cost_cap_day_micro_usd: Money | None = None
    cost_cap_month_micro_usd: Money | None = None
    rate_limit_per_minute: Rate | None = None
    user_rate_limit_per_minute: Rate | None = None
    grounding: Grounding = UNTOUCHED
    strictness: Strictness = UNTOUCHED
    knowledge_search_enabled: bool = UNTOUCHED
    channel_reply_mode: ReplyMode = UNTOUCHED
    allowed_users: AllowedUsers = UNTOUCHED
    allowed_origins: AllowedOrigins = UNTOUCHED
    allow_hosted_provider: bool = UNTOUCHED
    retention_days: RetentionDays | None = None


class RemovalQuery(BaseModel):
    """How a bot goes."""

    model_config = ConfigDict(hide_input_in_errors=True)

    purge: Flag = False


async def find_bot(request: Request) -> None:
    """Raise `BotNotFoundError` where the path names none."""
    await request.call.ask(RESOLVE_BOT, BotNamed(slug=request.slug))


@routes.patch(
    "/api/v1/bots/{slug}",
    access=Access.BOTS_WRITE,
    refuses=EDIT_BOT.errors,
    is_tagged=True,
    example={"name": "Help desk", "tier": "public", "temperature": None},
)
async def edit_bot(request: Request, body: BotPatch, expected: Expected | None) -> Reply[Bot]:
    """Change a bot: what is absent stays, `null` clears what may be without a value."""
    cleared = tuple(name for name in get_args(Clearable) if name in body.cleared())
    changes = BotChanges(**body.given())
    edit = EditBot(slug=request.slug, changes=changes, clears=cleared, expected=expected)
    return Reply(await request.call.ask_raw(EDIT_BOT, edit))


@routes.delete("/api/v1/bots/{slug}", access=Access.BOTS_WRITE, refuses=REMOVE_BOT.errors)
async def remove_bot(request: Request, query: RemovalQuery, expected: Expected | None) -> Reply[None]:
    """Archive a bot for 30 days; with `purge=true` end it for good, archived or not, and free its slug."""
    removal = RemoveBot(slug=request.slug, is_purge=query.purge, expected=expected)
    await request.call.ask(REMOVE_BOT, removal)
    return Reply(None, 204)


@routes.post("/api/v1/bots/{slug}/pause", access=Access.BOTS_WRITE, refuses=PAUSE_BOT.errors, is_tagged=True)
async def pause_bot(request: Request, expected: Expected | None) -> Reply[Bot]:
    """Let a bot answer nobody; all else works."""
    return Reply(await request.call.ask_raw(PAUSE_BOT, BotInState(slug=request.slug, expected=expected)))


@routes.post("/api/v1/bots/{slug}/resume", access=Access.BOTS_WRITE, refuses=RESUME_BOT.errors, is_tagged=True)
async def resume_bot(request: Request, expected: Expected | None) -> Reply[Bot]:
    """Let a paused bot answer again."""
    return Reply(await request.call.ask_raw(RESUME_BOT, BotInState(slug=request.slug, expected=expected)))


@routes.post("/api/v1/bots/{slug}/restore", access=Access.BOTS_WRITE, refuses=RESTORE_BOT.errors, is_tagged=True)
async def restore_bot(request: Request, expected: Expected | None) -> Reply[Bot]:
    """Bring an archived bot back whole."""
    return Reply(await request.call.ask_raw(RESTORE_BOT, BotInState(slug=request.slug, expected=expected)))


class CloneForm(Message):
    """What the clone is called."""

    slug: Slug
    name: Name | None = None


@routes.post(
    "/api/v1/bots/{slug}/clone",
    access=Access.BOTS_WRITE,
    status=201,
    timeout=CLONE_BOT.timeout,
    refuses=CLONE_BOT.errors,
    finds=find_bot,
    is_tagged=True,
    example={"slug": "help-desk-2"},
)
async def clone_bot(request: Request, body: CloneForm) -> Reply[Bot]:
    """Make another bot with the same prompt, settings, snippets and golden questions."""
    bot = await request.call.ask_raw(CLONE_BOT, CloneBot(slug=request.slug, to=body.slug, name=body.name))
    return created(bot, at=f"/api/v1/bots/{body.slug}")


@routes.get("/api/v1/templates", access=Access.BOTS_READ)
async def list_templates(request: Request) -> Reply[TemplatePage]:
    """List the templates."""
    found = await request.call.ask(LIST_TEMPLATES, ListTemplates())
    return Reply(TemplatePage(items=found.items))


def _sees_cards(request: Request) -> bool:
    return request.principal.role is Role.USER


def _card(bot: Bot) -> BotCard:
    return BotCard(slug=bot.slug, name=bot.name, description=bot.description, tier=bot.tier, status=bot.status)
