"""`hm bot`: its commands put together."""

from __future__ import annotations

import typer

from hivemind_client.cli import bot_editing, bots, filling, lifecycle, manifests, prompts, questions
from hivemind_client.cli.frame import command, group


def register(app: typer.Typer) -> None:
    """Hang these commands into `hm`."""
    bot = group(
        "Mint bots, look at them, change them, and end them.",
        """
        hm bot create helpdesk --template customer-support
        hm bot fill helpdesk
        hm bot edit helpdesk --tier public --set rate_limit_per_minute=30
        hm bot prompt helpdesk --versions
        hm bot export helpdesk > helpdesk.yaml
        """,
    )
    app.add_typer(bot, name="bot")
    for name, function, examples in (
        (
            "create",
            bots.create,
            """
            hm bot create helpdesk --template customer-support
            hm bot create helpdesk --template customer-support --name "Help desk" --tier internal
            hm bot create wiki --name Wiki --prompt-file prompt.txt
            cat prompt.txt | hm bot create wiki --name Wiki --prompt-file -
            """,
        ),
        (
            "list",
            bots.list_,
            """
            hm bot list
            hm bot list --status archived
            hm bot list --json | jq -r '.items[].slug'
            """,
        ),
        ("show", bots.show, "hm bot show helpdesk\nhm bot show helpdesk --json | jq .readiness"),
        (
            "fill",
            filling.fill,
            """
            hm bot fill helpdesk                              each placeholder is asked for
            hm bot fill helpdesk company="Acme Ltd" support_email=help@example.org
            """,
        ),
        (
            "edit",
            bot_editing.edit,
            """
            hm bot edit helpdesk                              its prompt, in $EDITOR
            hm bot edit helpdesk --prompt-file prompt.txt --note "shorter answers"
            hm bot edit helpdesk --name "Help desk" --tier public
            hm bot edit helpdesk --set channel_reply_mode=both --set retention_days=30
            hm bot edit helpdesk --set temperature=null
            """,
        ),
        (
            "prompt",
            prompts.prompt,
            """
            hm bot prompt helpdesk > prompt.txt
            hm bot prompt helpdesk --versions
            hm bot prompt helpdesk --diff 1 3
            hm bot prompt helpdesk --restore 1
            hm bot prompt helpdesk --pin 2
            """,
        ),
        ("pause", lifecycle.pause, "hm bot pause helpdesk"),
        ("resume", lifecycle.resume, "hm bot resume helpdesk"),
        (
            "clone",
            lifecycle.clone,
            'hm bot clone helpdesk helpdesk-2\nhm bot clone helpdesk helpdesk-2 --name "Help desk, second try"',
        ),
        (
            "delete",
            lifecycle.delete,
            """
            hm bot delete helpdesk                            archived for 30 days
            hm bot delete helpdesk --yes
            hm bot delete helpdesk --purge                    for good
            """,
        ),
        ("restore", lifecycle.restore, "hm bot list --status archived\nhm bot restore helpdesk"),
        (
            "export",
            manifests.export,
            """
            hm bot export helpdesk > helpdesk.yaml
            hm bot export --all --output bots/
            """,
        ),
    ):
        command(bot, name, examples=examples)(function)
    questions.register(bot)
