"""Named lines: where they and their keys are kept, and what goes before what."""

from __future__ import annotations

import json
import stat
import sys
import types

import pytest

from cli import endpoints, failures, profiles
from tests.unit.cli import fake_line


class Ring:
    """The package keyring with a place to keep secrets in."""

    def __init__(self, priority: float = 5) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.backend = types.SimpleNamespace(priority=priority)

    def get_keyring(self):
        return self.backend

    def set_password(self, service, name, key):
        self.kept[service, name] = key

    def get_password(self, service, name):
        return self.kept.get((service, name))

    def delete_password(self, service, name):
        del self.kept[service, name]


@pytest.fixture
def ring(monkeypatch) -> Ring:
    made = Ring()
    monkeypatch.setitem(sys.modules, "keyring", made)
    return made


@pytest.fixture
def without(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)


@pytest.fixture
def no_address(monkeypatch):
    """Nothing in the environment says where the line is."""

    def forget() -> None:
        for name in ("INGEST_ADDR", "EMBEDDER_ADDR", "INDEXER_ADDR", "API_KEY"):
            monkeypatch.delenv(name, raising=False)

    return forget


def test_a_profile_is_added_used_listed_and_removed(run, line, without, no_address, tmp_path):
    no_address()
    added = run("profile", "add", "dev", f"http://{line.address}", input="secret\n")
    assert added.exit_code == 0, added.output
    file = tmp_path / "config" / "vectorline" / "profiles.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "secret" not in added.output

    assert run("status", fake_line.TASK_ID).exit_code == 0
    assert line.metadata[0]["x-api-key"] == "secret"

    run("profile", "add", "other", "https://other.example", "--no-key")
    listed = run("profile", "list")
    assert "→  dev" in listed.stdout
    assert "secret" not in listed.output
    rows = [json.loads(row) for row in run("profile", "list", "--json").stdout.splitlines()]
    assert [(row["name"], row["key"], row["used"]) for row in rows] == [("dev", "file", True), ("other", "", False)]

    assert run("profile", "use", "other").exit_code == 0
    assert run("--profile", "dev", "status", fake_line.TASK_ID).exit_code == 0
    assert run("profile", "remove", "dev").exit_code == 0
    assert "secret" not in file.read_text()
    gone = run("--profile", "dev", "status", "x")
    assert gone.exit_code == 2
    assert "There is no profile 'dev'" in gone.stderr
    assert "other" in gone.stderr


def test_where_there_is_a_keyring_the_key_is_in_it_and_nowhere_else(run, line, ring, no_address, tmp_path):
    no_address()
    run("profile", "add", "dev", f"http://{line.address}", "--api-key", "secret")

    assert ring.kept == {("vectorline", "dev"): "secret"}
    assert "secret" not in (tmp_path / "config" / "vectorline" / "profiles.json").read_text()
    run("status", fake_line.TASK_ID)
    assert line.metadata[0]["x-api-key"] == "secret"

    ring.kept.clear()
    locked = run("status", "x")
    assert locked.exit_code == 2
    assert "does not give it" in locked.stderr
    assert run("status", fake_line.TASK_ID, "--api-key", "other").exit_code == 0

    run("profile", "remove", "dev")
    assert ring.kept == {}


def test_a_keyring_without_a_place_is_none(run, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "keyring", Ring(priority=0))
    result = run("profile", "add", "dev", "http://localhost:1", input="secret\n")
    assert "its key is in" in result.stdout
    assert "secret" in (tmp_path / "config" / "vectorline" / "profiles.json").read_text()


def test_services_of_their_own_are_a_profile_too(run, line, without, no_address):
    no_address()
    addresses = [part for name in ("ingest", "embedder", "indexer") for part in (f"--{name}-addr", line.address)]
    assert run("profile", "add", "direct", *addresses, "--no-key").exit_code == 0
    assert run("health").exit_code == 0
    assert line.calls == ["GetHealth"]


def test_what_goes_before_what(without, tmp_path):
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "API_KEY": "of the environment"}
    profiles.add("used", profiles.Profile(gateway="http://used:1"), "k", environ)
    profiles.add("named", profiles.Profile(gateway="http://named:1"), "n", environ)
    (tmp_path / ".run").mkdir()
    (tmp_path / ".run" / "endpoints.env").write_text("GATEWAY_URL=http://file:1\nAPI_KEY=f\n")

    def found(flags=None, profile=None, **more):
        where = endpoints.resolve(flags or {}, {**environ, **more}, tmp_path, profile=profile)
        return where.gateway, where.api_key

    assert found() == ("http://used:1", "k")
    assert found(VECTORLINE_PROFILE="named") == ("http://named:1", "n")
    assert found(GATEWAY_URL="http://environment:1") == ("http://environment:1", "of the environment")
    assert found(profile="named", GATEWAY_URL="http://environment:1") == ("http://named:1", "n")
    assert found({"API_KEY": "flag"}) == ("http://used:1", "flag")
    profiles.use(None, environ)
    assert found() == ("http://file:1", "f")


def test_a_file_that_is_none_is_named(tmp_path):
    file = tmp_path / "vectorline" / "profiles.json"
    file.parent.mkdir()
    for text in ("{", "[]"):
        file.write_text(text)
        with pytest.raises(failures.CommandError, match=r"profiles\.json"):
            profiles.all_of({"XDG_CONFIG_HOME": str(tmp_path)})


def test_a_profile_needs_an_address_and_a_key_or_the_word_that_there_is_none(run, without):
    assert run("profile", "add", "x").exit_code == 2
    assert run("profile", "add", "x", "http://localhost:1", input="").exit_code == 2
    assert run("profile", "use").exit_code == 2
    assert run("profile", "use", "nobody").exit_code == 2
