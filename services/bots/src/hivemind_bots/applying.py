"""Making bots what manifests say: all of it in one transaction, and what is so already is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter

from hivemind_bots import golden_sql, manifests, prompts, prompts_sql, shelves, storage, uploads_sql
from hivemind_bots.changes import changed
from hivemind_bots.golden_sql import draft_of
from hivemind_bots.lifecycle import archive
from hivemind_bots.manifests import State
from hivemind_bots.providers import Providers
from hivemind_bots.shelves import Shelved
from hivemind_common import audit
from hivemind_common.bus import Call, Outgoing
from hivemind_common.clock import Clock
from hivemind_common.contracts.bots import BotNamed, BotNotFoundError, BotStatus, SlugTakenError
from hivemind_common.contracts.golden_questions import MOST_QUESTIONS
from hivemind_common.contracts.kinds import Nothing
from hivemind_common.contracts.knowledge import (
    JUDGE_SNIPPETS,
    MOST_JUDGED,
    JudgeSnippets,
    LooksLikeSecretError,
    SnippetDraft,
)
from hivemind_common.contracts.manifests import (
    MOST_VERSIONS,
    PIECE,
    Applied,
    Apply,
    Change,
    Manifest,
    ManifestPiece,
    PromptEntry,
    SnippetEntry,
    UploadPiece,
)
from hivemind_common.db import Conn, Database
from hivemind_common.errors import UnavailableError, ValidationFailedError
from hivemind_common.ids import BotId, IdMaker
from hivemind_common.telemetry import get_logger

UPLOADS_KEPT: Final = timedelta(minutes=15)
JUDGED_AT_ONCE: Final = 100_000
"""Characters: in the worst case six bytes each, and a message has a limit."""

TRIES: Final = 3

Placed = tuple[int, SnippetEntry]
"""A snippet, and where in its manifest it stands."""

_MANIFESTS: Final[TypeAdapter[list[Manifest]]] = TypeAdapter(list[Manifest])

log = get_logger()


@dataclass(frozen=True)
class Known:
    """A bot that is there: its row, what a document says of it, and the ids of its parts."""

    stored: storage.StoredBot
    state: State
    snippets: dict[UUID, Shelved]
    questions: dict[Any, Any]


@dataclass(frozen=True)
class Step:
    """What is to be done for one manifest."""

    manifest: Manifest
    known: Known | None
    state: State


class _ChangedMeanwhileError(Exception):
    """A text that was there when texts were judged is there no more."""


class Applying:
    """Exports bots, and applies what was exported or written by hand."""

    def __init__(self, database: Database, providers: Providers, *, clock: Clock, new_id: IdMaker) -> None:
        self._database = database
        self._providers = providers
        self._clock = clock
        self._new_id = new_id

    async def export(self, _call: Call, request: BotNamed, out: Outgoing[ManifestPiece]) -> Nothing:
        """Tell a bot as one document, all of one moment."""
        async with self._database.connection() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
            stored = await storage.get_bot(conn, request.slug, viewer=None)
            known = await _known(conn, stored)
            versions = await prompts_sql.list_prompts(conn, stored.id, None, MOST_VERSIONS)
        entries = (PromptEntry.model_validate(each.model_dump()) for each in versions[::-1])
        state = manifests.with_versions(known.state, entries)
        text = ""
        for piece in manifests.document(state):
            text += piece
            while len(text) >= PIECE // 4:  # a character may take four bytes
                await out.send(ManifestPiece(text=text[: PIECE // 4]))
                text = text[PIECE // 4 :]
        if text:
            await out.send(ManifestPiece(text=text))
        log.info("bot.exported", bot=request.slug)
        return Nothing()

    async def stage(self, _call: Call, request: UploadPiece) -> Nothing:
        """Keep a piece of an upload until it is applied, or is too old."""
        moment = self._clock()
        async with self._database.transaction() as conn:
            await uploads_sql.forget(conn, moment - UPLOADS_KEPT)
            await uploads_sql.keep(conn, request.upload_id, request.place, request.text, moment)
        return Nothing()

    async def apply(self, call: Call, request: Apply) -> Applied:
        """Make bots what an upload says, or tell what would change."""
        async with self._database.connection() as conn:
            text = await uploads_sql.take(conn, request.upload_id, request.pieces)
        if text is None:
            raise UnavailableError.of("bots", detail="an upload was lost on its way")
        wanted = await asyncio.to_thread(_MANIFESTS.validate_json, text)
        del text
        for manifest in wanted:
            self._providers.check(manifest, named=manifest.model_fields_set, at=f"{manifest.slug}.")
        judged: dict[tuple[str, str], str] = {}
        for _ in range(TRIES):
            # Whatever somebody changes meanwhile is looked at anew.
            with suppress(_ChangedMeanwhileError, BotNotFoundError, SlugTakenError):
                await self._judge(call, wanted, judged)
                return Applied(changes=tuple(await self._done(call, request, wanted, judged)))
        raise UnavailableError.of("bots", detail="bots were changed again and again while they were applied")

    async def _done(
        self, call: Call, request: Apply, wanted: Sequence[Manifest], judged: dict[tuple[str, str], str]
    ) -> list[Change]:
        async with self._database.transaction() as conn:
            if not request.is_dry_run:
                await uploads_sql.take_turn(conn)
            steps = await self._steps(conn, wanted, judged, holds=not request.is_dry_run)
            changes = [await self._carried_out(conn, call, step, is_dry_run=request.is_dry_run) for step in steps]
            if request.prunes:
                changes += await self._pruned(conn, call, wanted, is_dry_run=request.is_dry_run)
        return sorted(changes, key=lambda change: change.slug)

    async def _judge(self, call: Call, wanted: Sequence[Manifest], judged: dict[tuple[str, str], str]) -> None:
        """Have the texts judged that their bots have not letter for letter."""
        for manifest in wanted:
            if not manifest.snippets:
                continue
            async with self._database.connection() as conn:
                known = await _find(conn, manifest.slug)
            there = list(known.snippets.values()) if known else []
            texts = {(each.title, each.body) for each in there}
            new = [
                (place, entry)
                for place, entry in enumerate(manifest.snippets)
                if (entry.title, entry.body) not in texts and (entry.title, entry.body) not in judged
            ]
            said = (entry.language or entry.detected_language for entry in manifest.snippets)
            usual = tuple(dict.fromkeys(each for each in (*(one.language for one in there), *said) if each))
            for some in _in_parts(new):
                drafts = tuple(_draft(entry) for _, entry in some)
                try:
                    told = await call.ask(JUDGE_SNIPPETS, JudgeSnippets(drafts=drafts, usual=usual))
                except LooksLikeSecretError as refusal:
                    raise _placed(refusal, manifest.slug, some) from None
                judged.update(
                    ((entry.title, entry.body), language)
                    for (_, entry), language in zip(some, told.languages, strict=True)
                )

    async def _steps(
        self, conn: Conn, wanted: Sequence[Manifest], judged: dict[tuple[str, str], str], *, holds: bool
    ) -> list[Step]:
        if holds:
            # In the order in which others lock them too: what bots know, then the bots.
            teaching = [manifest.slug for manifest in wanted if manifest.snippets is not None]
            ids = [bot_id for slug in sorted(teaching) if (bot_id := await storage.find_bot(conn, slug)) is not None]
            for bot_id in sorted(ids):
                await shelves.hold(conn, bot_id)
        steps = []
        for manifest in sorted(wanted, key=lambda each: each.slug):
            known = await _find(conn, manifest.slug, locks=holds)
            snippets = _snippets(manifest, known, judged)
            state = manifests.after(manifest, known.state if known else None, snippets)
            _check(manifest, known, state)
            steps.append(Step(manifest, known, state))
        return steps

    async def _carried_out(self, conn: Conn, call: Call, step: Step, *, is_dry_run: bool) -> Change:
        before = step.known.state if step.known is not None else None
        action: Any = "create" if before is None else "none" if manifests.same(before, step.state) else "update"
        if action != "none" and not is_dry_run:
            bot_id = await self._write(conn, call, step)
            await audit.record(conn, call, "bot.applied", target=bot_id, details=_details(action, before, step.state))
        told = "" if action == "none" else await asyncio.to_thread(manifests.diff, before, step.state)
        return Change(slug=step.state.slug, action=action, diff=told)

    async def _write(self, conn: Conn, call: Call, step: Step) -> BotId:
        moment = self._clock()
        author = call.principal.name
        state, known = step.state, step.known
        if known is None:
            bot_id = BotId(self._new_id())
            await storage.add_bot(conn, bot_id, state.slug, state.name, state.settings, author, moment)
            await _begin(conn, bot_id, step.manifest, author, moment)
        else:
            bot_id = known.stored.id
        if step.manifest.snippets is not None:
            await self._teach(conn, bot_id, known, state.snippets, moment, author)
        if step.manifest.golden_questions is not None:
            await self._question(conn, bot_id, step, moment, author)
        # Behind the snippets, the first of which turns the search on.
        await storage.edit_bot(conn, bot_id, state.name, state.settings, author, moment)
        status = known.stored.status if known is not None else BotStatus.ACTIVE
        if status is not state.status:
            await storage.set_status(conn, bot_id, state.status, author, moment)
        if state.pinned_version != (known.stored.pinned_version if known is not None else None):
            await prompts_sql.pin(conn, bot_id, state.pinned_version, author, moment)
        if step.manifest.system_prompt is not None:
            await prompts.save(conn, call, bot_id, state.system_prompt, "applied", moment)
        return bot_id

    async def _teach(
        self,
        conn: Conn,
        bot_id: BotId,
        known: Known | None,
        snippets: Sequence[Shelved],
        moment: datetime,
        author: str,
    ) -> None:
        there = known.snippets if known is not None else {}
        free = manifests.numbered(there.items(), lambda item: manifests.name_of(item[1]))
        kept: dict[UUID, Shelved] = {}
        stays = set()
        for key, snippet in manifests.numbered(snippets, manifests.name_of).items():
            snippet_id, was = free.get(key, (None, None))
            if snippet_id is not None:
                stays.add(snippet_id)
            if was != snippet:
                kept[snippet_id or self._new_id()] = snippet
        removed = [snippet_id for snippet_id in there if snippet_id not in stays]
        if kept or removed:
            await shelves.change(conn, bot_id, removed, kept, moment, author)

    async def _question(self, conn: Conn, bot_id: BotId, step: Step, moment: datetime, author: str) -> None:
        there = step.known.questions if step.known is not None else {}
        wanted = manifests.numbered(step.state.questions, manifests.words_of)
        await golden_sql.remove_questions(conn, bot_id, [there[key].id for key in there if key not in wanted])
        for key, draft in wanted.items():
            if key in there and draft_of(there[key]) != draft:
                await golden_sql.edit_question(conn, bot_id, there[key].id, draft, author, moment)
        new = [draft for key, draft in wanted.items() if key not in there]
        await golden_sql.add_questions(conn, bot_id, new, self._new_id, author, moment)

    async def _pruned(self, conn: Conn, call: Call, wanted: Sequence[Manifest], *, is_dry_run: bool) -> list[Change]:
        changes = []
        for slug in await storage.slugs_besides(conn, [manifest.slug for manifest in wanted]):
            try:
                stored = await storage.lock_bot(conn, slug)
            except BotNotFoundError:
                continue  # it went while we waited for it
            conversations = await storage.count_conversations(conn, stored.id)
            if not is_dry_run:
                await archive(conn, call, stored, self._clock)
            told = f"-status: {stored.status}\n+status: archived\n"
            changes.append(Change(slug=slug, action="archive", diff=told, conversations=conversations))
        return changes


def _details(action: str, before: State | None, now: State) -> dict[str, Any]:
    details: dict[str, Any] = {"slug": now.slug, "action": action, "snippets": len(now.snippets)}
    if before is None:
        settings = now.settings
        return details | {"tier": settings.tier, "allow_hosted_provider": settings.allow_hosted_provider}
    return details | {"changed": changed(before.name, before.settings, now.name, now.settings)}


async def _find(conn: Conn, slug: str, *, locks: bool = False) -> Known | None:
    bot_id = await storage.find_bot(conn, slug)
    if bot_id is None:
        return None
    try:
        stored = await (storage.lock_bot(conn, slug, archived_too=True) if locks else storage.read_bot(conn, bot_id))
    except BotNotFoundError:
        return None  # it was ended while we waited for it
    return await _known(conn, stored)


async def _known(conn: Conn, stored: storage.StoredBot) -> Known:
    snippets = await shelves.snippets_of(conn, stored.id)
    kept = (await golden_sql.list_questions(conn, stored.id, None, MOST_QUESTIONS))[::-1]
    newest = None
    if stored.pinned_version is not None:
        newest = await prompts_sql.find_prompt(conn, stored.id, stored.version)
    state = State(
        stored.slug,
        stored.name,
        stored.settings,
        stored.status,
        stored.system_prompt,
        stored.pinned_version,
        newest_prompt=newest.system_prompt if newest is not None else "",
        returns_as=BotStatus.PAUSED if stored.was_paused else BotStatus.ACTIVE,
        snippets=list(snippets.values()),
        questions=tuple(draft_of(each) for each in kept),
    )
    return Known(stored, state, snippets, manifests.numbered(kept, lambda each: (each.question,)))


async def _begin(conn: Conn, bot_id: BotId, manifest: Manifest, author: str, moment: datetime) -> None:
    """Give a new bot the past that its manifest tells, or its first prompt."""
    versions = manifest.prompt_versions or (
        PromptEntry(version=1, system_prompt=manifest.system_prompt or "", author=author),
    )
    for each in versions:
        by = each.author or author
        await prompts_sql.add_prompt(conn, bot_id, each.version, each.system_prompt, each.note, by, moment)
    await prompts_sql.set_head(conn, bot_id, len(versions), author, moment)


def _snippets(manifest: Manifest, known: Known | None, judged: dict[tuple[str, str], str]) -> list[Shelved]:
    """Return a manifest's snippets as they are to be kept; raises `_ChangedMeanwhileError` where one was not judged."""
    there = manifests.numbered(known.state.snippets, manifests.name_of) if known else {}
    texts = {(each.title, each.body): each.language for each in there.values()}
    wanted = manifests.numbered(manifest.snippets or (), lambda each: (each.title, each.source))
    found = []
    for key, entry in wanted.items():
        was = there.get(key)
        text = (entry.title, entry.body)
        if text not in texts and text not in judged:
            raise _ChangedMeanwhileError
        if entry.language is not None:
            language = entry.language
        elif "detected_language" in entry.model_fields_set:
            language = entry.detected_language or manifests.UNKNOWN
        elif was is not None and was.body == entry.body and not was.language_given:
            language = was.language
        else:
            language = judged.get(text) or texts[text]
        found.append(Shelved(entry.title, entry.body, entry.tags, entry.source, language, entry.language is not None))
    return found


