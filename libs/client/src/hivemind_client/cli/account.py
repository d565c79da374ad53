"""`hm setup`, `hm login`, `hm whoami`: who you are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hivemind_client import envfile
from hivemind_client.cli.failures import PARTLY_DONE
from hivemind_client.cli.frame import Hm, command
from hivemind_client.cli.inputs import ask, ask_new_password, secret_from_stdin, stdin_is_terminal
from hivemind_client.cli.refusals import UsageError
from hivemind_client.settings import DEFAULT_URL, env_file, forget_session, keep_session, read_secret, session_file

PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


def register(app: typer.Typer) -> None:
    """Hang these commands into `hm`."""
    command(
        app,
        "setup",
        examples="""
        hm setup
        hm setup --setup-token-file hivemind-data/setup-token
        printf %s "$PASSWORD" | hm setup --username ada --email ada@example.org --password-stdin
        """,
    )(setup)
    command(
        app,
        "login",
        examples="""
        hm login                                    asks for an API key
        hm login --key-stdin < key.txt
        hm --url https://bots.example.org login --email ada@example.org
        printf %s "$PASSWORD" | hm login --email ada@example.org --password-stdin
        """,
    )(login)
    command(
        app,
        "whoami",
        examples="""
        hm whoami
        hm whoami --json | jq .scopes
        """,
    )(whoami)


async def setup(
    hm: Hm,
    username: Annotated[str | None, typer.Option("--username", metavar="NAME", help="Asked for when left out.")] = None,
    email: Annotated[str | None, typer.Option("--email", metavar="ADDRESS", help="Asked for when left out.")] = None,
    password_stdin: PasswordStdin = False,
    setup_token_file: Annotated[
        str | None,
        typer.Option(
            "--setup-token-file",
            metavar="F",
            help="The file setup-token of the server's data folder; needed from afar.",
        ),
    ] = None,
) -> int:
    """Make the first administrator of a new server. Its API key is shown once and kept in your env file."""
    file = env_file(hm.environ)
    url = hm.settings.url
    envfile.ensure_writable(file)  # before the one time that the key is told
    token = None if setup_token_file is None else read_secret(Path(setup_token_file), "the setup token")
    if not stdin_is_terminal() and (username is None or email is None or not password_stdin):
        raise UsageError(
            "without a terminal nothing can be asked",
            hint="give --username, --email and --password-stdin; hm setup --help",
        )
    username = username or ask("User name", _login_name())
    email = email or ask("E-mail address")
    password = secret_from_stdin("Password") if password_stdin else ask_new_password("Password, 12 characters or more")
    async with hm.anonymous() as hivemind:
        admin = await hivemind.register(username, email, password, token)
        url = hivemind.url
    failed: envfile.EnvFileError | None = None
    try:
        envfile.change(file, {"HIVEMIND_URL": url, "HIVEMIND_API_KEY": admin.api_key})
        forget_session(hm.environ)
    except envfile.EnvFileError as error:
        failed = error
    if hm.out.as_json:
        hm.out.document(admin.raw)
    elif hm.out.quiet:
        hm.out.line(admin.api_key)
    else:
        hm.out.line(f"{admin.username} is the administrator of {url}.")
        hm.out.line(f"API key, shown only now: {admin.api_key}")
    if failed is not None:
        # The account is there and its key is on the screen, which is the part that nobody could repeat.
        hm.out.fail(
            f"{failed.message}; the key was not kept", "keep it yourself: hm login --key-stdin", failed.document
        )
        return PARTLY_DONE
    hm.out.note(f"It is kept in {file}.\nNext: hm bot create helpdesk --template customer-support")
    _warn_of_environment(hm)
    return 0


async def login(
    hm: Hm,
    key_stdin: Annotated[bool, typer.Option("--key-stdin", help="Read an API key from standard input.")] = False,
    email: Annotated[
        str | None, typer.Option("--email", metavar="ADDRESS", help="Sign in with a password instead of a key.")
    ] = None,
    password_stdin: PasswordStdin = False,
) -> None:
    """Sign in with an API key or a password. A key is tried, then kept in your env file; the last login holds."""
    if key_stdin and (email is not None or password_stdin):
        raise UsageError(
            "--key-stdin does not go with --email and --password-stdin", hint="sign in with one of the two"
        )
    if password_stdin and email is None:
        raise UsageError("--password-stdin needs --email ADDRESS")
    if not stdin_is_terminal() and not key_stdin and not password_stdin:
        raise UsageError(
            "without a terminal nothing can be asked", hint="give --key-stdin, or --email with --password-stdin"
        )
    if email is None:
        await _login_with_key(hm, secret_from_stdin("API key").strip())
    else:
        await _login_with_password(hm, email, secret_from_stdin("Password"))
    _warn_of_environment(hm)


async def whoami(hm: Hm) -> None:
    """Show who you are to the server. And by which credential, and what you may do."""
    async with hm.client() as hivemind:
        account = await hivemind.whoami()
    if hm.out.as_json:
        hm.out.document(account.raw)
    elif hm.out.quiet:
        hm.out.line(account.username)
    else:
        hm.out.members(
            [
                ("user", account.username),
                ("email", account.email or "-"),
                ("role", account.role or "-"),
                ("by", f"{account.auth.replace('_', ' ')} from {hm.settings.credential_from}"),
                ("may", ", ".join(account.scopes) or "-"),
                ("server", hm.settings.url),
            ]
        )


async def _login_with_key(hm: Hm, key: str) -> None:
    file = env_file(hm.environ)
    envfile.ensure_writable(file)
    async with hm.anonymous(api_key=key) as hivemind:
        account = await hivemind.whoami()
        envfile.change(file, {"HIVEMIND_URL": hivemind.url, "HIVEMIND_API_KEY": key})
    forget_session(hm.environ)
    _tell(hm, account.raw, account.username, account.role or "", f"the key is kept in {file}")


async def _login_with_password(hm: Hm, email: str, password: str) -> None:
    envfile.ensure_writable(session_file(hm.environ))
    async with hm.anonymous() as hivemind:
        session = await hivemind.login(email, password)
        url = hivemind.url
    kept = keep_session(hm.environ, url, session.token, session.expires_at)
    _remember_url(hm, url)
    _tell(hm, session.raw, session.username, session.role, f"the session is kept in {kept} until {session.expires_at}")


def _remember_url(hm: Hm, url: str) -> None:
    # Without --url the next command should find the server of the session. But a key that is kept for another server
    # must not begin to travel to this one, so a file that holds one is left as it is.
    file = env_file(hm.environ)
    kept = envfile.read(file)
    if (kept.get("HIVEMIND_URL") or DEFAULT_URL).rstrip("/") == url:
        return
    if kept.get("HIVEMIND_API_KEY") or kept.get("HIVEMIND_API_KEY_FILE"):
        hm.out.note(f"{file} names another server and its key; give --url {url} each time, or mend that file.")
    else:
        envfile.change(file, {"HIVEMIND_URL": url})


def _tell(hm: Hm, document: dict[str, Any], username: str, role: str, where: str) -> None:
    if hm.out.as_json:
        hm.out.document(document)
    elif hm.out.quiet:
        hm.out.line(username)
    else:
        hm.out.line(f"Signed in to {hm.settings.url} as {username} ({role}); {where}.")


def _warn_of_environment(hm: Hm) -> None:
    for name in ("HIVEMIND_API_KEY", "HIVEMIND_API_KEY_FILE"):
        if hm.environ.get(name):
            hm.out.warn(f"{name} is set in the environment and goes before what was kept now: unset {name}")


def _login_name() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without a name, as containers have them
        return ""
