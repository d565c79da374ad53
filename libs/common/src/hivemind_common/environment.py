"""Every variable that Hivemind knows: read once by the process, judged at once, handed on as plain values."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

Network = IPv4Network | IPv6Network


class ConfigurationError(Exception):
    """A variable cannot be used. Its text is one line that names the variable, the fault and an example."""


class HostPort(NamedTuple):
    """An address to listen on; port 0 means any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _host_port(value: object) -> HostPort:
    if isinstance(value, HostPort):
        return value
    host, separator, port = str(value).rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (separator and host and re.fullmatch(r"[0-9]{1,5}", port) and int(port) <= 65535):
        raise ValueError("must be HOST:PORT with a port of 0 to 65535")
    if not re.fullmatch(r"[A-Za-z0-9._-]+", host) and not _is_ipv6(host):
        raise ValueError("must be HOST:PORT with a plain host name or address")
    return HostPort(host, int(port))


def _is_ipv6(text: str) -> bool:
    try:
        return ip_address(text).version == 6
    except ValueError:
        return False


def _origin(value: object) -> str:
    text = str(value).removesuffix("/")
    parts = urlsplit(text)
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or parts.path
        or parts.query
        or parts.fragment
        or "@" in text
    ):
        raise ValueError("must be http(s)://HOST[:PORT] without a path")
    text = text.lower()
    # As browsers write it: without the port that goes without saying.
    return text.removesuffix(":443" if parts.scheme == "https" else ":80") if parts.port in {80, 443} else text


def _url(value: object) -> str:
    text = str(value)
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise ValueError("must be an http(s) URL without a user in it")
    _ = parts.port
    return text.removesuffix("/")


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _networks(value: object) -> tuple[Network, ...]:
    if isinstance(value, tuple):
        return value
    networks = tuple(ip_network(part) for part in _listed(str(value)))
    if not networks:
        raise ValueError("must name at least one network")
    if any(network.prefixlen == 0 for network in networks):
        raise ValueError("must not trust every address there is")
    return networks


EXTRAS = ("embeddings",)
"""What is installed and used only where `HIVEMIND_EXTRAS` names it."""


def _origins(value: object) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else tuple(_origin(part) for part in _listed(str(value)))


def _extras(value: object) -> tuple[str, ...]:
    found = value if isinstance(value, tuple) else tuple(dict.fromkeys(_listed(str(value))))
    for name in found:
        if name not in EXTRAS:
            raise ValueError(f"must be of {', '.join(EXTRAS)}, with commas between them")
    return found


def _boolean(value: object) -> bool:
    words = {"true": True, "1": True, "false": False, "0": False}
    if isinstance(value, bool):
        return value
    if str(value) not in words:
        raise ValueError("must be true, false, 1 or 0")
    return words[str(value)]


def _timezone(value: object) -> str:
    try:
        return ZoneInfo(str(value)).key
    except (ZoneInfoNotFoundError, ValueError, OSError) as fault:
        raise ValueError("must be a time zone of the IANA database") from fault


def _header_name(value: object) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", str(value)):
        raise ValueError("must be a header's name: letters, digits and hyphens")
    return str(value)


_EXAMPLE_WORDS = re.compile(r"change|example|replace|your[-_ ]|secret[-_ ]?key|placeholder|xxxx|<|>", re.IGNORECASE)


def _strong_secret(value: object) -> SecretStr:
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    if len(text) < 24:
        raise ValueError("must be at least 24 characters long")
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise ValueError("must be printable ASCII without blanks")
    if _EXAMPLE_WORDS.search(text) or len(set(text)) < 6:
        raise ValueError("must not be an example value")
    return SecretStr(text)


def _password(value: object) -> SecretStr:
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    if not text or not text.isprintable():
        raise ValueError("must be one line of printable characters")
    return SecretStr(text)


def _hex_key(value: object) -> SecretStr:
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise ValueError("must be 64 hexadecimal digits")
    return SecretStr(text)


def _url_with_credentials(*schemes: str) -> BeforeValidator:
    def judge(value: object) -> SecretStr:
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        if not text.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(f"must begin with {schemes[0]}://")
        try:
            urlsplit(text)
        except ValueError:  # its words may show the password
            raise ValueError("must be a URL, with both brackets around an IPv6 address") from None
        return SecretStr(text)

    return BeforeValidator(judge)


