"""The whole of `hm`: its commands put together, one of them run, and what it comes to."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress

import typer

from hivemind_client.cli import account, bot, chat, completion, knowledge, manifests, server, sessions, templates
from hivemind_client.cli.failures import exit_code, hint_for
from hivemind_client.cli.frame import Flags, Hm, group
from hivemind_client.cli.output import Output
from hivemind_client.cli.refusals import UsageError
from hivemind_client.errors import ClientError

PLAIN_FLAGS = ("--json", "--quiet", "-q", "--no-color")

FRONT_PAGE = """
hm setup                                               make the first administrator, keep its key
hm bot create helpdesk --template customer-support     mint a bot; hm template list shows the others
hm bot fill helpdesk                                   say what its template leaves open
hm knowledge add helpdesk faq/*.md                     teach it, a snippet for each file
hm knowledge search helpdesk "refund"                  see what it would find
hm chat helpdesk "How long do refunds take?"           ask it, or talk to it: hm chat helpdesk
hm bot edit helpdesk                                   its prompt, in $EDITOR: live with the next answer
hm bot export --all -o bots/ && hm apply -f bots/      keep bots as files
hm bot list --json | jq -r '.items[].slug'             everything works in scripts
\f
Settings, the first that is set:
  1. --url
  2. the environment: HIVEMIND_URL, HIVEMIND_API_KEY or HIVEMIND_API_KEY_FILE
  3. ~/.config/hivemind/env, lines of KEY=value, written by hm setup and hm login
  4. http://127.0.0.1:8585
A key is never an argument: hm login --key-stdin.

Exit codes:
  0 done         1 refused        2 usage               3 not configured    4 not allowed (401, 403)
  5 unreachable  6 does not fit   7 a limit (402, 429)  8 server error      9 not found
  10 a check failed               11 partly done
"""


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; only a bug of our own shows a traceback."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal that cannot show a letter is no reason to fail; in JSON the replacement means the same letter.
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except BrokenPipeError:
        return _hang_up()
    except OSError as error:
        _output(arguments).fail(
            f"input or output failed: {(error.strerror or str(error)).lower()}", "", {"code": "output"}
        )
        return 1


def _run(arguments: list[str]) -> int:
    out = _output(arguments)
    try:
        if [argument for argument in arguments if argument not in PLAIN_FLAGS] in (["version"], ["--version"]):
            # Parsed here: typer would load pydantic to judge the flags that nobody gave, which takes longer than all else.
            server.version(Hm(Flags("--json" in arguments, quiet=bool({"-q", "--quiet"} & set(arguments)))))
            return 0
        result = typer.main.get_command(application()).main(args=arguments, prog_name="hm", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except ClientError as error:
        out.fail(error.message, hint_for(error), error.document)
        return exit_code(error)
    except (KeyboardInterrupt, typer.Abort):
        out.say("")
        return 130
    except SystemExit:
        return _hang_up()  # typer's own answer to a closed pipe; it raises it for nothing else
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001  # the last resort: a bug of ours still ends in one line that says so
        if (usage := _usage_error(error)) is not None:
            out.fail(usage.message, usage.hint, usage.document)
            return 2
        out.say(traceback.format_exc())
        bug = ClientError(
            f"hm failed on a bug of its own: {type(error).__name__}", hint="please report the lines above"
        )
        out.fail(bug.message, bug.hint, bug.document)
        return 1


def application() -> typer.Typer:
    """All commands, put together."""
    app = group("hm: a Hivemind server, its bots and what they know, from a terminal or a script.", FRONT_PAGE)
    for module in (account, templates, bot, manifests, knowledge, chat, sessions, server, completion):
        module.register(app)
    return app


def _usage_error(error: Exception) -> UsageError | None:
    # Typer's own words for a wrong command line. The class lives at a different place from version to version.
    if getattr(error, "exit_code", None) != 2 or not hasattr(error, "format_message"):
        return None
    message = str(error.format_message()).replace("\n", " ").strip()
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", "hm")
    return UsageError(message[:1].lower() + message[1:].rstrip("."), hint=f"{path} --help shows how, with examples")


def _output(arguments: list[str]) -> Output:
    # Wrong command lines are told in JSON too, and of those nobody has parsed the flags.
    before_dashes = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return Output(as_json="--json" in before_dashes, color="--no-color" not in before_dashes)


def _hang_up() -> int:
    # The reader has enough, as in `hm bot list | head -1`. Python flushes once more at its end, so that must not fail.
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
