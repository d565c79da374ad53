"""Settings as variables again, for a service that runs in a process of its own; secrets travel in files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from hivemind_common.environment import RENAMED, SECRET_VARIABLES, VARIABLES, Environment, HostPort
from hivemind_common.secrets import SecretStr

_NO_SERVICE_NEEDS = frozenset({"DB_PASSWORD", "HIVEMIND_POSTGRES_BIN", "HIVEMIND_NATS_SERVER"})

_SHARED_SECRETS = frozenset({"HIVEMIND_DATABASE_URL", "HIVEMIND_NATS_URL"})
_OWN_SECRETS: Mapping[str, frozenset[str]] = {
    "gateway": frozenset({"ADMIN_API_KEY", "HIVEMIND_SETUP_TOKEN", "HIVEMIND_METRICS_TOKEN"}),
    "bots": frozenset({"HIVEMIND_LLM_API_KEY", "HIVEMIND_INTEGRATION_ENCRYPTION_KEY"}),
    "chatalot-bridge": frozenset({"HIVEMIND_INTEGRATION_ENCRYPTION_KEY"}),
}
"""By service, beside what all are told: a process that is taken over gives away whatever it was told."""

Keep = Callable[[str, SecretStr], Path]
"""Gets a variable's name and its secret; answers the file in which the secret lies."""


def to_variables(service: str, environment: Environment, keep: Keep) -> dict[str, str]:
    """Return the variables that `read_environment` turns into the same settings, with the secrets of this service only."""
    told = {}
    secrets = _SHARED_SECRETS | _OWN_SECRETS.get(service, frozenset())
    for variable, field in VARIABLES.items():
        value = getattr(environment, field)
        if field not in environment.model_fields_set or value is None or variable in _NO_SERVICE_NEEDS:
            continue
        if variable in SECRET_VARIABLES - secrets:
            continue
        if variable == "HIVEMIND_SETUP_TOKEN" and environment.setup_token_file is not None:
            # The file goes with the first admin; a service that starts again later has no use for it.
            if environment.setup_token_file.exists():
                told[f"{variable}_FILE"] = str(environment.setup_token_file)
        elif variable in SECRET_VARIABLES:
            told[f"{variable}_FILE"] = str(keep(variable, value))
        else:
            told[variable] = _text(value)
    return told


def without_ours() -> dict[str, str]:
    """Return the environment of this process without anything that Hivemind reads."""
    ours = {*VARIABLES, *RENAMED, *(f"{name}_FILE" for name in SECRET_VARIABLES)}
    return {name: value for name, value in os.environ.items() if name not in ours}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple) and not isinstance(value, HostPort):
        return ",".join(str(part) for part in value)
    return str(value)
