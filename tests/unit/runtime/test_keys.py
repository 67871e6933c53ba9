"""API_KEYS: several keys, hashed, with scopes, expiry and limits; read from JSON or a file, and followed."""

import datetime
import hashlib
import hmac
import json
import os
import pathlib
from typing import Any

import pytest
import structlog

from services.runtime import identity, keys, settings

PEPPER = "pepper-pepper-pepper"
NOW = datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC)


def listed(*entries: dict[str, Any]) -> str:
    return json.dumps(entries)


def one(secret: str = "s3cret", **changes: Any) -> dict[str, Any]:
    made = {"id": "nightly", "hash": keys.digest(secret, PEPPER).hex(), "scopes": ["ingest"]}
    return {**made, **changes}


def ring(api_keys: str = "", api_key: str = "", pepper: str = PEPPER) -> keys.Keyring:
    return keys.Keyring(
        settings.AccessSettings.model_validate({"api_keys": api_keys, "api_key": api_key, "api_key_pepper": pepper})
    )


def test_the_hash_is_hmac_sha256_of_the_secret_under_the_pepper() -> None:
    assert keys.digest("s3cret", PEPPER) == hmac.new(PEPPER.encode(), b"s3cret", hashlib.sha256).digest()


def test_a_key_is_found_by_its_secret_with_all_that_its_entry_says() -> None:
    limits = {"requests_per_second": 2.5, "open_tasks": 3, "rows_per_day": 1_000, "tokens_per_day": 9, "watches": 2}
    found = ring(listed(one(expires="2027-01-01T00:00:00Z", limits=limits))).find("s3cret")

    assert found is not None
    assert (found.key_id, found.scopes) == ("nightly", {"ingest"})
    assert found.limits == identity.KeyAllowance(2.5, 3, 1_000, tokens_per_day=9, watches=2)
    assert not found.expired(NOW - datetime.timedelta(seconds=1))
    assert found.expired(NOW)


def test_an_entry_says_which_names_its_key_may_use() -> None:
    (found,) = keys.parse(listed(one(allow={"namespaces": ["ann-*"], "questions": [232, "9*"]})))

    assert found.allow == identity.Reach(namespaces=("ann-*",), questions=("232", "9*"))
    assert keys.parse(listed(one()))[0].allow == identity.ANYWHERE


@pytest.mark.parametrize(
    "allow", [{"namespace": ["a"]}, {"namespaces": "a"}, {"namespaces": [""]}, {"questions": [True]}, []]
)
def test_a_slip_in_what_a_key_may_use_is_no_key_for_everything(allow: Any) -> None:
    with pytest.raises(keys.WrongKeys, match="allow"):
        keys.parse(listed(one(allow=allow)))


def test_a_wrong_secret_a_hash_and_nothing_find_no_key() -> None:
    made = ring(listed(one()))

    assert made.find("s3cre") is None
    assert made.find(keys.digest("s3cret", PEPPER).hex()) is None
    assert ring().find("") is None


def test_the_predecessors_key_has_every_scope_beside_the_others() -> None:
    made = ring(listed(one()), api_key="old")
    old, new = made.find("old"), made.find(b"s3cret")

    assert old == keys.Key("default", keys.digest("old", PEPPER), keys.SCOPES)
    assert new is not None
    assert new.key_id == "nightly"


def test_two_keys_of_one_id_live_at_once_so_that_one_can_be_rotated() -> None:
    made = ring(listed(one("before"), one("after")))

    assert {found.key_id for secret in ("before", "after") if (found := made.find(secret))} == {"nightly"}


def test_admin_implies_the_other_scopes_and_ingest_implies_none() -> None:
    (admin, ingest) = keys.parse(listed(one("a", scopes=["admin"]), one("b")))

    assert admin.scopes == {"read", "ingest", "admin"}
    assert ingest.scopes == {"ingest"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "neither a JSON list nor a file"),
        ("[", "not a JSON list of keys"),
        (listed({"id": "a"}), "entry 1.hash"),
        (listed(one(), one("b", scopes=["write"])), "entry 2.scopes"),
        (listed(one(scopes=[])), "entry 1.scopes"),
        (listed(one(hash="00")), "entry 1.hash"),
        (listed(one(id="internal")), "the line's own"),
        (listed(one(id="a b")), "entry 1.id"),
        (listed(one(expires="2027-01-01T00:00:00")), "entry 1.expires"),
        (listed(one(limits={"rows": 5})), "entry 1.limits.rows"),
        (listed(one(limits={"open_tasks": 1001})), "entry 1.limits.open_tasks"),
        (listed(one(), one()), "same hash"),
    ],
)
def test_a_wrong_list_is_named_by_its_entry_and_without_its_hashes(text: str, words: str) -> None:
    with pytest.raises(keys.WrongKeys, match=words) as caught:
        ring(text)

    assert one()["hash"] not in str(caught.value)


def test_a_list_needs_a_pepper() -> None:
    with pytest.raises(keys.WrongKeys, match="API_KEY_PEPPER"):
        ring(listed(one()), pepper="short")


def test_a_changed_file_counts_at_once_and_a_broken_one_changes_nothing(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(listed(one("first")))
    made = ring(str(file))
    assert made.find("first")

    write(file, listed(one("second")))
    assert made.find("second")
    assert made.find("first") is None

    with structlog.testing.capture_logs() as said:
        write(file, "[{]")
        assert made.find("second")
        file.unlink()
        assert made.find("second")
    assert {line["action"] for line in said} == {"keys_wrong"}

    write(file, listed(one("third")))
    assert made.find("third")


def write(file: pathlib.Path, text: str) -> None:
    """Replace it as editors do, with a time of its own."""
    fresh = file.with_suffix(".new")
    fresh.write_text(text)
    later = (file.stat().st_mtime_ns if file.exists() else fresh.stat().st_mtime_ns) + 1_000_000
    os.utime(fresh, ns=(later, later))
    fresh.replace(file)


def test_the_tool_makes_a_secret_and_an_entry_that_lets_it_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("API_KEY_PEPPER", PEPPER)

    assert keys.main(["new", "--id", "reports", "--scope", "read"]) == 0

    shown, entry = capsys.readouterr().out.splitlines()
    found = ring(f"[{entry.removeprefix('For API_KEYS: ')}]").find(shown.rpartition(" ")[2])
    assert found is not None
    assert (found.key_id, found.scopes) == ("reports", {"read"})


def test_the_tool_refuses_without_a_pepper(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("API_KEY_PEPPER", raising=False)

    assert keys.main(["new"]) == 2
    assert "API_KEY_PEPPER" in capsys.readouterr().err
