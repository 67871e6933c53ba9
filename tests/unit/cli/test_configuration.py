"""The effective configuration for people: complete, with its origins, and without a secret."""

import pytest

from cli.commands import config
from services.runtime import configuration
from services.runtime.configuration import Origin, Setting
from tests.unit.deployment import code

SECRETS = {"API_KEY", "INTERNAL_TOKEN", "OPENAI_API_KEY", "PINECONE_API_KEY", "REDIS_PASSWORD", "API_KEY_PEPPER"}


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in configuration.effective(config.sections()):
        monkeypatch.delenv(setting.name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")


def of(name: str) -> Setting:
    found = [setting for setting in configuration.effective(config.sections()) if setting.name == name]
    assert found, name
    return found[0]


def test_every_variable_of_every_process_is_there() -> None:
    listed = {setting.name for setting in configuration.effective(config.sections())}

    assert listed == set(code.defaults())


def test_no_class_that_a_process_loads_is_forgotten() -> None:
    listed = {section for _, section in config.sections()}

    assert {section for module in code.MODULES.values() for section in code.sections(module)} <= listed


def test_a_value_says_where_it_comes_from_and_what_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHUNK_SIZE", "2000")

    words = "Rows a chunk, when none are named."
    assert of("CHUNK_SIZE") == Setting("ingest: requests", "CHUNK_SIZE", "2000", Origin.ENVIRONMENT, words)
    assert (of("LOG_LEVEL").value, of("LOG_LEVEL").origin) == ("INFO", Origin.DEFAULT)
    assert (of("REDIS_URL").value, of("REDIS_URL").origin) == (None, Origin.DEFAULT)


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_secret_is_masked_and_an_arn_is_shown(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "canary-of-a-secret")
    assert of(name).value == configuration.MASK
    assert "canary-of-a-secret" not in repr(configuration.effective(config.sections()))

    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:line/keys-AbCdEf#field"
    monkeypatch.setenv(name, arn)
    assert of(name).value == arn


def test_a_password_in_an_address_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://me:canary@proxy.example/v1")

    assert of("OPENAI_BASE_URL").value == f"https://{configuration.MASK}@proxy.example/v1"


def test_a_wrong_or_missing_value_is_named_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHUNK_SIZE", "many")
    monkeypatch.setenv("TLS_CERT_FILE", "cert.pem")
    monkeypatch.delenv("OPENAI_API_KEY")

    assert (of("CHUNK_SIZE").value, "integer" in of("CHUNK_SIZE").problem) == ("many", True)
    assert "TLS_KEY_FILE" in of("TLS_CERT_FILE").problem
    assert of("TLS_KEY_FILE").problem == ""
    assert (of("OPENAI_API_KEY").origin, of("OPENAI_API_KEY").problem) == (Origin.MISSING, "required")
    wrong = {setting.name for setting in configuration.effective(config.sections()) if setting.problem}
    assert wrong == {"CHUNK_SIZE", "TLS_CERT_FILE", "OPENAI_API_KEY"}
