from __future__ import annotations

from pathlib import Path

import pytest

from hivemind_common.environment import ConfigurationError, HostPort, read_environment

KEY = "k3y-0123456789-abcdefghij"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HIVEMIND_BIND", "8585"),
        ("HIVEMIND_DATABASE_URL", "postgresql://hivemind_bots:hush@[::1/hivemind"),
        ("HIVEMIND_NATS_URL", "nats://bots:hush@[::1"),
        ("HIVEMIND_BIND", "[::1"),
        ("HIVEMIND_BIND", "::1"),
        ("HIVEMIND_BIND", "localhost:99999"),
        ("HIVEMIND_BIND", "host:-1"),
        ("HIVEMIND_OPS_BIND", "a b:80"),
        ("HIVEMIND_PUBLIC_URL", "bots.example.org"),
        ("HIVEMIND_PUBLIC_URL", "https://bots.example.org/path"),
        ("HIVEMIND_TRUSTED_PROXIES", "0.0.0.0/0"),
        ("HIVEMIND_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("HIVEMIND_TRUSTED_PROXIES", ","),
        ("ADMIN_API_KEY", "short"),
        ("ADMIN_API_KEY", "abcdefghijklmnopqrstuvw"),
        ("ADMIN_API_KEY", "change-me-change-me-change-me"),
        ("ADMIN_API_KEY", "a" * 40),
        ("DB_PASSWORD", "two\nlines"),
        ("HIVEMIND_SETUP_TOKEN", "short"),
        ("HIVEMIND_METRICS_TOKEN", "with blanks in it, and long"),
        ("HIVEMIND_SETUP_FROM_GATEWAY", "yes"),
        ("HIVEMIND_DATABASE_URL", "mysql://x"),
        ("HIVEMIND_NATS_URL", "http://x"),
        ("HIVEMIND_LOG_LEVEL", "loud"),
        ("HIVEMIND_TIMEZONE", "Mars/Olympus"),
        ("HIVEMIND_TIMEZONE", "../etc/passwd"),
        ("HIVEMIND_CORS_ORIGINS", "https://a.example/x"),
        ("HIVEMIND_PUBLIC_RATE_LIMIT_PER_MINUTE", "0"),
        ("HIVEMIND_PUBLIC_RATE_LIMIT_PER_MINUTE", "many"),
        ("HIVEMIND_LLM_PROVIDER", "gpt"),
        ("HIVEMIND_LLM_ENDPOINT", "ftp://x"),
        ("HIVEMIND_LLM_TIMEOUT_SECS", "0"),
        ("HIVEMIND_LLM_PACE_MS", "-1"),
        ("HIVEMIND_LLM_LOCAL", "maybe"),
        ("HIVEMIND_INTEGRATION_ENCRYPTION_KEY", "g" * 64),
        ("HIVEMIND_INTEGRATION_ENCRYPTION_KEY", "a" * 63),
        ("HIVEMIND_FORWARD_AUTH", "on"),
        ("HIVEMIND_FORWARD_AUTH_TRUSTED_NETS", "::/0"),
        ("HIVEMIND_FORWARD_AUTH_USER_HEADER", "X Y"),
        ("HIVEMIND_FORWARD_AUTH_GROUPS_DELIM", "||"),
        ("HIVEMIND_UPDATER_CHANNEL", "nightly"),
        ("HIVEMIND_UPDATER_URL", "releases"),
        ("HIVEMIND_UPDATER_AUTO", "2"),
    ],
)
def test_a_wrong_value_is_refused_with_its_variable_and_an_example(variable: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        read_environment({variable: value})

    told = str(refusal.value)
    assert told.startswith(f"{variable}: ")
    assert f"(example: {variable}=" in told
    assert "\n" not in told
    if variable in {"ADMIN_API_KEY", "HIVEMIND_INTEGRATION_ENCRYPTION_KEY"}:
        assert value not in told


def test_nothing_set_is_the_published_defaults() -> None:
    environment, warnings = read_environment({"HIVEMIND_LOG_LEVEL": ""})

    assert warnings == ()
    assert environment.bind == HostPort("127.0.0.1", 8585)
    assert environment.provider == "quote"
    assert read_environment({"HIVEMIND_LLM_API_KEY": "x"})[0].provider == "anthropic"


def test_an_unknown_name_is_a_warning_with_the_nearest_known_one() -> None:
    _, warnings = read_environment({"HIVEMIND_LOGLEVEL": "info", "HIVEMIND_UPDATE_CHANNEL": "beta", "OTHER": "x"})

    assert "HIVEMIND_LOGLEVEL is not known; did you mean HIVEMIND_LOG_LEVEL?" in warnings
    assert any("HIVEMIND_UPDATE_CHANNEL is the old name" in line for line in warnings)
    assert len(warnings) == 2


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")

    environment, _ = read_environment({"ADMIN_API_KEY_FILE": str(file)})

    assert environment.admin_api_key is not None
    assert environment.admin_api_key.get_secret_value() == KEY
    assert KEY not in repr(environment)


def test_a_secret_and_its_file_together_or_a_file_that_is_not_there_are_refused(tmp_path: Path) -> None:
    for variables in (
        {"ADMIN_API_KEY": KEY, "ADMIN_API_KEY_FILE": str(tmp_path)},
        {"ADMIN_API_KEY_FILE": str(tmp_path / "missing")},
        {"ADMIN_API_KEY_FILE": str(tmp_path)},
    ):
        with pytest.raises(ConfigurationError, match="ADMIN_API_KEY"):
            read_environment(variables)
