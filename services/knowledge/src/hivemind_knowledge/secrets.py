"""Text that looks like a secret: what bots know is told to whoever asks them. No I/O: a text in, places out.

Two kinds of signs. A token of a known service says itself what it is, by its prefix and length. Any other is known by what
it is called: a value that no dictionary has, right behind a word such as password, in the languages of the snippets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MOST_FOUND: Final = 20
"""Places that are named at once."""


@dataclass(frozen=True)
class Found:
    """A place: its first character, the one behind its last, and what it looks like."""

    start: int
    end: int
    kind: str


_EDGE: Final = r"(?<![A-Za-z0-9_-])"
_END: Final = r"(?![A-Za-z0-9_-])"
_BASE64: Final = r"[A-Za-z0-9+/]"
_URL64: Final = r"[A-Za-z0-9_-]"

FORMATS: Final = tuple(
    (kind, re.compile(form))
    for kind, form in (
        (
            "a private key",
            r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:[^-]{0,20000}-----END [A-Z0-9 ]{0,40}-----)?",
        ),
        ("a key of this server", rf"{_EDGE}hm_[A-Za-z0-9_]{{32,64}}{_END}"),
        ("an OpenAI key", rf"{_EDGE}sk-(?:proj-|svcacct-|admin-)?{_URL64}{{20,200}}T3BlbkFJ{_URL64}{{20,200}}"),
        ("an Anthropic key", rf"{_EDGE}sk-ant-[a-z0-9]{{3,10}}-{_URL64}{{60,160}}"),
        ("an API key", rf"{_EDGE}(?:sk|pk)-(?:[a-z]{{2,8}}-)?[A-Za-z0-9]{{32,64}}{_END}"),
        (
            "a GitHub token",
            rf"{_EDGE}(?:gh[pousr]_[A-Za-z0-9]{{36,255}}|github_pat_[A-Za-z0-9]{{22}}_[A-Za-z0-9]{{59}}){_END}",
        ),
        ("a GitLab token", rf"{_EDGE}gl(?:pat|dt|rt|ptt|soat|agent)-{_URL64}{{20,60}}"),
        ("a Slack token", rf"{_EDGE}xox[abeoprs]-[A-Za-z0-9-]{{20,200}}"),
        ("a Slack webhook", r"https://hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/]{30,120}"),
        ("an AWS access key", rf"{_EDGE}(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{{16}}{_END}"),
        ("a Google API key", rf"{_EDGE}AIza{_URL64}{{35}}{_END}"),
        ("a Google client secret", rf"{_EDGE}GOCSPX-{_URL64}{{28}}{_END}"),
        ("a Stripe key", rf"{_EDGE}(?:sk|rk|whsec)_(?:live_|test_)?[A-Za-z0-9]{{24,99}}{_END}"),
        ("a Telegram token", rf"{_EDGE}[0-9]{{8,10}}:AA{_URL64}{{33}}{_END}"),
        ("an npm token", rf"{_EDGE}npm_[A-Za-z0-9]{{36}}{_END}"),
        ("a PyPI token", rf"{_EDGE}pypi-AgE{_URL64}{{50,400}}"),
        ("a Hugging Face token", rf"{_EDGE}hf_[A-Za-z0-9]{{34}}{_END}"),
        ("a SendGrid key", rf"{_EDGE}SG\.{_URL64}{{22}}\.{_URL64}{{43}}{_END}"),
        ("a Twilio key", rf"{_EDGE}(?:SK|AC)[0-9a-f]{{32}}{_END}"),
        ("a Discord token", rf"{_EDGE}[MNO]{_URL64}{{23,28}}\.{_URL64}{{6}}\.{_URL64}{{27,40}}{_END}"),
        ("a DigitalOcean token", rf"{_EDGE}do[opr]_v1_[0-9a-f]{{64}}{_END}"),
        ("a JSON Web Token", rf"{_EDGE}eyJ{_URL64}{{10,2000}}\.eyJ{_URL64}{{5,4000}}\.{_URL64}{{20,1000}}"),
        ("an age key", r"AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}"),
        ("a storage key", rf"(?<=AccountKey=){_BASE64}{{60,100}}={{0,2}}"),
        ("a password in an address", r"(?<=://)[^\s/:@'\"]{0,100}:(?P<value>[^\s/@'\"]{3,200})@(?=[A-Za-z0-9\[])"),
        (
            "a credential",
            rf"(?i:authorization)[\"']?\s*[:=]\s*[\"']?(?i:basic)\s+(?P<value>{_BASE64}{{8,400}}={{0,2}})",
        ),
        ("a credential", r"(?i:bearer)\s+(?P<value>[A-Za-z0-9._~+/-]{20,2000}={0,2})"),
    )
)
"""Known formats, each with an upper bound, so that no text takes long. `value` is the secret, else the whole is."""

_CALLED: Final = (
    r"pass ?words?|passwd|passphrase|pwd|secret|token|credentials?|pin code"
    r"|api[ _-]?keys?|access[ _-]?keys?|private[ _-]?keys?|secret[ _-]?keys?|encryption[ _-]?keys?|signing[ _-]?keys?"
    r"|passwort|kennwort|zugangscode|schlüssel|mot de passe|clé secrète|contraseña|clave|senha|palavra-passe"
    r"|parola d'ordine|wachtwoord|adgangskode|lösenord|passord|salasana|пароль|パスワード|密码|密碼|비밀번호"
)
_NAMED: Final = re.compile(
    rf"(?i:(?:{_CALLED}))(?:\s*\([^()\n]{{0,40}}\))?[\"'`*]{{0,3}}"
    r"\s*(?:[:=：]|=>|:=|\b(?i:is|was|ist|lautet|est|es|è|é|on|är|er)\b)\s*[\"'`*]{0,3}"
    r"(?P<value>[^\s\"'`,;()<>\[\]{}]{8,200})(?P<after>[(\[]?)"
)
_SETTING: Final = re.compile(
    rf"(?:^|[\s\"'])[A-Z][A-Z0-9_]{{1,60}}_(?:KEY|SALT|SEED|PASS)\s*=\s*[\"']?(?P<value>{_BASE64}{{16,200}}={{0,2}})"
)
_STANDS_FOR: Final = re.compile(
    r"^[$%<{*…]|\*{3}|x{4}|X{4}|\.{3}|…|(?i:your|change|example|placeholder|dummy|redacted|sample|insert|replace)"
    r"|^(?i:user|users|pass|passw(?:or)?d|secret|token|key)$"
)
_TRAILING: Final = ".:!?"


def find_secrets(text: str) -> list[Found]:
    """Return the places that look like secrets, in order, none within another; at most `MOST_FOUND`."""
    places = sorted((*_by_format(text), *_by_name(text)), key=lambda each: (each.start, -each.end))
    found: list[Found] = []
    for each in places:
        if not found or each.start >= found[-1].end:
            found.append(each)
    return found[:MOST_FOUND]


def _by_format(text: str) -> Iterator[Found]:
    for kind, form in FORMATS:
        for match in form.finditer(text):
            group = "value" if "value" in form.groupindex else 0
            value = match[group]
            if not _STANDS_FOR.search(value) and (group == 0 or _is_mixed(value) or kind.endswith("address")):
                yield Found(match.start(group), match.end(group), kind)


def _by_name(text: str) -> Iterator[Found]:
    for match in (*_NAMED.finditer(text), *_SETTING.finditer(text)):
        value = match["value"].rstrip(_TRAILING) if match.re is _NAMED else match["value"]
        is_call = match.re is _NAMED and match["after"]
        if len(value) >= 8 and _is_mixed(value) and not is_call and not _is_ordinary(value):
            yield Found(match.start("value"), match.start("value") + len(value), "a password or key")


def _is_mixed(value: str) -> bool:
    """Whether a value has letters and figures: what people write about passwords has words."""
    return any(letter.isalpha() for letter in value) and any(letter.isdigit() for letter in value)


def _is_ordinary(value: str) -> bool:
    """Whether a value stands for one, or is an address, a path or a name in code."""
    return bool(
        _STANDS_FOR.search(value)
        or re.match(r"(?:[a-z][a-z0-9+.-]*://|www\.|/|\./|~/|[A-Za-z_]\w*\.[A-Za-z_]\w*\.|sha\d+:)", value)
        or re.fullmatch(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", value)
        or re.fullmatch(r"[0-9./:+-]+[A-Za-z%°]{0,3}", value)
    )
