"""What the API is, told by itself."""

from __future__ import annotations

from aiohttp import web

from hivemind_gateway import openapi
from hivemind_gateway.routing import Access, Request, Routes

routes = Routes()


@routes.get(openapi.PATH, access=Access.OPEN)
async def show_document(request: Request) -> web.StreamResponse:
    """Show the OpenAPI document."""
    return web.Response(body=request.door.document, content_type="application/json")
