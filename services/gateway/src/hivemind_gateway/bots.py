"""Bots and templates."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from hivemind_common.contracts.bots import (
    CREATE_BOT,
    GET_BOT,
    LIST_BOTS,
    LIST_TEMPLATES,
    Bot,
    BotDraft,
    BotNamed,
    BotStatus,
    CreateBot,
    ListBots,
    ListTemplates,
    Template,
    Tier,
)
from hivemind_common.contracts.kinds import Message
from hivemind_common.principal import Role
from hivemind_gateway import cursors
from hivemind_gateway.problems import InvalidCursorError
from hivemind_gateway.queries import Cursor, Whole
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


@routes.get("/api/v1/templates", access=Access.BOTS_READ)
async def list_templates(request: Request) -> Reply[TemplatePage]:
    """List the templates."""
    found = await request.call.ask(LIST_TEMPLATES, ListTemplates())
    return Reply(TemplatePage(items=found.items))


def _sees_cards(request: Request) -> bool:
    return request.principal.role is Role.USER


def _card(bot: Bot) -> BotCard:
    return BotCard(slug=bot.slug, name=bot.name, description=bot.description, tier=bot.tier, status=bot.status)
