"""`hm logout`, `hm passwd`, `hm session`: ending what was opened, and the password that opens it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hivemind_client.cli.failures import PARTLY_DONE
from hivemind_client.cli.frame import Hm, command, group
from hivemind_client.cli.inputs import ask_new_password, ask_secret, stdin_is_terminal, two_secrets_from_stdin
from hivemind_client.cli.refusals import UsageError
from hivemind_client.errors import ApiError, ClientError
from hivemind_client.settings import forget_session, session_file, session_kept

if TYPE_CHECKING:
    from hivemind_client.client import HivemindClient


def register(app: typer.Typer) -> None:
    """Hang these commands into `hm`."""
    command(
        app,
        "logout",
        examples="""
        hm logout
        hm logout --json
        """,
    )(logout)
    command(
        app,
        "passwd",
        examples="""
        hm passwd                                   asks for the current password, and twice for the new one
        printf "%s\\n" "$OLD" "$NEW" | hm passwd --password-stdin
        """,
    )(passwd)
    session = group(
        "See where you are signed in, and end what should not be.",
        """
        hm session list
        hm session revoke 0192c7f0-…
        hm session revoke --all-others
        """,
    )
    app.add_typer(session, name="session")
    command(
        session,
        "list",
        examples="""
        hm session list
        hm session list --json | jq -r '.items[] | select(.current | not) | .id'
        """,
    )(list_)
    command(
        session,
        "revoke",
        examples="""
        hm session revoke 0192c7f0-…
        hm session revoke --all-others
        """,
    )(revoke)


async def logout(hm: Hm) -> int:
    """End the session of hm login --email and forget it. Keys stay; a server that does not answer is exit code 11."""
    kept = session_kept(hm.environ)
    if kept is None:
        _tell_logout(hm, None, "No session is kept; there is nothing to sign out of.")
        return 0
    if hm.flags.url is not None and hm.flags.url.rstrip("/") != kept.url:
        raise UsageError(f"the session that is kept belongs to {kept.url}", hint="leave --url out: hm logout")
    file = session_file(hm.environ)
    try:
        async with hm.asking(kept) as hivemind:
            await hivemind.logout()
    except ClientError as error:
        # Whoever signs out wants it gone from this machine first of all; there it ends by itself.
        forget_session(hm.environ)
        hm.out.fail(
            f"{error.message}; {file} is removed, but the session may go on there until it ends by itself",
            "sign in again, then hm session revoke --all-others ends it",
            error.document,
        )
        return PARTLY_DONE
    forget_session(hm.environ)
    _tell_logout(hm, kept.url, f"Signed out of {kept.url}: the session has ended, and {file} is removed.")
    return 0


async def passwd(
    hm: Hm,
    password_stdin: Annotated[
        bool,
        typer.Option("--password-stdin", help="Read the current and the new one from standard input, a line each."),
    ] = False,
) -> None:
    """Change your password. All your other sessions end; keys stay."""
    if not stdin_is_terminal() and not password_stdin:
        raise UsageError("without a terminal nothing can be asked", hint="give --password-stdin; hm passwd --help")
    async with hm.client() as hivemind:
        if stdin_is_terminal():
            current, new = ask_secret("Current password"), ask_new_password("New password, 12 characters or more")
        else:
            current, new = two_secrets_from_stdin("current and the new password")
        account = await hivemind.change_password(current, new)
    if hm.out.as_json:
        hm.out.document(account.raw)
    elif hm.out.quiet:
        hm.out.line(account.username)
    else:
        hm.out.line(f"The password of {account.username} is changed; all other sessions have ended.")


async def list_(hm: Hm) -> None:
    """List where you are signed in, newest first."""
    async with hm.client() as hivemind:
        sessions = await hivemind.sessions()
    if hm.out.as_json:
        hm.out.items(session.raw for session in sessions)
    elif hm.out.quiet:
        for session in sessions:
            hm.out.line(session.id)
    elif sessions:
        rows = [
            (s.id, "yes" if s.current else "-", s.last_seen_at, s.created_at, s.address or "-", s.user_agent or "-")
            for s in sessions
        ]
        hm.out.table(("ID", "THIS ONE", "LAST USED", "SIGNED IN", "ADDRESS", "PROGRAM"), rows)
    else:
        hm.out.note("You are signed in nowhere by password.")


async def revoke(
    hm: Hm,
    session_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The session, as hm session list names it.")
    ] = None,
    all_others: Annotated[
        bool,
        typer.Option("--all-others", help="All but the one that hm asks with; with a key, all."),
    ] = False,
) -> None:
    """End a session, or all but this one. It holds at once; what was signed in there has to sign in again."""
    if (session_id is None) is not all_others:
        raise UsageError("say which session to end", hint="give an ID, or --all-others; hm session list shows them")
    async with hm.client() as hivemind:
        if session_id is not None:
            await hivemind.revoke_session(session_id)
            ended = [session_id]
        else:
            ended = await _revoke_others(hivemind)
    if hm.out.as_json:
        hm.out.document({"deleted": session_id if session_id is not None else ended})
    elif hm.out.quiet:
        for each in ended:
            hm.out.line(each)
    else:
        hm.out.line(f"Ended {ended[0]}." if session_id is not None else f"Ended {len(ended)} other sessions.")


async def _revoke_others(hivemind: HivemindClient) -> list[str]:
    ended = []
    for session in [session for session in await hivemind.sessions() if not session.current]:
        try:
            await hivemind.revoke_session(session.id)
        except ApiError as error:
            if error.status != 404:  # it has ended meanwhile, which is what was wanted
                raise
        ended.append(session.id)
    return ended


def _tell_logout(hm: Hm, url: str | None, words: str) -> None:
    if hm.out.as_json:
        hm.out.document({"signed_out_of": url})
    elif not hm.out.quiet:
        hm.out.line(words)
