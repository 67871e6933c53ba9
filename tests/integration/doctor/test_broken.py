"""Providers, services, clocks, certificates: each thing that the doctor looks at is broken once."""

import asyncio
import datetime
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.chunks import settings as queue_settings
from services.doctor import examination, finding
from services.indexer import ledger
from services.indexer.storage import clock, dynamodb
from services.runtime import aws, keys
from tests.integration.doctor import conftest
from tests.support import certificates, openai, proxy

Around = conftest.Surroundings
MIB = queue_settings.MIB


# ---- Pinecone


@pytest.mark.parametrize(
    ("variables", "part", "level"),
    [
        ({"PINECONE_API_KEY": "pc-another-key"}, "key", "broken"),
        ({"PINECONE_INDEX_NAME": "not-there"}, "index", "broken"),
        ({"EMBEDDING_DIMENSIONS": "512"}, "dimension", "broken"),
        ({"PINECONE_METRIC": "euclidean"}, "metric", "warning"),
    ],
)
async def test_pinecones_settings(around: Around, variables: dict[str, str], part: str, level: str) -> None:
    around.set(**variables)
    report = await around.look("pinecone")
    assert report.wrong == {("pinecone", part, level)}


async def test_pinecone_away(around: Around) -> None:
    around.set(PINECONE_CONTROLLER_HOST=f"http://{conftest.nowhere()}")
    assert conftest.judged((await around.look("pinecone")).of("pinecone", "answer")) == "broken"


async def test_an_index_of_another_kind(around: Around) -> None:
    name = f"sparse-{os.urandom(4).hex()}"
    async with httpx.AsyncClient(base_url=around.pinecone.url, headers={"Api-Key": conftest.PINECONE_KEY}) as rest:
        schema = {"fields": {"_sparse_values": {"type": "sparse_vector"}}}
        (await rest.post("/indexes", json={"name": name, "schema": schema})).raise_for_status()
        around.set(PINECONE_INDEX_NAME=name)
        assert (await around.look("pinecone")).wrong == {("pinecone", "kind", "broken")}
        (await rest.delete(f"/indexes/{name}")).raise_for_status()


async def test_a_namespace_of_another_model(around: Around) -> None:
    where = aws.CallerSettings()
    caller = aws.Caller("DynamoDB", where)
    storage = dynamodb.DynamoTable(around.tables, os.environ["DYNAMODB_TABLE_NAME"], caller)
    book = ledger.Ledger(storage, clock.Clock(), index=os.environ["PINECONE_INDEX_NAME"])
    await book.namespaces.claim("v2", "text-embedding-ada-002", conftest.DIMENSION)
    caller.close()

    report = await around.look("pinecone")

    assert report.wrong == {("pinecone", "namespace", "broken")}
    assert "ada-002" in report.of("pinecone", "namespace").message
    around.set(DYNAMODB_TABLE_NAME="another")
    assert (await around.look("pinecone")).wrong == {("pinecone", "namespace", "warning")}


@pytest.mark.parametrize(
    ("rule", "part", "words"),
    [
        ({"op": "upsert", "kind": "status", "status": 403}, "write", "PERMISSION_DENIED"),
        ({"op": "upsert", "kind": "month_used"}, "write", "quota"),
        ({"op": "query", "kind": "status", "status": 403}, "read", "the key may not"),
        ({"op": "delete", "kind": "status", "status": 403}, "delete", "the key may not"),
    ],
)
async def test_what_pinecones_key_may_not_do(around: Around, rule: dict[str, Any], part: str, words: str) -> None:
    around.pinecone.set_faults(rule)
    report = await around.look("pinecone")
    assert report.wrong == {("pinecone", part, "broken")}
    assert words in report.of("pinecone", part).message


# ---- OpenAI


@pytest.mark.parametrize(
    ("variables", "part"),
    [
        ({"OPENAI_API_KEY": "sk-another-key-0123456789"}, "account"),
        ({"OPENAI_MODEL": "text-embedding-9"}, "account"),
        ({"EMBEDDING_DIMENSIONS": "4096"}, "dimensions"),
        ({"OPENAI_MODEL": "text-embedding-ada-002", "EMBEDDING_DIMENSIONS": "512"}, "dimensions"),
    ],
)
async def test_openais_settings(around: Around, variables: dict[str, str], part: str) -> None:
    around.set(**variables)
    assert (await around.look("openai")).wrong == {("openai", part, "broken")}


async def test_openai_away(around: Around) -> None:
    around.set(OPENAI_BASE_URL=f"http://{conftest.nowhere()}/v1")
    assert (await around.look("openai")).wrong == {("openai", "answer", "broken")}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"OPENAI_RATE_LIMIT": "5", "OPENAI_TOKENS_PER_MINUTE": "1000000"}, {"limit of tokens"}),
        ({"OPENAI_RATE_LIMIT": "50", "OPENAI_TOKENS_PER_MINUTE": "100000"}, {"limit of requests"}),
        ({"OPENAI_RATE_LIMIT": "0", "OPENAI_TOKENS_PER_MINUTE": "0"}, {"limit of requests", "limit of tokens"}),
        ({"OPENAI_RATE_LIMIT": "5", "OPENAI_TOKENS_PER_MINUTE": "500000"}, set()),
    ],
)
async def test_limits_over_the_accounts(around: Around, variables: dict[str, str], expected: set[str]) -> None:
    async with openai.serving(requests_per_minute=600, tokens_per_minute=500_000) as url:
        around.set(OPENAI_BASE_URL=f"{url}/v1", **variables)
        report = await around.look("openai")
    assert report.wrong == {("openai", part, "warning") for part in expected}