def _check(manifest: Manifest, known: Known | None, state: State) -> None:
    """Raise `ValidationFailedError` for what only who knows the bot can judge."""
    slug = manifest.slug
    if known is None:
        missing = [name for name, value in (("name", state.name), ("system_prompt", state.system_prompt)) if not value]
        if missing:
            raise ValidationFailedError.of(
                [
                    {"path": f"{slug}.{name}", "code": "missing", "message": "is required for a new bot"}
                    for name in missing
                ]
            )
    newest = known.stored.version if known is not None else max(len(manifest.prompt_versions), 1)
    if state.pinned_version is not None and state.pinned_version > newest:
        message = f"must be a version of the prompt, of which the newest is {newest}"
        raise ValidationFailedError.at(f"{slug}.pinned_version", "unknown", message)


def _draft(entry: SnippetEntry) -> SnippetDraft:
    language = entry.language or entry.detected_language
    if language is None and "detected_language" in entry.model_fields_set:
        language = "en"  # any will do: what was detected holds
    return SnippetDraft(title=entry.title, body=entry.body, language=language, allow_secret=entry.allow_secret)


def _placed(refusal: LooksLikeSecretError, slug: str, some: Sequence[Placed]) -> LooksLikeSecretError:
    """Return the refusal with the places that the manifest has."""
    places = []
    for error in refusal.facts["errors"]:
        number, _, member = error["path"].partition(".")
        path = f"{slug}.snippets.{some[int(number)][0]}.{member}"
        places.append((path, error["start"], error["end"], error["message"].removeprefix("looks like ")))
    return LooksLikeSecretError.at(places)


def _in_parts(new: Sequence[Placed]) -> Iterator[list[Placed]]:
    part: list[Placed] = []
    size = 0
    for each in new:
        length = len(each[1].title) + len(each[1].body)
        if part and (size + length > JUDGED_AT_ONCE or len(part) == MOST_JUDGED):
            yield part
            part, size = [], 0
        part.append(each)
        size += length
    if part:
        yield part
