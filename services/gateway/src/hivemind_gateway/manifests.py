"""Bots as YAML documents: exported, and applied."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Literal

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict

from hivemind_common.bus import Incoming
from hivemind_common.contracts.bots import BotNamed
from hivemind_common.contracts.kinds import Message, Nothing
from hivemind_common.contracts.manifests import (
    APPLY_TIMEOUT,
    APPLY_UPLOAD,
    EXPORT_BOT,
    MOST_DOCUMENTS,
    PIECE,
    STAGE_UPLOAD,
    Apply,
    Manifest,
    ManifestPiece,
    UploadPiece,
)
from hivemind_common.errors import HivemindError, ValidationFailedError
from hivemind_common.ids import new_id
from hivemind_common.telemetry import get_logger
from hivemind_gateway import bodies
from hivemind_gateway.headers import add_headers
from hivemind_gateway.queries import Flag
from hivemind_gateway.routing import Access, Reply, Request, Routes

MOST_VALUES: Final = 1_000_000

routes = Routes()
log = get_logger()


class ApplyQuery(BaseModel):
    """How documents are applied."""

    model_config = ConfigDict(hide_input_in_errors=True)

    dry_run: Flag = False
    prune: Flag = False


class BotChange(Message):
    """What was done, or would be, to one bot. `diff` is for people: lines with + and -."""

    slug: str
    action: Literal["create", "update", "archive", "none"]
    diff: str
    conversations: int
    """Of a bot that is archived: how many are kept until it is ended."""


class ChangeList(Message):
    """What was done, or would be, by slug."""

    changes: tuple[BotChange, ...]


@routes.get(
    "/api/v1/bots/{slug}/export",
    access=Access.BOTS_INSPECT,
    timeout=APPLY_TIMEOUT,
    refuses=EXPORT_BOT.errors,
    exports=Manifest,
)
async def export_bot(request: Request) -> web.StreamResponse:
    """Show a bot as one YAML document, with its prompts, snippets and golden questions; no secret is ever in it."""
    async with request.call.open(EXPORT_BOT, BotNamed(slug=request.slug)) as incoming:
        return await _passed_on(request, incoming)


async def _passed_on(request: Request, incoming: Incoming[ManifestPiece, Nothing]) -> web.StreamResponse:
    pieces = aiter(incoming)
    # Whatever is refused before the first piece is an ordinary problem answer.
    piece = await anext(pieces)
    response = web.StreamResponse(
        headers={
            "Content-Type": "application/yaml",
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="{request.slug}.yaml"',
        }
    )
    add_headers(request.http, response)
    await response.prepare(request.http)
    if request.http.method == "HEAD":
        return response
    try:
        await response.write(piece.text.encode())
        async for piece in pieces:
            await response.write(piece.text.encode())
    except ConnectionResetError:
        log.info("export.left", bot=request.slug)
    except HivemindError as refusal:
        # Half of a document must not look like a whole one: the connection ends before the body does.
        log.warning("export.broken", bot=request.slug, code=refusal.code)
        if request.http.transport is not None:
            request.http.transport.close()
    return response


@routes.post(
    "/api/v1/apply",
    access=Access.BOTS_APPLY,
    timeout=APPLY_TIMEOUT,
    form=Manifest,
    medium=bodies.YAML,
    status=200,
    refuses=APPLY_UPLOAD.errors,
    example={
        "slug": "help-desk",
        "name": "Help desk",
        "system_prompt": "You answer questions about our shop.",
        "snippets": [{"title": "Refunds", "body": "Refunds take ten days after the return reached us."}],
    },
)
async def apply(request: Request, body: list[Any], query: ApplyQuery) -> Reply[ChangeList]:
    """Make bots what YAML documents say, all or nothing; with `prune` those that they do not name are archived."""
    text = await asyncio.to_thread(_judged, body)
    upload_id = new_id()
    size = PIECE // 4  # a character may take four bytes
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    for place, piece in enumerate(pieces):
        await request.call.ask(STAGE_UPLOAD, UploadPiece(upload_id=upload_id, place=place, text=piece))
    wanted = Apply(upload_id=upload_id, pieces=len(pieces), is_dry_run=query.dry_run, prunes=query.prune)
    return Reply(await request.call.ask_raw(APPLY_UPLOAD, wanted))


def _judged(documents: list[Any]) -> str:
    """Return documents as the JSON of manifests; raises `ValidationFailedError` with the slug before each place."""
    if not 0 < len(documents) <= MOST_DOCUMENTS:
        message = f"must be 1 to {MOST_DOCUMENTS} documents, one for each bot"
        raise ValidationFailedError.at("", "too_long" if documents else "missing", message)
    found: dict[str, Any] = {}
    for number, document in enumerate(documents):
        slug = document.get("slug") if isinstance(document, dict) else None
        at = slug if isinstance(slug, str) and 3 <= len(slug) <= 32 else f"documents.{number}"
        manifest = bodies.validate(Manifest, document, at=at, most_values=MOST_VALUES)
        if manifest.slug in found:
            raise ValidationFailedError.at(f"{manifest.slug}.slug", "repeated", "must not be named twice")
        found[manifest.slug] = manifest.model_dump(mode="json", exclude_unset=True)
    return orjson.dumps(list(found.values())).decode()