Bind = Annotated[HostPort, BeforeValidator(_host_port)]
Flag = Annotated[bool, BeforeValidator(_boolean)]
Networks = Annotated[tuple[Network, ...], BeforeValidator(_networks)]
StrongSecret = Annotated[SecretStr, BeforeValidator(_strong_secret)]
Url = Annotated[str, BeforeValidator(_url)]
HeaderName = Annotated[str, BeforeValidator(_header_name)]

Provider = Literal["anthropic", "openai", "ollama", "openai-compat", "quote"]


class Environment(BaseModel):
    """What the operator set. A field is the variable of its alias; what is not set has the published default."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, hide_input_in_errors=True, validate_default=True)

    bind: Bind = Field(HostPort("127.0.0.1", 8585), alias="HIVEMIND_BIND", examples=["127.0.0.1:8585"])
    ops_bind: Bind = Field(HostPort("127.0.0.1", 9600), alias="HIVEMIND_OPS_BIND", examples=["127.0.0.1:9600"])
    public_url: Annotated[str, BeforeValidator(_origin)] | None = Field(
        None, alias="HIVEMIND_PUBLIC_URL", examples=["https://bots.example.org"]
    )
    trusted_proxies: Networks = Field(
        (ip_network("127.0.0.1/32"), ip_network("::1/128")),
        alias="HIVEMIND_TRUSTED_PROXIES",
        examples=["127.0.0.1/32,::1/128"],
    )
    admin_api_key: StrongSecret | None = Field(None, alias="ADMIN_API_KEY", examples=["$(openssl rand -hex 32)"])
    setup_token: StrongSecret | None = Field(None, alias="HIVEMIND_SETUP_TOKEN", examples=["$(openssl rand -hex 32)"])
    metrics_token: StrongSecret | None = Field(
        None, alias="HIVEMIND_METRICS_TOKEN", examples=["$(openssl rand -hex 32)"]
    )
    setup_from_gateway: Flag = Field(False, alias="HIVEMIND_SETUP_FROM_GATEWAY", examples=["false"])
    database_url: Annotated[SecretStr, _url_with_credentials("postgresql", "postgres")] | None = Field(
        None, alias="HIVEMIND_DATABASE_URL", examples=["postgresql://hivemind_bots:…@host:5432/hivemind"]
    )
    nats_url: Annotated[SecretStr, _url_with_credentials("nats", "tls")] | None = Field(
        None, alias="HIVEMIND_NATS_URL", examples=["nats://bots:…@host:4222"]
    )
    db_password: Annotated[SecretStr, BeforeValidator(_password)] | None = Field(
        None, alias="DB_PASSWORD", examples=["$(openssl rand -hex 32)"]
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", alias="HIVEMIND_LOG_LEVEL", examples=["info"]
    )
    postgres_bin: Path | None = Field(None, alias="HIVEMIND_POSTGRES_BIN", examples=["/usr/lib/postgresql/17/bin"])
    nats_server: Path | None = Field(None, alias="HIVEMIND_NATS_SERVER", examples=["/usr/bin/nats-server"])
    timezone: Annotated[str, BeforeValidator(_timezone)] = Field(
        "UTC", alias="HIVEMIND_TIMEZONE", examples=["Europe/Vienna"]
    )
    cors_origins: Annotated[tuple[str, ...], BeforeValidator(_origins)] = Field(
        (), alias="HIVEMIND_CORS_ORIGINS", examples=["https://app.example.org"]
    )
    extras: Annotated[tuple[str, ...], BeforeValidator(_extras)] = Field(
        (), alias="HIVEMIND_EXTRAS", examples=["embeddings"]
    )
    public_rate_limit_per_minute: int = Field(
        20, alias="HIVEMIND_PUBLIC_RATE_LIMIT_PER_MINUTE", ge=1, le=100_000, examples=["20"]
    )
    llm_provider: Provider | None = Field(None, alias="HIVEMIND_LLM_PROVIDER", examples=["quote"])
    llm_endpoint: Url | None = Field(None, alias="HIVEMIND_LLM_ENDPOINT", examples=["http://127.0.0.1:11434/v1"])
    llm_api_key: SecretStr | None = Field(
        None, alias="HIVEMIND_LLM_API_KEY", min_length=1, max_length=1024, examples=["sk-…"]
    )
    llm_model: str | None = Field(None, alias="HIVEMIND_LLM_MODEL", min_length=1, max_length=200, examples=["llama3.2"])
    llm_timeout_secs: int = Field(60, alias="HIVEMIND_LLM_TIMEOUT_SECS", ge=1, le=3600, examples=["60"])
    llm_pace_ms: int | None = Field(None, alias="HIVEMIND_LLM_PACE_MS", ge=0, le=600_000, examples=["400"])
    llm_local: Flag | None = Field(None, alias="HIVEMIND_LLM_LOCAL", examples=["false"])
    integration_encryption_key: Annotated[SecretStr, BeforeValidator(_hex_key)] | None = Field(
        None, alias="HIVEMIND_INTEGRATION_ENCRYPTION_KEY", examples=["$(openssl rand -hex 32)"]
    )
    forward_auth: Flag = Field(False, alias="HIVEMIND_FORWARD_AUTH", examples=["false"])
    forward_auth_trusted_nets: Networks | None = Field(
        None, alias="HIVEMIND_FORWARD_AUTH_TRUSTED_NETS", examples=["10.0.0.5/32"]
    )
    forward_auth_user_header: HeaderName = Field(
        "X-Authentik-Username", alias="HIVEMIND_FORWARD_AUTH_USER_HEADER", examples=["X-Authentik-Username"]
    )
    forward_auth_email_header: HeaderName = Field(
        "X-Authentik-Email", alias="HIVEMIND_FORWARD_AUTH_EMAIL_HEADER", examples=["X-Authentik-Email"]
    )
    forward_auth_groups_header: HeaderName = Field(
        "X-Authentik-Groups", alias="HIVEMIND_FORWARD_AUTH_GROUPS_HEADER", examples=["X-Authentik-Groups"]
    )
    forward_auth_groups_delim: str = Field(
        "|", alias="HIVEMIND_FORWARD_AUTH_GROUPS_DELIM", min_length=1, max_length=1, examples=["|"]
    )
    group_admin: str = Field(
        "hivemind-admin", alias="HIVEMIND_GROUP_ADMIN", min_length=1, max_length=128, examples=["hivemind-admin"]
    )
    group_user: str = Field(
        "hivemind-user", alias="HIVEMIND_GROUP_USER", min_length=1, max_length=128, examples=["hivemind-user"]
    )
    updater_channel: Literal["canary", "beta", "stable"] = Field(
        "canary", alias="HIVEMIND_UPDATER_CHANNEL", examples=["canary"]
    )
    updater_url: Url | None = Field(None, alias="HIVEMIND_UPDATER_URL", examples=["https://releases.example.org"])
    updater_auto: Flag = Field(False, alias="HIVEMIND_UPDATER_AUTO", examples=["false"])

    setup_token_file: Path | None = None
    """Where the setup token was read from, so that it can be deleted with the first admin."""

    @property
    def needed_database_url(self) -> SecretStr:
        """The database of a service that keeps data; raises `ConfigurationError` where none was named."""
        return _needed(self.database_url, "database_url")

    @property
    def needed_nats_url(self) -> SecretStr:
        """The bus; raises `ConfigurationError` where none was named."""
        return _needed(self.nats_url, "nats_url")

    @property
    def provider(self) -> Provider:
        """The provider of the instance: `quote` as long as no `HIVEMIND_LLM_*` is set, else the published default."""
        if self.llm_provider is not None:
            return self.llm_provider
        return "anthropic" if any(name.startswith("llm_") for name in self.model_fields_set) else "quote"


VARIABLES: Mapping[str, str] = {
    str(field.alias): name for name, field in Environment.model_fields.items() if field.alias is not None
}
"""Variable → field. A `_FILE` twin belongs to each that holds a secret."""

SECRET_VARIABLES = frozenset(
    {
        "ADMIN_API_KEY",
        "DB_PASSWORD",
        "HIVEMIND_DATABASE_URL",
        "HIVEMIND_INTEGRATION_ENCRYPTION_KEY",
        "HIVEMIND_LLM_API_KEY",
        "HIVEMIND_METRICS_TOKEN",
        "HIVEMIND_NATS_URL",
        "HIVEMIND_SETUP_TOKEN",
    }
)

READ_ELSEWHERE = frozenset(
    {
        "HIVEMIND_API_KEY",
        "HIVEMIND_API_KEY_FILE",
        "HIVEMIND_URL",
        "HIVEMIND_PYTHON",
        "HIVEMIND_VENV",
        "HIVEMIND_FULL",
    }
)
"""Known, and none of a service's business: `hm`, the launchers and the tests read them."""

