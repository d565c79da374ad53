"""`hm bot export` and `hm apply`: bots as files that people keep, review and apply."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hivemind_client.cli.frame import LONG_TIME, Hm, command
from hivemind_client.cli.inputs import text_from
from hivemind_client.cli.refusals import RefusedError, UnreadableFileError, UsageError
from hivemind_client.errors import ApiError

if TYPE_CHECKING:
    from hivemind_client.models import Change

LONGEST = 16 * 1024 * 1024
NAMES = ("*.yaml", "*.yml")
VERBS = {"create": "created", "update": "updated", "archive": "archived"}

Part = tuple[str, int]
"""A file, and the line of the whole in which it begins."""


def register(app: typer.Typer) -> None:
    """Hang `apply` into `hm`."""
    command(
        app,
        "apply",
        examples="""
        hm apply -f bots/ --dry-run                       what would change
        hm apply -f bots/                                 all of it, or nothing
        hm apply -f helpdesk.yaml -f wiki.yaml
        hm apply -f bots/ --prune                         archive the bots that no file names
        hm bot export helpdesk | hm apply -f - --url https://other.example.org
        """,
    )(apply)


async def export(
    hm: Hm,
    *,
    slug: Annotated[str | None, typer.Argument(metavar="[SLUG]", help="The bot.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All bots that are not archived.")] = False,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Into a file; with --all, into a folder.")
    ] = None,
) -> None:
    """Print a bot as YAML: settings, prompts, snippets and golden questions. No secret is in it."""
    if (slug is None) is not every:
        raise UsageError("which bot?", hint="give a SLUG, or --all with --output FOLDER")
    if every and output is None:
        raise UsageError("several bots need a folder", hint="hm bot export --all --output bots/")
    async with hm.client(timeout=LONG_TIME) as hivemind:
        slugs = [bot.slug async for bot in hivemind.bots()] if slug is None else [slug]
        texts = {each: await hivemind.export_bot(each) for each in slugs}
    if output is not None:
        written = [
            _write(Path(output) / f"{each}.yaml" if every else Path(output), text) for each, text in texts.items()
        ]
        if hm.out.as_json:
            hm.out.document({"written": [str(path) for path in written]})
        else:
            for path in written:
                hm.out.line(str(path))
    elif hm.out.as_json:
        hm.out.document({"slug": slug, "yaml": texts[slugs[0]]})
    else:
        hm.out.text(texts[slugs[0]])


async def apply(
    hm: Hm,
    *,
    names: Annotated[
        list[str] | None,
        typer.Option("--file", "-f", metavar="FILE", help="A file, or a folder of *.yaml; - is standard input."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Archive the bots that no document names.")] = False,
) -> None:
    """Make bots what YAML documents say: all of it, or nothing. The same again changes nothing."""
    if not names:
        raise UsageError("which documents?", hint="hm apply -f FILE, or -f FOLDER")
    if names.count("-") > 1:
        raise UsageError("standard input can be read once only")
    text, parts = _joined(names)
    async with hm.client(timeout=LONG_TIME) as hivemind:
        try:
            found = await hivemind.apply(text, dry_run=dry_run, prune=prune)
        except ApiError as error:
            if error.code == "malformed_yaml" and (place := _place(error.message, parts)):
                error.hint = f"that is {place}"
            raise
    if hm.out.as_json:
        hm.out.document(found.raw)
        return
    for change in found.changes:
        _tell(hm, change, dry_run=dry_run)
    if not hm.out.quiet:
        hm.out.line(_summary(found.changes, dry_run=dry_run))


def _tell(hm: Hm, change: Change, *, dry_run: bool) -> None:
    if change.action == "none":
        return
    if hm.out.quiet:
        hm.out.line(change.slug)
        return
    hm.out.line(
        f"{change.action} {change.slug}" if dry_run else f"{VERBS.get(change.action, change.action)} {change.slug}"
    )
    if dry_run:
        hm.out.diff(change.diff)
        hm.out.line()
    if change.action == "archive" and change.conversations:
        many = "its conversation is" if change.conversations == 1 else f"its {change.conversations} conversations are"
        hm.out.warn(f"{change.slug}: {many} kept for 30 days with it; hm bot restore {change.slug} brings it back")


def _summary(changes: list[Change], *, dry_run: bool) -> str:
    counts = {action: sum(change.action == action for change in changes) for action in ("create", "update", "archive")}
    same = sum(change.action == "none" for change in changes)
    done = [f"{count} {f'to {action}' if dry_run else VERBS[action]}" for action, count in counts.items() if count]
    told = ", ".join([*done, *([f"{same} as {'it is' if same == 1 else 'they are'}"] if same else [])])
    if dry_run:
        return f"Plan: {told or 'nothing to do'}. Nothing was changed."
    return f"Done: {told or 'nothing to do'}."


def _joined(names: list[str]) -> tuple[str, list[Part]]:
    """All documents as one text, and where in it each file begins."""
    text, parts = "", []
    for name in names:
        for file in _files(name):
            shown = "standard input" if file == "-" else file
            parts.append((shown, text.count("\n") + 1))
            text += text_from(file, at_most=LONGEST) + "\n---\n"
    if len(text.encode()) > LONGEST:
        raise RefusedError(
            f"all files together have more than {LONGEST // 1024 // 1024} MiB", hint="apply some of them at a time"
        )
    return text.removesuffix("---\n"), parts


def _files(name: str) -> list[str]:
    path = Path(name)
    if name == "-" or not path.is_dir():
        return [name]
    try:
        found = sorted({str(file) for pattern in NAMES for file in path.glob(pattern)})
    except OSError as error:
        raise UnreadableFileError(f"cannot read {name}: {(error.strerror or str(error)).lower()}") from error
    if not found:
        raise UnreadableFileError(f"{name} holds no *.yaml", hint="hm bot export --all --output FOLDER makes some")
    return found


def _place(message: str, parts: list[Part]) -> str:
    found = re.search(r"in line (\d+)", message)
    if found is None or len(parts) < 2:
        return ""
    line = int(found[1])
    name, first = [part for part in parts if part[1] <= line][-1]
    return f"line {line - first + 1} of {name}"


def _write(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UnreadableFileError(
            f"cannot write {path}: {(error.strerror or str(error)).lower()}", hint="give a place that you may write to"
        ) from error
    return path
