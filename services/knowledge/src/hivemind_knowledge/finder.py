"""Finding snippets: for people, with excerpts, and for turns, with passages that cover the question or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

from hivemind_common.bus import Call
from hivemind_common.clock import Clock
from hivemind_common.contracts.knowledge import (
    FindPassages,
    Passage,
    PassagesFound,
    SearchHit,
    SearchResult,
    SearchSnippets,
)
from hivemind_common.db import Conn, Database
from hivemind_common.errors import HivemindError
from hivemind_common.ids import BotId, GapId, IdMaker, SnippetId
from hivemind_common.telemetry import Metrics, get_logger
from hivemind_knowledge import corpus_sql, gaps, languages, passages, storage
from hivemind_knowledge.corpus_sql import Question
from hivemind_knowledge.neighbours import COMPOUNDING, known_words, without_joins
from hivemind_knowledge.passages import Span
from hivemind_knowledge.ranking import LEAST_COVERAGE, Match, Variant, Word
from hivemind_knowledge.shelf import Shelf
from hivemind_knowledge.vectors import NEAREST, Meanings, fused

BUILD_WAITED_FOR: Final = 2.0
"""Seconds that a question with an unknown word waits for an index that is being built: only there it finds neighbours."""

log = get_logger()


@dataclass(frozen=True)
class Found:
    """What a question was taken for, and what was found, the best first."""

    words: tuple[Word, ...]
    hits: list[tuple[UUID, Match]]

    def lexemes(self) -> list[str]:
        """Return the lexemes that count."""
        return list(
            dict.fromkeys(variant.lexeme for word in self.words if not word.is_light for variant in word.variants)
        )


class Finder:
    """Searches the snippets of one bot at a time."""

    def __init__(
        self,
        database: Database,
        shelf: Shelf,
        meanings: Meanings,
        *,
        clock: Clock,
        new_id: IdMaker,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._shelf = shelf
        self._meanings = meanings
        self._clock = clock
        self._new_id = new_id
        self._searches = metrics.counter("hivemind_searches", "Searches answered, for people and for turns.")
        self._search_seconds = metrics.histogram("hivemind_search_seconds", "Seconds a search took.")

    async def search(self, _call: Call, request: SearchSnippets) -> SearchResult:
        """Find snippets for a person: scores, excerpts, and where in them the words of the query stand."""
        with self._search_seconds.time():
            found = await self.find(request.bot_id, request.query, request.limit)
            texts = await self._texts(request.bot_id, [snippet_id for snippet_id, _ in found.hits], found)
        self._searches.inc()
        hits = []
        for snippet_id, match in found.hits:
            if snippet_id in texts:
                text, places = texts[snippet_id]
                excerpt, highlights = passages.excerpt_of(text.body, places)
                hits.append(
                    SearchHit(
                        id=SnippetId(snippet_id),
                        title=text.title,
                        score=match.score,
                        excerpt=excerpt,
                        highlights=tuple(highlights),
                    )
                )
        log.info("knowledge.searched", bot_id=str(request.bot_id), found=len(hits))
        return SearchResult(items=tuple(hits))

    async def find_passages(self, _call: Call, request: FindPassages) -> PassagesFound:
        """Find what a bot may answer with; nothing when no snippet covers the question."""
        with self._search_seconds.time():
            found = await self.find(request.bot_id, request.question, request.limit)
            covering = {
                snippet_id: match.coverage
                for snippet_id, match in found.hits
                if match.coverage >= LEAST_COVERAGE[request.strictness]
            }
            texts = await self._texts(request.bot_id, list(covering), found)
            if not covering and request.keeps_gap:
                await self._keep_gap(request, found)
        self._searches.inc()
        items = [
            Passage(
                snippet_id=SnippetId(snippet_id),
                title=text.title,
                body=text.body,
                quote=passages.best_passage(text.body, places),
                coverage=covering[snippet_id],
            )
            for snippet_id, (text, places) in ((each, texts[each]) for each in covering if each in texts)
        ]
        log.info("knowledge.searched", bot_id=str(request.bot_id), found=len(items))
        return PassagesFound(items=tuple(items))

    async def find(self, bot_id: BotId, text: str, limit: int) -> Found:
        """Find the best snippets for a question, however little they cover it."""
        if not self._meanings.is_ready:
            return await self._by_words(bot_id, text, limit)
        found = await self._by_words(bot_id, text, max(limit, NEAREST))
        cosines = None
        if not all(word.is_light for word in found.words):
            async with self._database.connection() as conn:
                cosines = await self._meanings.near(conn, bot_id, text, [snippet_id for snippet_id, _ in found.hits])
        hits = found.hits[:limit] if cosines is None else fused(found.hits, cosines, limit)
        return Found(found.words, hits)

    async def _by_words(self, bot_id: BotId, text: str, limit: int) -> Found:
        async with self._database.connection() as conn:
            question = await corpus_sql.read_question(conn, bot_id, text)
            words = await _words_of(question, text)
            if question.snippet_count == 0 or all(word.is_light for word in words):
                if question.version == 0:
                    self._shelf.drop(bot_id)
                return Found(words, [])
            found = await self._find_in_memory(conn, bot_id, question, words, limit)
            if found is not None:
                return found
            unknown = await corpus_sql.read_unknown(conn, bot_id, _heavy_lexemes(words))
            if not _has_unknown(words, unknown):
                return await self._find_in_sql(conn, bot_id, words, unknown, limit)
        # Neighbours of an unknown word are found in memory only. Waited for without a connection: the build needs one.
        await self._shelf.wait_for_build(bot_id, BUILD_WAITED_FOR)
        async with self._database.connection() as conn:
            found = await self._find_in_memory(conn, bot_id, question, words, limit)
            return found or await self._find_in_sql(conn, bot_id, words, unknown, limit)

    async def _find_in_memory(
        self, conn: Conn, bot_id: BotId, question: Question, words: tuple[Word, ...], limit: int
    ) -> Found | None:
        async with self._shelf.holding(conn, bot_id, question.version, question.snippet_count) as corpus:
            if corpus is None:
                return None
            has_compounds = not COMPOUNDING.isdisjoint(question.languages)
            known = tuple(known_words(without_joins(words, corpus.frequency), corpus, has_compounds=has_compounds))
            return Found(known, corpus.rank(known, limit))

    async def _find_in_sql(
        self, conn: Conn, bot_id: BotId, words: tuple[Word, ...], unknown: set[str], limit: int
    ) -> Found:
        kept = tuple(without_joins(words, lambda lexeme: int(lexeme not in unknown)))
        return Found(kept, await corpus_sql.rank(conn, bot_id, kept, limit))

    async def _texts(
        self, bot_id: BotId, snippet_ids: list[UUID], found: Found
    ) -> dict[UUID, tuple[storage.Marked, list[Span]]]:
        if not snippet_ids:
            return {}
        lexemes = found.lexemes()
        async with self._database.connection() as conn:
            texts = await storage.mark(conn, bot_id, snippet_ids, lexemes, passages.MARKS)
        return {
            snippet_id: (
                text,
                passages.joined(
                    [*passages.matches_in(text.body, text.marked), *passages.written_matches(text.body, lexemes)]
                ),
            )
            for snippet_id, text in texts.items()
        }

    async def _keep_gap(self, request: FindPassages, found: Found) -> None:
        lexemes = found.lexemes()
        if not lexemes:
            return
        gap_id = GapId(self._new_id())
        try:
            async with self._database.connection() as conn:
                await gaps.keep(conn, request.bot_id, gap_id, request.question, lexemes, self._clock())
        except (HivemindError, asyncpg.PostgresError) as fault:
            # It helps whoever teaches the bot; whoever asked is answered all the same.
            log.warning("knowledge.gap_not_kept", bot_id=str(request.bot_id), fault=type(fault).__name__)


async def _words_of(question: Question, text: str) -> tuple[Word, ...]:
    """Return a question's words, each with its lexemes in all languages of the bot, light as in the question's own."""
    spoken = question.languages[:1]
    if len(question.languages) > 1:
        known = [language for language in question.languages if language != languages.NONE_WE_KNOW]
        spoken = (known[0],) if len(known) == 1 else (await languages.choose(text, known),)
    lexemes: dict[str, dict[str, None]] = {}
    light: set[str] = set()
    for asked in question.asked:
        lexemes.setdefault(asked.word, {}).update(dict.fromkeys(asked.lexemes))
        if asked.is_light and asked.language in spoken:
            light.add(asked.word)
    return tuple(
        Word(word, tuple(Variant(lexeme) for lexeme in found), is_light=word in light)
        for word, found in lexemes.items()
        if found
    )


def _heavy_lexemes(words: Sequence[Word]) -> list[str]:
    return [variant.lexeme for word in words if not word.is_light for variant in word.variants]


def _has_unknown(words: Sequence[Word], unknown: set[str]) -> bool:
    return any(not word.is_light and all(variant.lexeme in unknown for variant in word.variants) for word in words)
