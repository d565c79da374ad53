"""What bots were taught: adding, showing, editing and deleting snippets, and what they could not answer yet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from hivemind_common import audit
from hivemind_common.bus import Call
from hivemind_common.clock import Clock
from hivemind_common.contracts.edits import check_expected
from hivemind_common.contracts.kinds import Nothing
from hivemind_common.contracts.knowledge import (
    AddSnippet,
    EditSnippet,
    FillGap,
    Gap,
    GapOf,
    GapPage,
    Judgement,
    JudgeSnippets,
    ListGaps,
    ListSnippets,
    LooksLikeSecretError,
    RemoveSnippet,
    RemoveTagged,
    Snippet,
    SnippetDraft,
    SnippetOf,
    SnippetPage,
    SnippetsRemoved,
)
from hivemind_common.db import Conn, Database
from hivemind_common.ids import BotId, IdMaker, SnippetId
from hivemind_knowledge import gaps, languages, storage
from hivemind_knowledge.secrets import find_secrets
from hivemind_knowledge.storage import Spoken


class Library:
    """All bots' snippets; a bot's own is all that a question about it ever sees."""

    def __init__(self, database: Database, *, clock: Clock, new_id: IdMaker) -> None:
        self._database = database
        self._clock = clock
        self._new_id = new_id

    async def add(self, call: Call, request: AddSnippet) -> Snippet:
        """Keep a snippet; the next search finds it."""
        _check_secrets(request.draft)
        spoken = await self._spoken(request.bot_id, request.draft)
        async with self._database.transaction() as conn:
            return await self._add(conn, call, request.bot_id, request.draft, spoken)

    async def judge(self, _call: Call, request: JudgeSnippets) -> Judgement:
        """Tell the language of texts that are to be kept by others; what looks like a secret is refused."""
        places = await asyncio.to_thread(_places_in, request.drafts)
        if places:
            raise LooksLikeSecretError.at(places)
        return Judgement(
            languages=tuple(
                [
                    each.language or await languages.detect(f"{each.title}\n{each.body}", request.usual)
                    for each in request.drafts
                ]
            )
        )

    async def get(self, _call: Call, request: SnippetOf) -> Snippet:
        """Show one snippet."""
        async with self._database.connection() as conn:
            return await storage.get_snippet(conn, request.bot_id, request.snippet_id)

    async def list_page(self, _call: Call, request: ListSnippets) -> SnippetPage:
        """Show a page, newest first."""
        async with self._database.connection() as conn:
            # One more than asked for tells whether another page follows.
            found = await storage.list_snippets(conn, request.bot_id, request.after, request.limit + 1)
        return SnippetPage(items=tuple(found[: request.limit]), more=len(found) > request.limit)

    async def edit(self, call: Call, request: EditSnippet) -> Snippet:
        """Change a snippet; the next search finds it as it is now. What changes nothing leaves it as it is."""
        async with self._database.connection() as conn:
            usual = await storage.read_languages(conn, request.bot_id)
        async with self._database.transaction() as conn:
            held = await storage.lock_snippet(conn, request.bot_id, request.snippet_id)
            check_expected(request.expected, held.snippet, held.changed_by)
            draft = _edited(held, request)
            if (draft.title, draft.body) != (held.snippet.title, held.snippet.body):
                _check_secrets(draft)
            spoken = held.spoken
            if draft.language is not None:
                spoken = Spoken(draft.language, is_given=True)
            elif (draft.title, draft.body) != (held.snippet.title, held.snippet.body) or held.spoken.is_given:
                spoken = Spoken(await languages.detect(f"{draft.title}\n{draft.body}", usual), is_given=False)
            changed = list(_changed(held, draft, spoken))
            if not changed:
                return held.snippet
            snippet = await storage.edit_snippet(
                conn, request.bot_id, request.snippet_id, draft, spoken, self._clock(), call.principal.name
            )
            details = {"bot_id": request.bot_id, "changed": changed} | _allowance(draft)
            await audit.record(conn, call, "snippet.changed", target=request.snippet_id, details=details)
        return snippet

    async def remove(self, call: Call, request: RemoveSnippet) -> Nothing:
        """Forget a snippet; the next search does not find it."""
        async with self._database.transaction() as conn:
            held = await storage.lock_snippet(conn, request.bot_id, request.snippet_id)
            check_expected(request.expected, held.snippet, held.changed_by)
            await storage.remove_snippet(conn, request.bot_id, request.snippet_id, self._clock())
            details = {"bot_id": request.bot_id}
            await audit.record(conn, call, "snippet.removed", target=request.snippet_id, details=details)
        return Nothing()

    async def remove_tagged(self, call: Call, request: RemoveTagged) -> SnippetsRemoved:
        """Forget all snippets with a tag, or none of them."""
        async with self._database.transaction() as conn:
            removed = await storage.remove_tagged(conn, request.bot_id, request.tag, self._clock())
            for snippet_id in removed:
                details = {"bot_id": request.bot_id}
                await audit.record(conn, call, "snippet.removed", target=snippet_id, details=details)
        return SnippetsRemoved(deleted=len(removed))

    async def list_gaps(self, _call: Call, request: ListGaps) -> GapPage:
        """Show a page of the questions that a bot could not answer."""
        async with self._database.connection() as conn:
            found = await gaps.list_gaps(conn, request.bot_id, request.after, request.limit + 1, self._clock())
        return GapPage(items=tuple(found[: request.limit]), more=len(found) > request.limit)

    async def get_gap(self, _call: Call, request: GapOf) -> Gap:
        """Show one of them."""
        async with self._database.connection() as conn:
            return await gaps.get(conn, request.bot_id, request.gap_id, self._clock())

    async def fill_gap(self, call: Call, request: FillGap) -> Snippet:
        """Teach a bot what was missing."""
        _check_secrets(request.draft)
        spoken = await self._spoken(request.bot_id, request.draft)
        async with self._database.transaction() as conn:
            await gaps.close(conn, request.bot_id, request.gap_id)
            return await self._add(conn, call, request.bot_id, request.draft, spoken)

    async def dismiss_gap(self, _call: Call, request: GapOf) -> Nothing:
        """Forget a question that needs no answer."""
        async with self._database.connection() as conn:
            await gaps.close(conn, request.bot_id, request.gap_id)
        return Nothing()

    async def _add(self, conn: Conn, call: Call, bot_id: BotId, draft: SnippetDraft, spoken: Spoken) -> Snippet:
        snippet_id = SnippetId(self._new_id())
        snippet = await storage.add_snippet(conn, bot_id, snippet_id, draft, spoken, self._clock(), call.principal.name)
        details = {"bot_id": bot_id} | _allowance(draft)
        await audit.record(conn, call, "snippet.added", target=snippet_id, details=details)
        return snippet

    async def _spoken(self, bot_id: BotId, draft: SnippetDraft) -> Spoken:
        if draft.language is not None:
            return Spoken(draft.language, is_given=True)
        async with self._database.connection() as conn:
            usual = await storage.read_languages(conn, bot_id)
        return Spoken(await languages.detect(f"{draft.title}\n{draft.body}", usual), is_given=False)


def _places(draft: SnippetDraft) -> list[tuple[str, int, int, str]]:
    return [
        (name, found.start, found.end, found.kind)
        for name, text in (("title", draft.title), ("body", draft.body))
        for found in find_secrets(text)
    ]


def _places_in(drafts: Iterable[SnippetDraft]) -> list[tuple[str, int, int, str]]:
    return [
        (f"{number}.{path}", start, end, kind)
        for number, draft in enumerate(drafts)
        if draft.allow_secret is None
        for path, start, end, kind in _places(draft)
    ]


def _check_secrets(draft: SnippetDraft) -> None:
    """Raise `LooksLikeSecretError` for what looks like a secret, unless somebody said why it may be known."""
    if draft.allow_secret is None and (places := _places(draft)):
        raise LooksLikeSecretError.at(places)


def _allowance(draft: SnippetDraft) -> dict[str, Any]:
    """Return what the audit log is told of a secret that was let in: why, and what it looked like."""
    if draft.allow_secret is None or not (places := _places(draft)):
        return {}
    return {"allowed_secret": draft.allow_secret, "looks_like": sorted({kind for _, _, _, kind in places})}


def _edited(held: storage.Held, request: EditSnippet) -> SnippetDraft:
    """Return what a snippet is to be; the language is None where it is to be detected."""
    before = held.snippet
    language = before.language if held.spoken.is_given else None
    # What is kept already was judged when it came, so nothing is judged here again.
    return SnippetDraft.model_construct(
        title=before.title if request.title is None else request.title,
        body=before.body if request.body is None else request.body,
        tags=() if "tags" in request.clears else before.tags if request.tags is None else request.tags,
        source=None if "source" in request.clears else request.source or before.source,
        language=None if "language" in request.clears else request.language or language,
        allow_secret=request.allow_secret,
    )


def _changed(held: storage.Held, draft: SnippetDraft, spoken: Spoken) -> Iterable[str]:
    """Name the members that an edit changes."""
    before = held.snippet
    pairs = {
        "title": (before.title, draft.title),
        "body": (before.body, draft.body),
        "tags": (before.tags, draft.tags),
        "source": (before.source, draft.source),
        "language": (held.spoken, spoken),
    }
    return (name for name, (old, new) in pairs.items() if old != new)
