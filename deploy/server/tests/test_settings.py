from __future__ import annotations

from pathlib import Path

import pytest

from hivemind_common.environment import SECRET_VARIABLES, VARIABLES, read_environment
from hivemind_common.secrets import SecretStr
from hivemind_server.settings import to_variables, without_ours
from hivemind_server.up import Options, settings

SECRET = "Zm9vYmFyMTIzNDU2Nzg5MGFiY2RlZg"
VALUES = {
    "HIVEMIND_BIND": "[::1]:8080",
    "HIVEMIND_OPS_BIND": "127.0.0.1:0",
    "HIVEMIND_PUBLIC_URL": "https://bots.example.org",
    "HIVEMIND_TRUSTED_PROXIES": "10.0.0.0/8,::1/128",
    "ADMIN_API_KEY": SECRET,
    "HIVEMIND_METRICS_TOKEN": SECRET,
    "HIVEMIND_SETUP_FROM_GATEWAY": "1",
    "HIVEMIND_DATABASE_URL": "postgresql://u:p@/hivemind?host=%2Ftmp",
    "HIVEMIND_NATS_URL": "nats://u:p@127.0.0.1:4222",
    "HIVEMIND_LOG_LEVEL": "debug",
    "HIVEMIND_TIMEZONE": "Europe/Vienna",
    "HIVEMIND_PUBLIC_RATE_LIMIT_PER_MINUTE": "7",
    "HIVEMIND_LLM_PROVIDER": "openai-compat",
    "HIVEMIND_LLM_ENDPOINT": "http://127.0.0.1:11434/v1",
    "HIVEMIND_LLM_API_KEY": "sk-1",
    "HIVEMIND_LLM_MODEL": "llama3.2",
    "HIVEMIND_LLM_TIMEOUT_SECS": "9",
    "HIVEMIND_LLM_PACE_MS": "0",
    "HIVEMIND_LLM_LOCAL": "false",
    "HIVEMIND_INTEGRATION_ENCRYPTION_KEY": "ab" * 32,
    "HIVEMIND_FORWARD_AUTH_TRUSTED_NETS": "10.0.0.5/32",
    "HIVEMIND_FORWARD_AUTH_GROUPS_DELIM": ",",
    "HIVEMIND_UPDATER_CHANNEL": "beta",
}


SERVERS = {"HIVEMIND_DATABASE_URL", "HIVEMIND_NATS_URL"}
SECRETS_OF = {
    "gateway": SERVERS | {"ADMIN_API_KEY", "HIVEMIND_METRICS_TOKEN"},
    "auth": SERVERS,
    "bots": SERVERS | {"HIVEMIND_LLM_API_KEY", "HIVEMIND_INTEGRATION_ENCRYPTION_KEY"},
    "knowledge": SERVERS,
    "chatalot-bridge": SERVERS | {"HIVEMIND_INTEGRATION_ENCRYPTION_KEY"},
}


@pytest.mark.parametrize("service", SECRETS_OF)
def test_a_service_in_a_process_gets_the_same_settings_its_own_secrets_and_none_in_its_environment(
    tmp_path: Path, service: str
) -> None:
    environment, _ = read_environment(VALUES | {"DB_PASSWORD": SECRET})

    def keep(variable: str, secret: SecretStr) -> Path:
        path = tmp_path / variable
        path.write_text(secret.get_secret_value())
        return path

    told = to_variables(service, environment, keep)
    again, warnings = read_environment(told)
    its_own = {
        name: value for name, value in VALUES.items() if name in SECRETS_OF[service] or name not in SECRET_VARIABLES
    }
    expected, _ = read_environment(its_own)
    assert again == expected
    assert again.model_fields_set == expected.model_fields_set
    assert not warnings
    assert not told.keys() & SECRET_VARIABLES
    assert SECRET not in " ".join(told.values())
    assert {path.name for path in tmp_path.iterdir()} == SECRETS_OF[service]


def test_what_is_not_set_stays_unset(tmp_path: Path) -> None:
    environment, _ = read_environment({})
    assert to_variables("gateway", environment, lambda *_: tmp_path) == {}
    assert environment.provider == "quote"


def test_a_setup_token_that_is_gone_is_not_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "setup-token"
    file.write_text(SECRET)
    environment, _ = read_environment({"HIVEMIND_SETUP_TOKEN_FILE": str(file)})
    assert to_variables("gateway", environment, lambda *_: tmp_path) == {"HIVEMIND_SETUP_TOKEN_FILE": str(file)}
    file.unlink()
    assert to_variables("gateway", environment, lambda *_: tmp_path) == {}


def test_a_process_inherits_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "DB_PASSWORD_FILE", "HIVEMIND_UPDATE_CHANNEL", "HIVEMIND_FULL"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("LANG", "C")
    left = without_ours()
    assert left["LANG"] == "C"
    assert not left.keys() & VARIABLES.keys()
    assert "DB_PASSWORD_FILE" not in left


def test_flags_beat_the_environment_which_beats_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "env"
    file.write_text(
        "HIVEMIND_BIND=127.0.0.1:1000\nHIVEMIND_LOG_LEVEL=error\nHIVEMIND_TIMEZONE=Europe/Vienna\n"
        f"ADMIN_API_KEY={SECRET}\nHIVEMIND_LOG_LEVELL=x\n"
    )
    key = tmp_path / "key"
    key.write_text("another-key-of-the-admin-0123456")
    environ = {
        "HIVEMIND_BIND": "127.0.0.2:2000",
        "HIVEMIND_LOG_LEVEL": "debug",
        "HIVEMIND_TIMEZONE": "",
        "ADMIN_API_KEY_FILE": str(key),
        "HIVEMIND_NATS_URL": "nats://127.0.0.1:1",
    }
    environment = settings(Options(port=3000, env_file=file), environ)
    assert environment.bind == ("127.0.0.2", 3000)
    assert environment.log_level == "debug"
    assert environment.timezone == "Europe/Vienna"
    assert environment.admin_api_key == SecretStr("another-key-of-the-admin-0123456")
    warnings = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in warnings] == ["warning", "warning"]
    assert "did you mean HIVEMIND_LOG_LEVEL?" in warnings[0]
    assert "HIVEMIND_NATS_URL" in warnings[1]