RENAMED = {"HIVEMIND_UPDATE_CHANNEL": "HIVEMIND_UPDATER_CHANNEL"}

NOT_YET = {
    "HIVEMIND_FORWARD_AUTH": "sign-in through a proxy is not part of this version: local sign-in stays on",
    "HIVEMIND_UPDATER_URL": "updates are not part of this version",
}
"""Accepted so that a configuration can be written once; said aloud, because nothing follows from them yet."""

_MAX_SECRET_FILE = 64 * 1024


def read_environment(environ: Mapping[str, str]) -> tuple[Environment, tuple[str, ...]]:
    """Judge every variable that is set; return the values, and warnings for people, one line each.

    Raises `ConfigurationError` for the first value that cannot be used.
    """
    given = {name: value for name, value in environ.items() if value != ""}
    warnings = list(_unknown_names(given))
    values: dict[str, Any] = {}
    for old, new in RENAMED.items():
        if old in given:
            warnings.append(f"{old} is the old name of {new}; use the new one")
            given.setdefault(new, given[old])
    for variable in VARIABLES:
        value, file = _value_of(variable, given)
        if value is not None:
            values[variable] = value
        if file is not None and variable == "HIVEMIND_SETUP_TOKEN":
            values["setup_token_file"] = file
    warnings += [f"{name}: {why}" for name, why in NOT_YET.items() if given.get(name, "false") not in {"false", "0"}]
    try:
        return Environment(**values), tuple(warnings)
    except ValidationError as fault:
        first = fault.errors(include_input=False, include_url=False)[0]
        variable = str(first["loc"][0])
        raise ConfigurationError(_told(variable, str(first["msg"]).removeprefix("Value error, "))) from None


