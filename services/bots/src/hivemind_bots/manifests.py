"""A bot as a document, and the difference between two of them. No I/O."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final

from hivemind_bots.shelves import Shelved
from hivemind_common.contracts.bots import BotSettings, BotStatus
from hivemind_common.contracts.golden_questions import GoldenQuestionDraft
from hivemind_common.contracts.manifests import Manifest, PromptEntry
from hivemind_common.yaml_text import write

UNKNOWN: Final = "und"
CONTEXT: Final = 2
LONGEST_DIFF: Final = 20_000
"""Characters; what comes after that is counted."""


@dataclass(frozen=True)
class State:
    """What a document says of a bot."""

    slug: str
    name: str
    settings: BotSettings
    status: BotStatus
    system_prompt: str
    """The live one."""
    pinned_version: int | None
    newest_prompt: str = ""
    """Where another version is pinned."""
    returns_as: BotStatus = BotStatus.ACTIVE
    """What an archived bot is once it is brought back."""
    versions: tuple[PromptEntry, ...] = ()
    """All that the prompt has had; only an export tells them."""
    snippets: Sequence[Shelved] = ()
    questions: tuple[GoldenQuestionDraft, ...] = field(default=())


def document(state: State) -> Iterator[str]:
    """Write a bot as YAML, in pieces of about one snippet."""
    head = {"slug": state.slug, **_members(state), "system_prompt": state.system_prompt}
    if len(state.versions) > 1 or any(each.note for each in state.versions):
        head["prompt_versions"] = [each.model_dump(mode="json") for each in state.versions]
    yield write(head)
    yield from _list("snippets", [_entry(each) for each in state.snippets])
    yield from _list("golden_questions", [_question(each) for each in state.questions])


def after(manifest: Manifest, before: State | None, snippets: Sequence[Shelved]) -> State:
    """Return what a bot is once a manifest is applied, whose snippets are judged already."""
    sent = manifest.model_fields_set
    was = before or State(manifest.slug, "", BotSettings(), BotStatus.ACTIVE, "", None)
    values = {name: getattr(manifest if name in sent else was.settings, name) for name in BotSettings.model_fields}
    known = snippets if manifest.snippets is not None else was.snippets
    if "knowledge_search_enabled" not in sent and known and not was.snippets:
        values["knowledge_search_enabled"] = True  # as the first snippet does
    prompt = manifest.system_prompt
    if prompt is None:
        prompt = was.system_prompt if before else _newest(manifest)
    pinned = manifest.pinned_version if "pinned_version" in sent else was.pinned_version
    if pinned is not None and pinned == was.pinned_version and prompt == was.newest_prompt:
        prompt = was.system_prompt  # it is saved already, and waits for the pin to go
    status = BotStatus(manifest.status) if manifest.status else was.status
    return State(
        manifest.slug,
        was.name if manifest.name is None else manifest.name,
        BotSettings(**values),
        was.returns_as if status is BotStatus.ARCHIVED else status,
        prompt,
        pinned,
        snippets=known,
        questions=was.questions if manifest.golden_questions is None else manifest.golden_questions,
    )


def _newest(manifest: Manifest) -> str:
    versions = manifest.prompt_versions
    live = manifest.pinned_version or len(versions)
    return versions[live - 1].system_prompt if 0 < live <= len(versions) else ""


def same(before: State, now: State) -> bool:
    """Whether nothing is to be done. The order of snippets and questions is that of their making, and nobody's to change."""
    return (
        _members(before) == _members(now)
        and before.system_prompt == now.system_prompt
        and numbered(before.snippets, name_of) == numbered(now.snippets, name_of)
        and numbered(before.questions, words_of) == numbered(now.questions, words_of)
    )


def name_of(snippet: Shelved) -> tuple[str, str | None]:
    """Return what a snippet is told from others by."""
    return snippet.title, snippet.source


def words_of(question: GoldenQuestionDraft) -> tuple[str]:
    """Return what a golden question is told from others by."""
    return (question.question,)


