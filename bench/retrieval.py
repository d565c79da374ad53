"""A database of its own with collections in it, and the ways to search them that are compared."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import asyncpg

from bench.collections import Collection, Document
from hivemind_common.clock import system_clock
from hivemind_common.contracts.knowledge import SnippetDraft
from hivemind_common.db import Database, open_database
from hivemind_common.embedded.account import embedded_account
from hivemind_common.embedded.postgres import OWNER, EmbeddedPostgres
from hivemind_common.ids import BotId, SnippetId, new_id
from hivemind_common.schema.runner import LOGIN_ROLES, migrate
from hivemind_common.secrets import SecretStr
from hivemind_common.telemetry import Metrics
from hivemind_common.testing.bots import make_bot
from hivemind_common.testing.waiting import until
from hivemind_knowledge import languages, storage
from hivemind_knowledge.finder import Finder, Found
from hivemind_knowledge.shelf import Shelf, open_shelf
from hivemind_knowledge.vectors import Meanings, open_meanings
from hivemind_knowledge.vectors_sql import COUNT_PENDING

PASSWORD: Final = SecretStr("for-this-run-only")
LOGGED_IN: Final = "knowledge"


@dataclass(frozen=True)
class Rig:
    """A running database, and the search over it."""

    owner: Any
    database: Database
    shelf: Shelf
    meanings: Meanings
    finder: Finder

    async def vectors_are_made(self) -> None:
        """Wait until each snippet has its vector."""

        async def made() -> bool:
            return self.meanings.is_ready and await self.owner.fetchval(COUNT_PENDING) == 0

        await until(made, limit=3_600, what="all vectors")


@asynccontextmanager
async def rig(*, with_vectors: bool = False) -> AsyncIterator[Rig]:
    """Entered: a migrated database runs. Left: it is gone."""
    account = embedded_account()
    with tempfile.TemporaryDirectory() as folder:
        if account is not None:
            _let_pass(Path(folder))
        postgres = EmbeddedPostgres(Path(folder) / "postgres", password=PASSWORD, account=account, durable=False)
        await postgres.start()
        try:
            await migrate(postgres.dsn(OWNER, PASSWORD), dict.fromkeys(LOGIN_ROLES, PASSWORD))
            owner = await asyncpg.connect(postgres.dsn(OWNER, PASSWORD).get_secret_value())
            try:
                metrics = Metrics(LOGGED_IN)
                async with (
                    open_database(postgres.dsn("hivemind_knowledge", PASSWORD), LOGGED_IN, size=8) as database,
                    open_shelf(database, metrics) as shelf,
                    open_meanings(database, metrics, is_wanted=with_vectors) as meanings,
                ):
                    finder = Finder(database, shelf, meanings, clock=system_clock, new_id=new_id, metrics=metrics)
                    yield Rig(owner, database, shelf, meanings, finder)
            finally:
                await owner.close()
        finally:
            await postgres.stop()


def _let_pass(folder: Path) -> None:
    folder.chmod(0o711)


class Loaded:
    """A collection that a bot was taught, each document as the service keeps a snippet."""

    def __init__(self, made: Rig, collection: Collection, bot_id: BotId, ids: Mapping[Any, str]) -> None:
        self._rig = made
        self.collection = collection
        self.bot_id = bot_id
        self._ids = ids

    async def ours(self, text: str, limit: int = 10) -> tuple[list[str], Found]:
        """Ask as people do."""
        found = await self._rig.finder.find(self.bot_id, text, limit)
        return [self._ids[each] for each, _ in found.hits], found

    async def meanings(self, text: str) -> list[str]:
        """Ask by meaning alone."""
        async with self._rig.database.connection() as conn:
            near = await self._rig.meanings.near(conn, self.bot_id, text, []) or {}
        return [self._ids[each] for each in sorted(near, key=lambda each: -near[each])[:10]]

    async def all_words(self, text: str) -> list[str]:
        """Ask for snippets that hold each word, as `plainto_tsquery` makes of a question; Postgres's own ranking."""
        return await self._by_query(text, "plainto_tsquery('english', $2)")

    async def any_word(self, text: str) -> list[str]:
        """Ask for snippets that hold any of the words, with Postgres's own ranking."""
        return await self._by_query(
            text, "nullif(replace(plainto_tsquery('english', $2)::text, '&', '|'), '')::tsquery"
        )

    async def _by_query(self, text: str, query: str) -> list[str]:
        rows = await self._rig.owner.fetch(
            "SELECT id FROM knowledge.snippet, LATERAL (SELECT setweight(to_tsvector('english', title), 'A')"
            " || setweight(to_tsvector('english', body), 'D') AS plain) AS lexed"
            f" WHERE bot_id = $1 AND plain @@ {query} ORDER BY ts_rank(plain, {query}) DESC, id LIMIT 10",
            self.bot_id,
            text,
        )
        return [self._ids[row["id"]] for row in rows]

    async def yardstick(self) -> Bm25:
        """Return plain BM25 over the same stems."""
        rows = await self._rig.owner.fetch(
            "SELECT id, language, to_tsvector(config, knowledge.words_of(title))::text AS title,"
            " to_tsvector(config, knowledge.words_of(body))::text AS body"
            " FROM knowledge.snippet, LATERAL (SELECT knowledge.stopping_configuration_of(language) AS config) AS spoken"
            " WHERE bot_id = $1",
            self.bot_id,
        )
        spoken = sorted({row["language"] for row in rows} - {languages.NONE_WE_KNOW})
        return Bm25(self._rig.owner, spoken, {self._ids[row["id"]]: (row["title"], row["body"]) for row in rows})


