"""What the API is, told by itself, to programs and to people; and the handbook beside it."""

from __future__ import annotations

from functools import cache

import orjson
from aiohttp import web

from hivemind_gateway import openapi
from hivemind_gateway.pages import handbook, reference
from hivemind_gateway.pages.rendering import Pages, shown
from hivemind_gateway.problems import NotFoundError
from hivemind_gateway.routing import Access, Request, Routes

routes = Routes()


@routes.get(openapi.PATH, access=Access.OPEN)
async def show_document(request: Request) -> web.StreamResponse:
    """Show the OpenAPI document."""
    return web.Response(body=request.door.document, content_type="application/json")


@routes.get("/docs", access=Access.OPEN)
async def show_reference(request: Request) -> web.StreamResponse:
    """Show the reference of the API."""
    return shown(request.http, _reference(request.door.pages, request.door.document))


@routes.get("/docs/{chapter}", access=Access.OPEN)
async def show_chapter(request: Request) -> web.StreamResponse:
    """Show a chapter of the handbook."""
    return shown(request.http, _chapter(request.door.pages, request.http.match_info["chapter"]))


@routes.get("/static/{name}", access=Access.OPEN)
async def show_asset(request: Request) -> web.StreamResponse:
    """Show a file that pages are made of."""
    asset = request.door.pages.assets.find(request.http.match_info["name"])
    if asset is None:
        raise NotFoundError
    response = web.Response(body=asset.body, content_type=asset.content_type)
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response


@cache
def _reference(pages: Pages, document: bytes) -> str:
    told = orjson.loads(document)
    return pages.render(
        "reference.html",
        title="API reference",
        current="",
        chapters=handbook.CHAPTERS,
        document_path=openapi.PATH,
        groups=reference.operations(told),
        shapes=reference.all_shapes(told),
    )


@cache
def _chapter(pages: Pages, name: str) -> str:
    if name not in handbook.CHAPTERS:
        raise NotFoundError
    chapter = handbook.chapter(name)
    return pages.render("chapter.html", title=chapter.title, current=name, chapters=handbook.CHAPTERS, chapter=chapter)