def diff(before: State | None, now: State | None) -> str:
    """Write what changes, for people: lines with + and -, and with @@ where another part begins."""
    lines: list[str] = []
    left = LONGEST_DIFF
    hidden = 0
    for line in _diff(before, now):
        if left > 0:
            lines.append(line)
            left -= len(line)
        else:
            hidden += 1
    if hidden:
        lines.append(f"@@ and {hidden:,} more lines @@")
    return "".join(f"{line}\n" for line in lines)


def _diff(before: State | None, now: State | None) -> Iterator[str]:
    was, becomes = (_members(each) if each else {} for each in (before, now))
    for name in becomes or was:
        if name not in was or name not in becomes or was[name] != becomes[name]:
            yield from _marked("-", write({name: was[name]}) if name in was else "")
            yield from _marked("+", write({name: becomes[name]}) if name in becomes else "")
    old, new = (each.system_prompt if each else "" for each in (before, now))
    yield from _text_diff("system_prompt", old, new)
    yield from _lists_diff("snippet", _titled(before), _titled(now))
    yield from _lists_diff("golden question", _asked(before), _asked(now))


def _lists_diff(what: str, was: Mapping[Any, str], becomes: Mapping[Any, str]) -> Iterator[str]:
    for key in {**was, **becomes}:
        yield from _text_diff(f'{what} "{key[0]}"', was.get(key, ""), becomes.get(key, ""))


def _text_diff(what: str, old: str, new: str) -> Iterator[str]:
    if old == new:
        return
    yield f"@@ {what} @@"
    if not old or not new:
        yield from _marked("-", old)
        yield from _marked("+", new)
        return
    found = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=CONTEXT)
    # Without the names of files, which there are none, and the numbers of lines.
    yield from (line for line in islice(found, 2, None) if not line.startswith("@@"))


def _marked(mark: str, text: str) -> Iterator[str]:
    yield from (f"{mark}{line}" for line in text.splitlines())


def _members(state: State) -> dict[str, Any]:
    told = state.settings.model_dump(mode="json")
    return {
        "name": state.name,
        "description": told.pop("description"),
        "tier": told.pop("tier"),
        "status": str(state.status),
        **told,
        "pinned_version": state.pinned_version,
    }


def _titled(state: State | None) -> dict[Any, str]:
    keyed = numbered(state.snippets, name_of) if state else {}
    return {key: write(_entry(each)) for key, each in keyed.items()}


def _asked(state: State | None) -> dict[Any, str]:
    keyed = numbered(state.questions, words_of) if state else {}
    return {key: write(_question(each)) for key, each in keyed.items()}


def numbered(things: Iterable[Any], key_of: Callable[[Any], tuple[Any, ...]]) -> dict[Any, Any]:
    """Return things by what they are called, and a number where several are called the same."""
    found: dict[Any, Any] = {}
    seen: dict[Any, int] = {}
    for each in things:
        key = key_of(each)
        seen[key] = seen.get(key, 0) + 1
        found[*key, seen[key]] = each
    return found


def _entry(snippet: Shelved) -> dict[str, Any]:
    language = None if snippet.language == UNKNOWN else snippet.language
    told = {
        "title": snippet.title,
        "body": snippet.body,
        "tags": list(snippet.tags),
        "source": snippet.source,
        "language" if snippet.language_given else "detected_language": language,
    }
    return {name: value for name, value in told.items() if value or name == "detected_language"}


def _question(question: GoldenQuestionDraft) -> dict[str, Any]:
    return {"question": question.question, "expect": question.expect.model_dump(mode="json", exclude_none=True)}


def _list(name: str, items: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield f"{name}:\n" if items else f"{name}: []\n"
    yield from (write([item]) for item in items)


def with_versions(state: State, versions: Iterable[PromptEntry]) -> State:
    """Return the same bot with its past."""
    return replace(state, versions=tuple(versions))
