"""Secrets by ARN, against Secrets Manager as moto has it."""

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import boto3
import moto
import pydantic
import pytest
import structlog

from services.embedder import settings as embedder_settings
from services.embedder.openai import client as openai_client
from services.runtime import keys, secrets, settings
from services.valkey import settings as valkey_settings


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "API_KEY", "API_KEYS", "INTERNAL_TOKEN", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    with moto.mock_aws():
        yield boto3.client("secretsmanager", region_name="eu-west-1")


def stored(manager: Any, value: str, name: str = "line/key") -> str:
    return str(manager.create_secret(Name=name, SecretString=value)["ARN"])


def eager(vault: secrets.Vault) -> secrets.Vault:
    """One that looked last a long time ago."""
    vault._looked -= 2 * secrets.LOOK_SECONDS
    return vault


async def test_a_setting_that_is_an_arn_becomes_its_secret_in_the_region_of_the_arn(
    manager: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", stored(manager, "vl_one"))

    loaded = secrets.Vault().load(settings.AccessSettings)

    assert loaded.api_key.get_secret_value() == "vl_one"
    assert "vl_one" not in f"{loaded!r} {loaded.model_dump_json()}"
    assert loaded.internal_token.get_secret_value() == ""


async def test_a_field_of_a_json_secret_is_named_behind_a_hash(manager: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    arn = stored(manager, json.dumps({"token": "abc", "keys": [{"id": "a"}]}))
    monkeypatch.setenv("INTERNAL_TOKEN", f"{arn}#token")
    monkeypatch.setenv("API_KEYS", f"{arn}#keys")

    loaded = secrets.Vault().load(settings.AccessSettings)

    assert loaded.internal_token.get_secret_value() == "abc"
    assert json.loads(loaded.api_keys.get_secret_value()) == [{"id": "a"}]


@pytest.mark.parametrize(
    ("value", "suffix", "words"),
    [(None, "", "ResourceNotFoundException"), ("plain", "#token", "no JSON object with the field 'token'")],
)
async def test_a_secret_that_cannot_be_had_stops_the_process_with_one_line(
    manager: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    value: str | None,
    suffix: str,
    words: str,
) -> None:
    arn = stored(manager, value or "x")
    monkeypatch.setenv("INTERNAL_TOKEN", (arn if value else arn.replace("line/key", "other")) + suffix)

    with pytest.raises(SystemExit) as stop:
        secrets.Vault().load(settings.AccessSettings)

    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert said.count("\n") == 1
    assert "INTERNAL_TOKEN" in said
    assert words in said
    assert "plain" not in said


@pytest.mark.parametrize(
    ("section", "variable", "value", "words"),
    [
        (embedder_settings.EmbeddingSettings, "OPENAI_API_KEY", "sk-good-key\n", "line end"),
        (settings.AccessSettings, "INTERNAL_TOKEN", "töken", "no header can carry"),
        (valkey_settings.ValkeySettings, "REDIS_URL", "http://valkey:6379/0", "redis://host:port/database"),
        (valkey_settings.ValkeySettings, "REDIS_URL", "redis://h/0?decode_responses=1", "decode_responses"),
        (valkey_settings.ValkeySettings, "REDIS_PASSWORD", "hushhush\n", "line end"),
    ],
)
async def test_what_is_fetched_is_held_to_what_is_asked_of_a_value(
    manager: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    section: Any,
    variable: str,
    value: str,
    words: str,
) -> None:
    """A secret made from a file ends with a line end: each request failed with it, in words that named nothing."""
    monkeypatch.setenv(variable, stored(manager, value))

    with pytest.raises(SystemExit) as stop:
        secrets.Vault().load(section)

    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert said.count("\n") == 1
    assert variable in said
    assert words in said
    assert value.strip() not in said


async def test_a_secret_that_two_settings_name_must_do_for_both(
    manager: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arn = stored(manager, "with a line end\n")
    monkeypatch.setenv("API_KEYS", arn)
    vault = secrets.Vault()
    vault.load(settings.AccessSettings)
    monkeypatch.setenv("REDIS_PASSWORD", arn)

    with pytest.raises(SystemExit):
        vault.load(valkey_settings.ValkeySettings)

    assert "REDIS_PASSWORD" in capsys.readouterr().err


async def test_a_rotation_to_what_cannot_be_used_leaves_the_old_one_and_is_said(
    manager: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = stored(manager, "before")
    monkeypatch.setenv("INTERNAL_TOKEN", arn)
    vault = secrets.Vault()
    token = vault.load(settings.AccessSettings).internal_token

    manager.put_secret_value(SecretId=arn, SecretString="after\n")
    with structlog.testing.capture_logs() as logged:
        await vault.refresh()

    assert secrets.accepted(token) == ("before",)
    (line,) = logged
    assert (line["action"], line["log_level"]) == ("secret_unreadable", "warning")
    assert "INTERNAL_TOKEN" in line["why"]
    assert "after" not in line["why"]
    manager.put_secret_value(SecretId=arn, SecretString="after")
    await vault.refresh()
    assert secrets.accepted(token) == ("after", "before")


async def test_a_rotation_is_taken_up_without_a_restart(manager: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    arn = stored(manager, "before")
    monkeypatch.setenv("API_KEY", arn)
    monkeypatch.setenv("API_KEYS", "")
    vault = secrets.Vault()
    ring = keys.Keyring(vault.load(settings.AccessSettings))
    assert ring.find("before")

    manager.put_secret_value(SecretId=arn, SecretString="after")
    await vault.refresh()

    assert ring.find("after")
    assert ring.find("before") is None


async def test_the_internal_token_before_a_rotation_counts_for_a_while(
    manager: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = stored(manager, "before")
    monkeypatch.setenv("INTERNAL_TOKEN", arn)
    vault = secrets.Vault()
    token = vault.load(settings.AccessSettings).internal_token

    manager.put_secret_value(SecretId=arn, SecretString="after")
    await vault.refresh()
    assert secrets.accepted(token) == ("after", "before")

    monkeypatch.setattr(secrets, "PREVIOUS_SECONDS", -1.0)
    assert secrets.accepted(token) == ("after",)


async def test_an_outage_of_secrets_manager_changes_nothing(manager: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    arn = stored(manager, "kept")
    monkeypatch.setenv("API_KEY", arn)
    vault = secrets.Vault()
    loaded = vault.load(settings.AccessSettings)
    manager.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)

    with structlog.testing.capture_logs() as said:
        await vault.refresh()

    assert loaded.api_key.get_secret_value() == "kept"
    assert [line["action"] for line in said] == ["secret_unreadable"]


async def test_a_refusal_looks_for_a_new_key_at_once_but_seldom(manager: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    arn = stored(manager, "one")
    monkeypatch.setenv("API_KEY", arn)
    vault = eager(secrets.Vault())
    key = vault.load(settings.AccessSettings).api_key
    assert not await secrets.renewed(key, "one")

    manager.put_secret_value(SecretId=arn, SecretString="two")
    assert not await secrets.renewed(key, "one")  # it was looked a moment ago
    eager(vault)
    assert await secrets.renewed(key, "one")
    assert await secrets.renewed(key, "one")  # another call was refused with the old one

    assert not await secrets.renewed(pydantic.SecretStr("fixed"), "fixed")


async def test_a_rotated_openai_key_is_used_by_the_retry_of_the_refused_request(
    manager: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = stored(manager, "sk-old")
    sent: list[str] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        sent.extend(re.findall(r"(?i)^authorization: (.*?)\r$", head, re.MULTILINE))
        body = b'{"error": {"message": "Incorrect API key provided."}}'
        writer.write(b"HTTP/1.1 401 No\r\nConnection: close\r\nContent-Type: application/json\r\n")
        writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        writer.close()

    provider = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = provider.sockets[0].getsockname()[1]
    monkeypatch.setenv("OPENAI_API_KEY", arn)
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")
    monkeypatch.setenv("EMBEDDING_DIMENSIONS", "1536")  # there is no index to ask
    vault = eager(secrets.Vault())
    client = openai_client.OpenAI(vault.load(embedder_settings.EmbeddingSettings), connections=1)
    manager.put_secret_value(SecretId=arn, SecretString="sk-new")

    with pytest.raises(openai_client.Failed, match="rotated"):
        await client.embed(["text"])
    with pytest.raises(openai_client.AccountRefused):
        await client.embed(["text"])

    assert sent == ["Bearer sk-old", "Bearer sk-new"]
    await client.close()
    provider.close()
