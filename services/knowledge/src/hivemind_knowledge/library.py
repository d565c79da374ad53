"""What bots were taught: adding, showing, deleting and finding snippets."""

from __future__ import annotations

from hivemind_common import audit
from hivemind_common.bus import Call
from hivemind_common.clock import Clock
from hivemind_common.contracts.kinds import Nothing
from hivemind_common.contracts.knowledge import (
    AddSnippet,
    FindPassages,
    ListSnippets,
    Passage,
    PassagesFound,
    SearchHit,
    SearchResult,
    SearchSnippets,
    Snippet,
    SnippetOf,
    SnippetPage,
)
from hivemind_common.db import Database
from hivemind_common.ids import IdMaker, SnippetId
from hivemind_common.telemetry import Metrics, get_logger
from hivemind_knowledge import relevance, storage

log = get_logger()


class Library:
    """All bots' snippets; a bot's own is all that a question about it ever sees."""

    def __init__(self, database: Database, *, clock: Clock, new_id: IdMaker, metrics: Metrics) -> None:
        self._database = database
        self._clock = clock
        self._new_id = new_id
        self._searches = metrics.counter("hivemind_searches", "Searches answered, for people and for turns.")
        self._search_seconds = metrics.histogram("hivemind_search_seconds", "Seconds a search took.")

    async def add(self, call: Call, request: AddSnippet) -> Snippet:
        """Keep a snippet; the next search finds it."""
        snippet_id = SnippetId(self._new_id())
        async with self._database.transaction() as conn:
            snippet = await storage.add_snippet(conn, request.bot_id, snippet_id, request.draft, self._clock())
            await audit.record(conn, call, "snippet.added", target=snippet_id, details={"bot_id": request.bot_id})
        return snippet

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

    async def remove(self, call: Call, request: SnippetOf) -> Nothing:
        """Forget a snippet; the next search does not find it."""
        async with self._database.transaction() as conn:
            await storage.remove_snippet(conn, request.bot_id, request.snippet_id, self._clock())
            details = {"bot_id": request.bot_id}
            await audit.record(conn, call, "snippet.removed", target=request.snippet_id, details=details)
        return Nothing()

    async def search(self, _call: Call, request: SearchSnippets) -> SearchResult:
        """Find snippets for a person: scores, excerpts, and where in them the words of the query stand."""
        with self._search_seconds.time():
            async with self._database.connection() as conn:
                question = await storage.read_question(conn, request.bot_id, request.query)
                found = await storage.find_candidates(conn, request.bot_id, question.lexemes, request.limit)
                texts = await storage.mark(
                    conn, request.bot_id, [hit.id for hit in found.items], question.lexemes, relevance.MARKS
                )
        self._searches.inc()
        hits = []
        for candidate in found.items:
            text = texts.get(candidate.id)
            if text is not None:
                matches = relevance.matches_in(text.body, text.marked)
                excerpt, highlights = relevance.excerpt_of(text.body, matches)
                hit = SearchHit(
                    id=candidate.id,
                    title=text.title,
                    score=candidate.score,
                    excerpt=excerpt,
                    highlights=tuple(highlights),
                )
                hits.append(hit)
        log.info("knowledge.searched", bot_id=str(request.bot_id), found=len(hits))
        return SearchResult(items=tuple(hits))

    async def find_passages(self, _call: Call, request: FindPassages) -> PassagesFound:
        """Find what a bot may answer with; nothing when no snippet covers the question."""
        with self._search_seconds.time():
            async with self._database.connection() as conn:
                question = await storage.read_question(conn, request.bot_id, request.question)
                found = await storage.find_candidates(conn, request.bot_id, question.lexemes, request.limit)
                covering = _covering(question, found)
                texts = await storage.mark(conn, request.bot_id, list(covering), question.lexemes, relevance.MARKS)
        self._searches.inc()
        passages = [
            Passage(
                snippet_id=snippet_id,
                title=text.title,
                body=text.body,
                quote=relevance.best_passage(text.body, relevance.matches_in(text.body, text.marked)),
                coverage=share,
            )
            for snippet_id, share in covering.items()
            if (text := texts.get(snippet_id)) is not None
        ]
        log.info("knowledge.searched", bot_id=str(request.bot_id), found=len(passages))
        return PassagesFound(items=tuple(passages))


def _covering(question: storage.Question, found: storage.Candidates) -> dict[SnippetId, float]:
    """Return the candidates that answer a question, in their order, with the share of it that each one holds."""
    shares = {}
    for hit in found.items:
        share = relevance.coverage(question.lexemes, hit.matched, found.frequencies, question.snippet_count)
        if relevance.covers(question.lexemes, hit.matched, share):
            shares[hit.id] = share
    return shares