class Bm25:
    """Okapi BM25 (k1 1.2, b 0.75), the title's words counted three times, stop words dropped, the same stems.

    Robertson and Zaragoza, *The Probabilistic Relevance Framework: BM25 and Beyond*, 2009, formula 3.15.
    """

    K1: Final = 1.2
    B: Final = 0.75
    TITLE: Final = 3

    def __init__(self, owner: Any, spoken: Sequence[str], texts: Mapping[str, tuple[str, str]]) -> None:
        self._owner = owner
        self._spoken = spoken
        self._counts = {
            each: Counter(_occurrences(body)) + _times(Counter(_occurrences(title)), self.TITLE)
            for each, (title, body) in texts.items()
        }
        self._holders: dict[str, list[str]] = {}
        for each, counts in self._counts.items():
            for word in counts:
                self._holders.setdefault(word, []).append(each)
        self._lengths = {each: counts.total() for each, counts in self._counts.items()}
        self._mean = sum(self._lengths.values()) / max(len(self._lengths), 1)

    async def rank(self, text: str) -> list[str]:
        """Return the ten best, the best first."""
        language = await languages.choose(text, self._spoken) if len(self._spoken) > 1 else "en"
        lexemes = await self._owner.fetchval(
            "SELECT tsvector_to_array(to_tsvector(knowledge.stopping_configuration_of($2), knowledge.words_of($1)))",
            text,
            language,
        )
        scores: Counter[str] = Counter()
        for lexeme in lexemes:
            holders = self._holders.get(lexeme, [])
            rarity = math.log(1 + (len(self._counts) - len(holders) + 0.5) / (len(holders) + 0.5))
            for each in holders:
                times = self._counts[each][lexeme]
                norm = self.K1 * (1 - self.B + self.B * self._lengths[each] / self._mean)
                scores[each] += rarity * times * (self.K1 + 1) / (times + norm)  # type: ignore[assignment]
        return sorted(scores, key=lambda each: (-scores[each], each))[:10]


def _occurrences(lexed: str) -> Sequence[str]:
    """Return each lexeme of a tsvector's text as often as it stands there."""
    found: list[str] = []
    for entry in lexed.split(" ") if lexed else ():
        word, _, places = entry.rpartition(":")
        found += [word.strip("'")] * len(places.split(","))
    return found


def _times(counts: Counter[str], factor: int) -> Counter[str]:
    return Counter({word: factor * count for word, count in counts.items()})


async def load(made: Rig, collection: Collection, *, language: str | None = None) -> Loaded:
    """Teach a bot a collection."""
    bot_id = await make_bot(made.owner)
    ids: dict[Any, str] = {}
    moment = datetime.now(UTC)
    async with made.database.transaction() as conn:
        usual: list[str] = []
        for document in collection.documents:
            spoken = await _spoken(document, language, usual)
            if spoken.language not in usual:
                usual.append(spoken.language)
            snippet_id = SnippetId(new_id())
            ids[snippet_id] = document.id
            draft = SnippetDraft(title=(document.title or document.text)[:200], body=document.text[:20_000])
            await storage.add_snippet(conn, bot_id, snippet_id, draft, spoken, moment, "bench")
    await made.owner.execute("ANALYZE knowledge.snippet")
    return Loaded(made, collection, bot_id, ids)


async def _spoken(document: Document, language: str | None, usual: Sequence[str]) -> storage.Spoken:
    if language is not None:
        return storage.Spoken(language, is_given=True)
    detected = await languages.detect(f"{document.title}\n{document.text}", usual)
    return storage.Spoken(detected, is_given=False)
