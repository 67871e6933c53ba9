"""Settings: the environment's names, one line for a wrong value, and no secret in any of them."""

import pathlib

import pydantic
import pytest

from services.embedder import settings as embedder_settings
from services.runtime import settings
from services.valkey import settings as valkey_settings


def refusal(capsys: pytest.CaptureFixture[str], section: type[settings.Section]) -> str:
    with pytest.raises(SystemExit) as caught:
        settings.load(section)
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1, "one line"
    return err


@pytest.mark.parametrize(
    ("section", "variable", "value"),
    [
        (settings.ProcessSettings, "GRPC_PORT", "seventy"),
        (settings.ProcessSettings, "GRPC_PORT", "70000"),
        (settings.ProcessSettings, "LOG_LEVEL", "LOUD"),
        (settings.ProcessSettings, "GRACE_SECONDS", "-1"),
        (embedder_settings.WorkSettings, "MAX_WORKERS", "0"),
        (embedder_settings.WorkSettings, "INDEXER_ADDR", "one:1,two:2"),
        (embedder_settings.EmbeddingSettings, "OPENAI_RATE_LIMIT", "-5"),
        (embedder_settings.EmbeddingSettings, "OPENAI_RATE_LIMIT", "inf"),
        (embedder_settings.EmbeddingSettings, "OPENAI_TOKENS_PER_MINUTE", "nan"),
        (embedder_settings.EmbeddingSettings, "EMBEDDING_DIMENSIONS", "0"),
        (valkey_settings.ValkeySettings, "REDIS_PORT", "-1"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    section: type[settings.Section],
    variable: str,
    value: str,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv(variable, value)
    line = refusal(capsys, section)
    assert variable in line
    assert "sk-secret" not in line


def test_all_wrong_values_are_named_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_RATE_LIMIT", "fast")
    line = refusal(capsys, embedder_settings.EmbeddingSettings)
    assert "OPENAI_API_KEY" in line
    assert "OPENAI_RATE_LIMIT" in line


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("OPENAI_RATE_LIMIT", "")
    assert settings.load(embedder_settings.EmbeddingSettings).openai_rate_limit == 5.0


def test_a_lease_must_outlast_two_heartbeats(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEASE_SECONDS", "10")
    monkeypatch.setenv("HEARTBEAT_SECONDS", "6")
    assert "HEARTBEAT_SECONDS" in refusal(capsys, embedder_settings.WorkSettings)
    monkeypatch.setenv("HEARTBEAT_SECONDS", "5")
    settings.load(embedder_settings.WorkSettings)


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert "sk-secret" not in repr(settings.load(embedder_settings.EmbeddingSettings))


def test_settings_do_not_change() -> None:
    process = settings.ProcessSettings()
    with pytest.raises(pydantic.ValidationError):
        process.grpc_port = 1  # type: ignore[misc]


def test_every_variable_is_described() -> None:
    for section in (
        settings.ProcessSettings,
        embedder_settings.EmbeddingSettings,
        embedder_settings.WorkSettings,
        valkey_settings.ValkeySettings,
    ):
        for name, field in section.model_fields.items():
            assert field.description, name


def test_the_example_environment_names_no_unknown_variable_of_the_embedder() -> None:
    example = pathlib.Path(".env.example").read_text()
    for section in (embedder_settings.EmbeddingSettings, embedder_settings.WorkSettings):
        for name in section.model_fields:
            assert name.upper() in example, name
