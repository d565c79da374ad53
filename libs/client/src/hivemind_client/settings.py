"""Where the server is and who is asking: flag, environment, file, default; the first that is set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hivemind_client import envfile
from hivemind_client.errors import ClientError

DEFAULT_URL = "http://127.0.0.1:8585"
LONGEST_SECRET = 4096


class SettingsError(ClientError):
    """What is configured cannot be used, or nothing is."""

    code = "not_configured"


@dataclass(frozen=True)
class Settings:
    """What a command needs to know before it asks. At most one of key and session is set."""

    url: str
    url_from: str
    """`--url`, `HIVEMIND_URL`, a file's name, or empty for the default."""
    api_key: str | None = field(default=None, repr=False)
    session: str | None = field(default=None, repr=False)
    credential_from: str = ""
    warnings: tuple[str, ...] = ()


def env_file(environ: Mapping[str, str]) -> Path:
    """The workstation file. A relative XDG_CONFIG_HOME counts as none, as its own rules say."""
    base = environ.get("XDG_CONFIG_HOME", "")
    folder = Path(base) if base.startswith("/") else Path("~/.config").expanduser()
    return folder / "hivemind" / "env"


def session_file(environ: Mapping[str, str]) -> Path:
    """Where a sign-in by password is kept, together with the server that it belongs to."""
    return env_file(environ).with_name("session")


def resolve(environ: Mapping[str, str], url_flag: str | None = None) -> Settings:
    """Put the layers together, or SettingsError: two that disagree, an unreadable file, a malformed line.

    Of credentials, one in the environment goes first, then a session for this very URL, then the key of the file:
    so the last `hm login` holds, and a session never travels to another server.
    """
    path = env_file(environ)
    filed = envfile.read(path)
    warnings = [
        f"{p} can be read by others on this machine: chmod 600 {p}"
        for p in (path, session_file(environ))
        if envfile.readable_by_others(p)
    ]
    url, url_from = DEFAULT_URL, ""
    for value, source in (
        (url_flag, "--url"),
        (environ.get("HIVEMIND_URL"), "HIVEMIND_URL"),
        (filed.get("HIVEMIND_URL"), str(path)),
    ):
        if value:
            url, url_from = value, source
            break
    source, session = "the environment", None
    key = _key_of(environ, source)
    if key is None and (session := _session_for(url, environ)):
        source = str(session_file(environ))
    elif key is None:
        source = str(path)
        key = _key_of(filed, source)
    return Settings(url, url_from, key, session, source if key or session else "", tuple(warnings))


def session_kept(environ: Mapping[str, str]) -> Settings | None:
    """The sign-in by password that is kept, with its own server, whatever else is set; None when there is none."""
    path = session_file(environ)
    kept = envfile.read(path)
    token = kept.get("HIVEMIND_SESSION")
    return Settings(kept.get("HIVEMIND_URL", ""), str(path), None, token, str(path)) if token else None


def keep_session(environ: Mapping[str, str], url: str, token: str, expires_at: str) -> Path:
    """Remember a sign-in, 0600."""
    path = session_file(environ)
    envfile.change(path, {"HIVEMIND_URL": url, "HIVEMIND_SESSION": token, "HIVEMIND_SESSION_EXPIRES_AT": expires_at})
    return path


def forget_session(environ: Mapping[str, str]) -> None:
    """Remove the sign-in by password that is kept: it has ended, or a sign-in by key came after it."""
    try:
        session_file(environ).unlink(missing_ok=True)
    except OSError as error:
        raise SettingsError(f"cannot remove {session_file(environ)}: {error.strerror}") from error


def read_secret(path: Path, what: str) -> str:
    """A secret out of a file of its own, without the line break at its end."""
    try:
        with path.open("rb") as file:
            raw = file.read(LONGEST_SECRET + 1)
    except OSError as error:
        raise SettingsError(
            f"cannot read {what} {path}: {(error.strerror or str(error)).lower()}",
            hint="give the name of a file that you may read",
        ) from error
    secret = raw.decode("utf-8", "replace").strip()
    if not secret or len(raw) > LONGEST_SECRET:
        raise SettingsError(f"{what} {path} holds no secret", hint="it holds the secret and nothing else")
    return secret


def _session_for(url: str, environ: Mapping[str, str]) -> str | None:
    kept = envfile.read(session_file(environ))
    return kept.get("HIVEMIND_SESSION") if kept.get("HIVEMIND_URL") == url.rstrip("/") else None


def _key_of(layer: Mapping[str, str], source: str) -> str | None:
    key, file = layer.get("HIVEMIND_API_KEY"), layer.get("HIVEMIND_API_KEY_FILE")
    if key and file:
        raise SettingsError(
            f"both HIVEMIND_API_KEY and HIVEMIND_API_KEY_FILE are set in {source}", hint="set one of the two"
        )
    if file:
        return read_secret(Path(file), "HIVEMIND_API_KEY_FILE")
    return key or None
