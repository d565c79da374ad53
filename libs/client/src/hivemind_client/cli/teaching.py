"""Many files at once: the good ones are in, each bad one is named with its cure, and the exit code says which it was."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hivemind_client.cli.drafts import from_file
from hivemind_client.cli.failures import PARTLY_DONE, exit_code, hint_for
from hivemind_client.cli.frame import Hm
from hivemind_client.cli.refusals import RefusedError, UnreadableFileError, UsageError
from hivemind_client.errors import ApiError, ClientError

if TYPE_CHECKING:
    from hivemind_client.models import Snippet

OF_THE_FILE = frozenset({400, 409, 413, 415, 422})
"""Refusals of one file. Any other would meet every file that follows, so it ends the whole."""

Failed = list[tuple[str, ClientError]]


class NotAllAddedError(ClientError):
    """Some files are not in, perhaps none; `failed` names them."""

    def __init__(self, added: int, failed: Failed) -> None:
        total = added + len(failed)
        super().__init__(
            f"{added or 'none'} of {total} files {'was' if added < 2 else 'were'} added",
            hint="mend the files that are named and add them again, without those that are in" if added else "",
        )
        self.failed = failed
        self.code = "partly_done" if added else failed[0][1].code

    @property
    def document(self) -> dict[str, Any]:
        """The problem document, with a member for each file."""
        failed = [{"file": shown_name(name), "code": e.code, "detail": e.message} for name, e in self.failed]
        return {**super().document, "title": "Not all added", "failed": failed}


async def teach_files(hm: Hm, slug: str, names: list[str], source: str | None, more: Mapping[str, Any]) -> int:
    """Add a snippet for each file, in order, and say what became of each; `more` is what all of them have."""
    added: list[Snippet] = []
    failed: Failed = []
    async with hm.client() as hivemind:
        with _progress(hm, len(names)) as step:
            for position, name in enumerate(names):
                try:
                    draft = from_file(name, source=source)
                    added.append(await hivemind.add_snippet(slug, draft.title, draft.body, source=draft.source, **more))
                except ClientError as error:
                    if not _of_the_file(error):
                        if not added and not failed:
                            raise
                        failed.append((name, error))
                        failed += [(later, ClientError("not tried after that")) for later in names[position + 1 :]]
                        break
                    failed.append((name, error))
                step()
    for name, why in failed:
        _name(hm, name, why)
    if added and hm.out.as_json:
        hm.out.document([snippet.raw for snippet in added])
    elif added:
        for snippet in added:
            tell(hm, snippet)
    if failed:
        verdict = NotAllAddedError(len(added), failed)
        hm.out.fail(verdict.message, verdict.hint, verdict.document)
        return PARTLY_DONE if added else exit_code(failed[0][1])
    hm.out.note(f"{len(added)} snippets added to {slug}.")
    return 0


def tell(hm: Hm, snippet: Snippet) -> None:
    """A line for a snippet that is in."""
    hm.out.line(snippet.id if hm.out.quiet else f"{snippet.id}  {' '.join(snippet.title.split())}")


def shown_name(name: str) -> str:
    """A file's name as people can read it; not every name is UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _of_the_file(error: ClientError) -> bool:
    if isinstance(error, ApiError):
        return error.status in OF_THE_FILE
    return isinstance(error, RefusedError | UnreadableFileError | UsageError)


def _name(hm: Hm, name: str, error: ClientError) -> None:
    shown, hint = shown_name(name), hint_for(error)
    words = error.message if shown in error.message else f"{shown}: {error.message}"
    hm.out.complain(f"{words} ({hint})" if hint else words)


@contextmanager
def _progress(hm: Hm, total: int) -> Iterator[Any]:
    if not hm.out.errors_on_terminal or hm.out.quiet:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("adding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as progress:
        task = progress.add_task("", total=total)
        hm.out.has_progress = True
        yield lambda: progress.advance(task)
    hm.out.has_progress = False
