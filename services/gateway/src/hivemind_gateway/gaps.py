"""Questions that a bot had no answer to."""

from __future__ import annotations

from hivemind_common.contracts.bots import BotNotFoundError, BotRef
from hivemind_common.contracts.kinds import Message
from hivemind_common.contracts.knowledge import (
    DISMISS_GAP,
    FILL_GAP,
    GET_GAP,
    LIST_GAPS,
    FillGap,
    Gap,
    GapNotFoundError,
    GapOf,
    ListGaps,
    Snippet,
    SnippetDraft,
)
from hivemind_common.ids import GapId
from hivemind_gateway import cursors
from hivemind_gateway.problems import InvalidCursorError
from hivemind_gateway.queries import PageQuery
from hivemind_gateway.routing import Access, Reply, Request, Routes, created

routes = Routes()


class GapList(Message):
    """A page of gaps."""

    items: tuple[Gap, ...]
    next: str | None


@routes.get(
    "/api/v1/bots/{slug}/knowledge/gaps",
    access=Access.KNOWLEDGE_WRITE,
    refuses=(BotNotFoundError, InvalidCursorError),
)
async def list_gaps(request: Request, bot: BotRef, query: PageQuery) -> Reply[GapList]:
    """List the questions that a bot had no answer to, what was first asked last first."""
    scope = f"/api/v1/bots/{bot.id}/knowledge/gaps"
    after = cursors.id_of(scope, query.cursor)
    page = await request.call.ask(
        LIST_GAPS, ListGaps(bot_id=bot.id, limit=query.limit, after=GapId(after) if after is not None else None)
    )
    following = cursors.write(scope, str(page.items[-1].id)) if page.more else None
    return Reply(GapList(items=page.items, next=following))


async def find_gap(request: Request, bot: BotRef) -> bytes:
    """Return the gap that the path names, as it is shown; raises `GapNotFoundError`."""
    return await request.call.ask_raw(GET_GAP, _named(request, bot))


@routes.get(
    "/api/v1/bots/{slug}/knowledge/gaps/{id}",
    access=Access.KNOWLEDGE_WRITE,
    finds=find_gap,
    refuses=(BotNotFoundError, GapNotFoundError),
    is_tagged=True,
)
async def show_gap(request: Request, bot: BotRef) -> Reply[Gap]:
    """Show one question without an answer."""
    return Reply(await find_gap(request, bot))


@routes.post(
    "/api/v1/bots/{slug}/knowledge/gaps/{id}/snippet",
    access=Access.KNOWLEDGE_WRITE,
    finds=find_gap,
    status=201,
    refuses=FILL_GAP.errors,
    is_tagged=True,
    example={"title": "Gift cards", "body": "Gift cards are valid for three years."},
)
async def fill_gap(request: Request, bot: BotRef, body: SnippetDraft) -> Reply[Snippet]:
    """Teach a bot what was missing; the gap is gone."""
    named = _named(request, bot)
    snippet = await request.call.ask(FILL_GAP, FillGap(bot_id=bot.id, gap_id=named.gap_id, draft=body))
    return created(snippet, at=f"/api/v1/bots/{bot.slug}/knowledge/{snippet.id}")


@routes.delete(
    "/api/v1/bots/{slug}/knowledge/gaps/{id}",
    access=Access.KNOWLEDGE_WRITE,
    finds=find_gap,
    refuses=(BotNotFoundError, GapNotFoundError),
)
async def dismiss_gap(request: Request, bot: BotRef) -> Reply[None]:
    """Forget a question that needs no answer."""
    await request.call.ask(DISMISS_GAP, _named(request, bot))
    return Reply(None, 204)


def _named(request: Request, bot: BotRef) -> GapOf:
    return GapOf(bot_id=bot.id, gap_id=GapId(request.path_id("id", GapNotFoundError)))
