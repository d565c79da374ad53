"""What the API takes, as far as this client sends it: each wrong member is refused at its place, all of them at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NoReturn

from hivemind_client.testing.answers import Refusal

Fault = tuple[str, str, str]
"""Where, which and in words: `tags.0`, `too_long`, "must be at most 40 characters long"."""

Rule = Callable[[str, Any], Iterator[Fault]]


def text(least: int = 0, most: int = 10**6, *, form: str = "", blank: bool = True) -> Rule:
    """A string of so many characters; `form` is a pattern for all of it."""

    def judge(path: str, value: Any) -> Iterator[Fault]:
        if not isinstance(value, str):
            yield path, "wrong_type", "must be a string"
        elif len(value) < least:
            yield path, "too_short", "must not be empty" if least == 1 else f"must be at least {least} characters long"
        elif len(value) > most:
            yield path, "too_long", f"must be at most {most} characters long"
        elif form and not re.fullmatch(form, value):
            yield path, "malformed", "has characters or a form that are not allowed here"
        elif not blank and not value.strip():
            yield path, "blank", "must not be blank"

    return judge


def trimmed(least: int, most: int) -> Rule:
    """A string that counts without blanks around it."""
    rule = text(least, most)
    return lambda path, value: rule(path, value.strip() if isinstance(value, str) else value)


def one_of(*names: str) -> Rule:
    """One of these."""

    def judge(path: str, value: Any) -> Iterator[Fault]:
        if value not in names:
            yield path, "unknown", f"must be one of {', '.join(names)}"

    return judge


def number(least: int, most: int) -> Rule:
    """A whole number in a query."""

    def judge(path: str, value: Any) -> Iterator[Fault]:
        if not re.fullmatch("-?(0|[1-9][0-9]*)", value):
            yield path, "wrong_type", "must be a whole number"
        elif int(value) < least:
            yield path, "too_small", f"must be at least {least}"
        elif int(value) > most:
            yield path, "too_large", f"must be at most {most}"

    return judge


def several(rule: Rule, most: int) -> Rule:
    """A list of these."""

    def judge(path: str, value: Any) -> Iterator[Fault]:
        if not isinstance(value, list):
            yield path, "wrong_type", "must be a list"
        elif len(value) > most:
            yield path, "too_long", f"must have at most {most} entries"
        else:
            for place, each in enumerate(value):
                yield from rule(f"{path}.{place}", each)

    return judge


def anything(path: str, value: Any) -> Iterator[Fault]:  # noqa: ARG001  # the signature is that of every rule
    """Whatever it is; only the door itself judges it."""
    return iter(())


def read_only(path: str, value: Any) -> Iterator[Fault]:  # noqa: ARG001  # the signature is that of every rule
    """What is shown and cannot be changed."""
    yield path, "read_only", "cannot be changed"


def perhaps(rule: Rule) -> Rule:
    """This or null."""
    return lambda path, value: iter(()) if value is None else rule(path, value)


def slug(path: str, value: Any) -> Iterator[Fault]:
    """The name of a bot in paths."""
    if not isinstance(value, str):
        yield path, "wrong_type", "must be a string"
    elif not 3 <= len(value) <= 32:
        yield path, "too_short" if len(value) < 3 else "too_long", "must be 3 to 32 characters"
    elif not re.fullmatch("[a-z0-9-]+", value):
        yield path, "malformed", "may hold only lowercase letters a-z, digits and hyphens"
    elif value[0] == "-" or value[-1] == "-":
        yield path, "malformed", "must start and end with a letter or digit"
    elif value == "new":
        yield path, "reserved", "is reserved; choose another"


ID = text(form="[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SECRET = text(1, 1_024)
PASSWORD = text(12, 256)
TOTP = text(0, 16)
USERNAME = text(form="[A-Za-z0-9][A-Za-z0-9._-]{1,63}")
EMAIL = text(0, 254, form=r"[^@\s]+@[^@\s]+")

SETTINGS: dict[str, Any] = {
    "fallbacks": [],
    "max_output_tokens": 1024,
    "temperature": None,
    "cost_cap_day_micro_usd": 5_000_000,
    "cost_cap_month_micro_usd": 50_000_000,
    "rate_limit_per_minute": 60,
    "user_rate_limit_per_minute": 20,
    "grounding": "grounded",
    "strictness": "normal",
    "knowledge_search_enabled": False,
    "channel_reply_mode": "dm_only",
    "allowed_users": [],
    "allowed_origins": [],
    "allow_hosted_provider": False,
    "retention_days": 90,
}
"""What a bot has beside what this client sets."""

REGISTER = {"username": USERNAME, "email": EMAIL, "password": PASSWORD, "setup_token": perhaps(text(0, 1_024))}
LOGIN = {"email": text(1, 254), "password": SECRET, "totp": perhaps(TOTP)}
NEW_PASSWORD = {"password": PASSWORD, "current_password": SECRET}
BOT = {
    "slug": slug,
    "template": perhaps(text(0, 80)),
    "name": perhaps(trimmed(1, 80)),
    "system_prompt": perhaps(text(1, 32_000, blank=False)),
    "description": text(0, 500),
    "tier": one_of("public", "internal", "restricted"),
    "provider": perhaps(text(form="[a-z0-9][a-z0-9-]{1,30}[a-z0-9]")),
    "model": perhaps(text(1, 200)),
    **dict.fromkeys(SETTINGS, anything),
}
SNIPPET = {
    "title": trimmed(1, 200),
    "body": text(1, 20_000, blank=False),
    "tags": several(text(1, 40), 20),
    "source": perhaps(text(1, 500)),
    "language": perhaps(one_of("da", "de", "en", "es", "fi", "fr", "it", "nl", "no", "pt", "ru", "sv")),
    "allow_secret": perhaps(text(1, 200, blank=False)),
}
EDIT = {
    "title": SNIPPET["title"],
    "body": SNIPPET["body"],
    "tags": perhaps(SNIPPET["tags"]),
    **{name: SNIPPET[name] for name in ("source", "language", "allow_secret")},
    **dict.fromkeys(("id", "created_at", "updated_at"), read_only),
}
TAG = {"tag": text(1, 40)}
CHAT = {"message": text(1, 8_000, blank=False), "conversation_id": perhaps(ID)}
PAGE = {"limit": number(1, 200), "cursor": text()}
BOTS = {**PAGE, "status": one_of("active", "paused", "archived"), "tier": one_of("public", "internal", "restricted")}
SEARCH = {"q": text(1, 1_000), "limit": number(1, 50)}


def checked(value: Any, form: Mapping[str, Rule], *, needs: Collection[str] = (), prefix: str = "") -> dict[str, Any]:
    """The members, when all of them are right; else the refusal that names each."""
    if not isinstance(value, dict):
        refuse([("", "wrong_type", "must be an object")])
    faults: list[Fault] = []
    for name, rule in form.items():
        if name in value:
            faults += rule(prefix + name, value[name])
        elif name in needs:
            faults.append((prefix + name, "missing", "is required"))
    faults += [(prefix + name, "unknown_member", "is not known here") for name in value if name not in form]
    if faults:
        refuse(faults)
    return dict(value)


def refuse(faults: list[Fault], kind: str = "validation_failed") -> NoReturn:
    """Refuse with these; the first one is the headline."""
    path, _, message = faults[0]
    raise Refusal(
        422,
        kind,
        f"{path}: {message}" if path else message,
        errors=[{"path": path, "code": code, "message": message} for path, code, message in faults],
    )