def _needed(value: SecretStr | None, field: str) -> SecretStr:
    if value is None:
        variable = str(Environment.model_fields[field].alias)
        raise ConfigurationError(_told(variable, "must be set for a service that runs alone"))
    return value


def _told(variable: str, fault: str) -> str:
    examples = Environment.model_fields[VARIABLES[variable]].examples or []
    fault = fault[0].lower() + fault[1:]
    return f"{variable}: {fault} (example: {variable}={examples[0]})" if examples else f"{variable}: {fault}"


def _value_of(variable: str, given: Mapping[str, str]) -> tuple[str | None, Path | None]:
    twin = f"{variable}_FILE"
    if variable not in SECRET_VARIABLES or twin not in given:
        return given.get(variable), None
    if variable in given:
        raise ConfigurationError(
            f"{variable}: set it or {twin}, not both (example: {twin}=/run/secrets/{variable.lower()})"
        )
    path = Path(given[twin])
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_SECRET_FILE + 1)
        text = raw.decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as fault:
        reason = os.strerror(fault.errno) if isinstance(fault, OSError) and fault.errno else "not UTF-8"
        raise ConfigurationError(
            f"{twin}: cannot read {path}: {reason} (example: {twin}=/run/secrets/{variable.lower()})"
        ) from None
    if not text or len(raw) > _MAX_SECRET_FILE:
        raise ConfigurationError(
            f"{twin}: {path} is {'empty' if not text else 'too large'} (example: {twin}=/run/secrets/{variable.lower()})"
        )
    return text, path


def _unknown_names(given: Mapping[str, str]) -> list[str]:
    twins = {f"{name}_FILE" for name in SECRET_VARIABLES}
    known = {*VARIABLES, *twins, *READ_ELSEWHERE, *RENAMED}
    told = []
    for name in sorted(given):
        if name.startswith("HIVEMIND_") and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            told.append(f"{name} is not known" + (f"; did you mean {near[0]}?" if near else ""))
    return told
