"""``vectorline config``: the configuration for people and programs, and entries of API_KEYS."""

from __future__ import annotations

import json
import sys

import pytest

PEPPER = "pepper-pepper-pepper"


@pytest.fixture(autouse=True)
def _a_whole_configuration(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    monkeypatch.setenv("API_KEY_PEPPER", PEPPER)


def test_config_shows_every_group_with_values_and_origins(run, monkeypatch):
    monkeypatch.setenv("CHUNK_SIZE", "2000")

    result = run("config")

    assert result.exit_code == 0
    assert "ingest: requests" in result.stdout
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("CHUNK_SIZE")]
    assert line.split()[1:3] == ["2000", "environment"]


def test_config_is_a_json_line_a_variable_with_secrets_masked(run):
    result = run("config", "--json")

    found = {document["name"]: document for document in map(json.loads, result.stdout.splitlines())}
    assert found["OPENAI_API_KEY"]["value"] == "********"
    assert found["LOG_LEVEL"]["origin"] == "default"
    assert "sk-canary" not in result.output


def test_config_exits_1_and_says_what_is_wrong(run, monkeypatch):
    monkeypatch.setenv("CHUNK_SIZE", "7")

    result = run("config")

    assert result.exit_code == 1
    assert "WRONG: Input should be greater than or equal to 100" in result.stdout


def test_a_new_key_is_shown_once_with_its_entry(run):
    first, second = run("config", "new-key", "--id", "reports", "--scope", "read").stdout.splitlines()

    assert first.startswith("For the caller, shown only now: vl_")
    entry = json.loads(second.removeprefix("For API_KEYS: "))
    assert (entry["id"], entry["scopes"]) == ("reports", ["read"])


def test_without_the_services_config_says_what_it_needs(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "services.runtime.configuration", None)

    result = run("config")

    assert result.exit_code == 2
    assert "needs the services beside the command" in result.stderr
