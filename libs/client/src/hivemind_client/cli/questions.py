"""`hm bot question`: the golden questions that a bot is measured by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hivemind_client.cli.bots import Slug
from hivemind_client.cli.frame import Hm, command, group
from hivemind_client.cli.inputs import confirmed, stdin_is_terminal
from hivemind_client.cli.output import one_line
from hivemind_client.cli.refusals import UsageError

if TYPE_CHECKING:
    from hivemind_client.models import GoldenQuestion

PARTS = ("snippets", "contains", "not_contains", "cites", "refuses")

QuestionId = Annotated[str, typer.Argument(metavar="ID", help="The question, as hm bot question list names it.")]
Snippets = Annotated[
    list[str] | None, typer.Option("--snippet", metavar="TITLE", help="It must cite this snippet; up to 20 times.")
]
Contains = Annotated[
    list[str] | None, typer.Option("--contains", metavar="TEXT", help="The answer must hold this; up to 20 times.")
]
NotContains = Annotated[
    list[str] | None, typer.Option("--not-contains", metavar="TEXT", help="It must not hold this; up to 20 times.")
]
Cites = Annotated[bool | None, typer.Option("--cites/--no-cites", help="Whether it must cite anything.")]
Refuses = Annotated[bool | None, typer.Option("--refuses/--no-refuses", help="Whether the bot must not know.")]


def register(bot: typer.Typer) -> None:
    """Hang these commands into `hm bot`."""
    question = group(
        "The golden questions of a bot: what it is asked to see whether a change made it better or worse.",
        """
        hm bot question add helpdesk "When is my money back?" --snippet Refunds --contains "ten days"
        hm bot question add helpdesk "Who won the cup?" --refuses
        hm bot question list helpdesk
        """,
    )
    bot.add_typer(question, name="question")
    for name, function, examples in (
        (
            "add",
            add,
            """
            hm bot question add helpdesk "When is my money back?" --snippet Refunds
            hm bot question add helpdesk "When is my money back?" --contains "ten days" --not-contains never
            hm bot question add helpdesk "Who won the cup?" --refuses
            """,
        ),
        ("list", list_, "hm bot question list helpdesk\nhm bot question list helpdesk --json | jq '.items[].question'"),
        (
            "edit",
            edit,
            """
            hm bot question edit helpdesk 0192c7f0-… --question "Where is my money?"
            hm bot question edit helpdesk 0192c7f0-… --contains "eight days" --clear snippets
            """,
        ),
        (
            "delete",
            delete,
            "hm bot question delete helpdesk 0192c7f0-…\nhm bot question delete helpdesk 0192c7f0-… --yes",
        ),
    ):
        command(question, name, examples=examples)(function)


async def add(
    hm: Hm,
    *,
    slug: Slug,
    text: Annotated[str, typer.Argument(metavar="QUESTION", help="As somebody would ask the bot.")],
    snippets: Snippets = None,
    contains: Contains = None,
    not_contains: NotContains = None,
    cites: Cites = None,
    refuses: Refuses = None,
) -> None:
    """Keep a question, and what its answer must be."""
    expect = _expected(snippets, contains, not_contains, cites, refuses)
    if not expect:
        raise UsageError("what must the answer be?", hint="give --snippet TITLE, --contains TEXT, --cites or --refuses")
    async with hm.client() as hivemind:
        _tell(hm, await hivemind.add_golden_question(slug, text, expect))


async def list_(hm: Hm, slug: Slug) -> None:
    """List the golden questions of a bot, newest first."""
    async with hm.client() as hivemind:
        found = [each async for each in hivemind.golden_questions(slug)]
    if hm.out.as_json:
        hm.out.items(each.raw for each in found)
    elif hm.out.quiet:
        for each in found:
            hm.out.line(each.id)
    elif found:
        hm.out.table(("ID", "QUESTION", "MUST"), [(each.id, each.question, _must(each)) for each in found])
    else:
        hm.out.note(f'{slug} has none yet: hm bot question add {slug} "QUESTION" --snippet TITLE')


async def edit(
    hm: Hm,
    *,
    slug: Slug,
    question_id: QuestionId,
    text: Annotated[str | None, typer.Option("--question", metavar="TEXT", help="Another wording.")] = None,
    snippets: Snippets = None,
    contains: Contains = None,
    not_contains: NotContains = None,
    cites: Cites = None,
    refuses: Refuses = None,
    clear: Annotated[
        list[str] | None, typer.Option("--clear", metavar="PART", help=f"Expect nothing of it: {', '.join(PARTS)}.")
    ] = None,
) -> None:
    """Change a golden question, and leave the rest of it."""
    for name in clear or []:
        if name not in PARTS:
            raise UsageError(f"--clear {name}: nothing of that name is expected", hint=", ".join(PARTS))
    expect = dict.fromkeys(clear or []) | _expected(snippets, contains, not_contains, cites, refuses)
    changes: dict[str, Any] = {} if text is None else {"question": text}
    if expect:
        changes["expect"] = expect
    if not changes:
        raise UsageError("there is nothing to change", hint="give --question, --snippet, --contains or others")
    async with hm.client() as hivemind:
        _, tag = await hivemind.golden_question(slug, question_id)
        _tell(hm, await hivemind.edit_golden_question(slug, question_id, changes, tag=tag))


async def delete(
    hm: Hm,
    slug: Slug,
    question_id: QuestionId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed without a terminal.")] = False,
) -> None:
    """Forget a golden question."""
    if not yes and not stdin_is_terminal():
        raise UsageError("without a terminal nobody can be asked", hint="add --yes to delete without asking")
    async with hm.client() as hivemind:
        if not yes:
            found, _ = await hivemind.golden_question(slug, question_id)
            if not confirmed(f"Delete {one_line(found.question)!r} of {slug} for good?"):
                raise UsageError("nothing was deleted", hint="answer y, or give --yes")
        await hivemind.delete_golden_question(slug, question_id)
    if hm.out.as_json:
        hm.out.document({"deleted": question_id})
    elif not hm.out.quiet:
        hm.out.line(f"Deleted {question_id}.")


def _expected(
    snippets: list[str] | None,
    contains: list[str] | None,
    not_contains: list[str] | None,
    cites: bool | None,
    refuses: bool | None,
) -> dict[str, Any]:
    given = (snippets or None, contains or None, not_contains or None, cites, refuses)
    return {name: value for name, value in zip(PARTS, given, strict=True) if value is not None}


def _must(found: GoldenQuestion) -> str:
    expect = found.expect
    parts = [
        *(f"cite {title!r}" for title in expect.snippets or ()),
        *(f"hold {words!r}" for words in expect.contains or ()),
        *(f"not hold {words!r}" for words in expect.not_contains or ()),
        *(["cite" if expect.cites else "cite nothing"] if expect.cites is not None else []),
        *(["not know" if expect.refuses else "know"] if expect.refuses is not None else []),
    ]
    return ", ".join(parts) or "-"


def _tell(hm: Hm, found: GoldenQuestion) -> None:
    if hm.out.as_json:
        hm.out.document(found.raw)
    else:
        hm.out.line(found.id if hm.out.quiet else f"{found.id}  {one_line(found.question)}: {_must(found)}")
