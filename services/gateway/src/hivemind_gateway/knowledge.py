"""Snippets of a bot, and finding them."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from hivemind_common.contracts.bots import BotNotFoundError, BotRef
from hivemind_common.contracts.edits import Expected
from hivemind_common.contracts.kinds import Message
from hivemind_common.contracts.knowledge import (
    ADD_SNIPPET,
    EDIT_SNIPPET,
    GET_SNIPPET,
    LIST_SNIPPETS,
    REMOVE_SNIPPET,
    REMOVE_TAGGED,
    SEARCH_SNIPPETS,
    AddSnippet,
    Body,
    EditSnippet,
    Language,
    ListSnippets,
    Reason,
    RemoveSnippet,
    RemoveTagged,
    SearchHit,
    SearchSnippets,
    Snippet,
    SnippetDraft,
    SnippetNotFoundError,
    SnippetOf,
    SnippetsRemoved,
    Source,
    Tag,
    Tags,
    Title,
)
from hivemind_common.ids import SnippetId
from hivemind_gateway import cursors
from hivemind_gateway.patches import UNTOUCHED, Patch
from hivemind_gateway.problems import InvalidCursorError
from hivemind_gateway.queries import PageQuery, Whole
from hivemind_gateway.routing import Access, Reply, Request, Routes, created

CLEARED: Final[tuple[Literal["tags", "source", "language"], ...]] = ("tags", "source", "language")
"""What an edit may make empty."""

routes = Routes()


class SearchQuery(BaseModel):
    """What to find."""

    model_config = ConfigDict(hide_input_in_errors=True)

    q: Annotated[str, StringConstraints(min_length=1, max_length=1_000)]
    limit: Annotated[Whole, Field(ge=1, le=50)] = 10


class TagQuery(BaseModel):
    """Which snippets."""

    model_config = ConfigDict(hide_input_in_errors=True)

    tag: Tag


class SnippetPatch(Patch):
    """What to change of a snippet."""

    READ_ONLY = frozenset({"id", "created_at", "updated_at"})

    title: Title = UNTOUCHED
    body: Body = UNTOUCHED
    tags: Tags | None = None
    source: Source | None = None
    language: Language | None = None
    allow_secret: Reason | None = None


class SnippetList(Message):
    """A page of snippets."""

    items: tuple[Snippet, ...]
    next: str | None


class HitList(Message):
    """What was found."""

    items: tuple[SearchHit, ...]
    next: str | None = None


@routes.post(
    "/api/v1/bots/{slug}/knowledge",
    access=Access.KNOWLEDGE_WRITE,
    status=201,
    refuses=ADD_SNIPPET.errors,
    is_tagged=True,
    example={"title": "Refunds", "body": "Refunds take ten days after the return reached us.", "tags": ["orders"]},
)
async def add_snippet(request: Request, bot: BotRef, body: SnippetDraft) -> Reply[Snippet]:
    """Teach a bot one thing; its first snippet also turns its knowledge search on."""
    snippet = await request.call.ask(ADD_SNIPPET, AddSnippet(bot_id=bot.id, draft=body))
    return created(snippet, at=f"/api/v1/bots/{bot.slug}/knowledge/{snippet.id}")


@routes.get(
    "/api/v1/bots/{slug}/knowledge", access=Access.KNOWLEDGE_READ, refuses=(BotNotFoundError, InvalidCursorError)
)
async def list_snippets(request: Request, bot: BotRef, query: PageQuery) -> Reply[SnippetList]:
    """List what a bot was taught, newest first."""
    scope = f"/api/v1/bots/{bot.id}/knowledge"
    after = cursors.id_of(scope, query.cursor)
    page = await request.call.ask(
        LIST_SNIPPETS,
        ListSnippets(bot_id=bot.id, limit=query.limit, after=SnippetId(after) if after is not None else None),
    )
    following = cursors.write(scope, str(page.items[-1].id)) if page.more else None
    return Reply(SnippetList(items=page.items, next=following))


@routes.get("/api/v1/bots/{slug}/knowledge/search", access=Access.KNOWLEDGE_READ, refuses=(BotNotFoundError,))
async def search(request: Request, bot: BotRef, query: SearchQuery) -> Reply[HitList]:
    """Find snippets."""
    wanted = SearchSnippets(bot_id=bot.id, query=query.q, limit=query.limit)
    found = await request.call.ask(SEARCH_SNIPPETS, wanted)
    return Reply(HitList(items=found.items))


async def find_snippet(request: Request, bot: BotRef) -> bytes:
    """Return the snippet that the path names, as it is shown; raises `SnippetNotFoundError`."""
    snippet_id = SnippetId(request.path_id("id", SnippetNotFoundError))
    return await request.call.ask_raw(GET_SNIPPET, SnippetOf(bot_id=bot.id, snippet_id=snippet_id))


@routes.get(
    "/api/v1/bots/{slug}/knowledge/{id}",
    access=Access.KNOWLEDGE_READ,
    finds=find_snippet,
    refuses=(BotNotFoundError, SnippetNotFoundError),
    is_tagged=True,
)
async def show_snippet(request: Request, bot: BotRef) -> Reply[Snippet]:
    """Show one snippet."""
    return Reply(await find_snippet(request, bot))


@routes.patch(
    "/api/v1/bots/{slug}/knowledge/{id}",
    access=Access.KNOWLEDGE_WRITE,
    finds=find_snippet,
    refuses=(BotNotFoundError, *EDIT_SNIPPET.errors),
    is_tagged=True,
    example={"body": "Refunds take eight days after the return reached us.", "source": None},
)
async def edit_snippet(request: Request, bot: BotRef, body: SnippetPatch, expected: Expected | None) -> Reply[Snippet]:
    """Change one snippet: what is absent stays, `null` clears tags, source or language."""
    snippet_id = SnippetId(request.path_id("id", SnippetNotFoundError))
    edit = EditSnippet(
        bot_id=bot.id,
        snippet_id=snippet_id,
        clears=tuple(name for name in CLEARED if name in body.cleared()),
        expected=expected,
        **body.given(),
    )
    return Reply(await request.call.ask_raw(EDIT_SNIPPET, edit))


@routes.delete(
    "/api/v1/bots/{slug}/knowledge/{id}",
    access=Access.KNOWLEDGE_WRITE,
    finds=find_snippet,
    refuses=(BotNotFoundError, *REMOVE_SNIPPET.errors),
)
async def remove_snippet(request: Request, bot: BotRef, expected: Expected | None) -> Reply[None]:
    """Forget one snippet."""
    snippet_id = SnippetId(request.path_id("id", SnippetNotFoundError))
    removal = RemoveSnippet(bot_id=bot.id, snippet_id=snippet_id, expected=expected)
    await request.call.ask(REMOVE_SNIPPET, removal)
    return Reply(None, 204)


@routes.delete("/api/v1/bots/{slug}/knowledge", access=Access.KNOWLEDGE_WRITE, refuses=(BotNotFoundError,))
async def remove_tagged(request: Request, bot: BotRef, query: TagQuery) -> Reply[SnippetsRemoved]:
    """Forget all snippets that have a tag."""
    return Reply(await request.call.ask_raw(REMOVE_TAGGED, RemoveTagged(bot_id=bot.id, tag=query.tag)))