async def test_an_account_without_money_and_one_that_is_busy(around: Around) -> None:
    base = os.environ["OPENAI_BASE_URL"].removesuffix("/v1")
    async with httpx.AsyncClient(base_url=base) as control:
        for body, part, level in (("insufficient_quota", "account", "broken"), ("rate_limit", "answer", "warning")):
            rule = {"kind": "status", "code": 429, "body": body}
            (await control.put("/_sandbox/faults", json=[rule])).raise_for_status()
            assert (await around.look("openai")).wrong == {("openai", part, level)}


# ---- the other services, clocks, certificates, keys


async def test_the_indexer_is_away_or_takes_us_for_a_stranger(around: Around) -> None:
    around.set(INTERNAL_TOKEN="another-token-than-the-indexers")
    assert (await around.look("peers")).wrong == {("peers", "identity", "broken")}
    around.set(INDEXER_ADDR=conftest.nowhere())
    assert (await around.look("peers")).wrong == {("peers", "indexer", "broken")}


@pytest.mark.parametrize(("shift", "level", "code"), [(10, "warning", 0), (-3600, "broken", 1)])
async def test_a_clock_that_is_wrong(around: Around, shift: int, level: str, code: int) -> None:
    path = os.pathsep.join((str(Path(__file__).parents[2] / "faults" / "clock"), *sys.path))
    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "services.doctor", "--only", "clocks", "--json"],
        env={**os.environ, "PYTHONPATH": path, "PROCESS_NAME": "doctor", "CLOCK_SHIFT": f"doctor:{shift}"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    found = [json.loads(line) for line in ran.stdout.splitlines()]
    assert {(each["part"], each["level"]) for each in found} == {("valkey", level), ("dynamodb", level)}, ran
    assert ran.returncode == code


DAY = datetime.timedelta(days=1)


def signed(folder: Path, name: str, ends: datetime.timedelta) -> dict[str, str]:
    return {
        key.upper(): path for key, path in certificates.Authority(folder, ends=400 * DAY).sign(name, ends=ends).items()
    }


def mixed(folder: Path, other: str) -> dict[str, str]:
    """One of the files is of another authority."""
    mine, strange = (signed(folder / place, "embedder", 90 * DAY) for place in ("mine", "strange"))
    return {**mine, other: strange[other]}


Files = Callable[[Path], dict[str, str]]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (lambda folder: signed(folder, "embedder", 90 * DAY), set()),
        (lambda folder: signed(folder, "embedder", 5 * DAY), {("certificate", "warning")}),
        (lambda folder: signed(folder, "embedder", -DAY / 2), {("certificate", "broken")}),
        (lambda folder: signed(folder, "gateway", 90 * DAY), {("name", "broken")}),
        (lambda folder: mixed(folder, "TLS_CA_FILE"), {("certificate", "broken")}),
        (lambda folder: mixed(folder, "TLS_KEY_FILE"), {("files", "broken")}),
        (
            lambda folder: {**signed(folder, "embedder", 90 * DAY), "TLS_KEY_FILE": str(folder / "none.key")},
            {("files", "broken")},
        ),
    ],
    ids=["good", "soon", "over", "another's", "another CA", "another key", "no key"],
)
async def test_certificates(around: Around, tmp_path: Path, files: Files, expected: set[tuple[str, str]]) -> None:
    around.set(**files(tmp_path))
    report = await around.look("certificates")
    assert report.wrong == {("certificates", part, level) for part, level in expected}


async def test_keys_that_run_out(around: Around) -> None:
    pepper, now = "sixteen-characters-of-pepper", datetime.datetime.now(datetime.UTC)
    entries = []
    for name, ends in (("over", -DAY), ("soon", 3 * DAY), ("long", 300 * DAY)):
        entry = json.loads(keys.entry(name, f"{conftest.CALLER}-{name}", pepper, ["read"]))
        entries.append({**entry, "expires": (now + ends).isoformat()})
    around.set(API_KEYS=json.dumps(entries), API_KEY_PEPPER=pepper)

    report = await around.look("keys")

    told = [each.message for each in report.found if each.level is finding.Level.WARNING]
    assert len(told) == 2
    assert ("over ran out" in told[0], "soon runs out" in told[1]) == (True, True)
    around.patch.delenv("API_KEYS")
    around.patch.delenv("API_KEY")
    assert (await around.look("keys")).wrong == {("keys", "list", "warning")}


# ---- the doctor itself


async def test_a_wrong_setting_is_a_finding_of_what_needs_it_and_quotes_no_secret(around: Around) -> None:
    around.set(OPENAI_API_KEY=f"{conftest.OPENAI_KEY}\n", AWS_THREADS="many", REDIS_URL=f"http://{conftest.CALLER}")
    report = await around.look("openai", "s3", "valkey", "keys")
    assert report.wrong == {(check, "settings", "broken") for check in ("openai", "s3", "valkey")}
    assert "AWS_THREADS" in report.of("s3", "settings").message


async def test_what_hangs_or_breaks_stops_no_other_check(around: Around, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "CHECK_SECONDS", 1.5)
    with conftest.before(around.valkey.port) as between, between.toxic(proxy.Kind.HANG):
        around.set(REDIS_URL=f"redis://127.0.0.1:{between.port}/0")
        report = await around.look("valkey", "keys")
    assert report.wrong == {("valkey", "answer", "broken")}
    assert report.of("keys", "list").level is finding.Level.OK
