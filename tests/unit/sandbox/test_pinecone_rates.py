"""What Pinecone's limits page allows of each call, a second, a namespace or an index."""

import types
from typing import Any

import pytest

from sandbox.pinecone import __main__ as program
from sandbox.pinecone import errors, rates


class Time:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(rates, "time", types.SimpleNamespace(monotonic=clock.monotonic))
    return clock


def taken(limits: rates.Rates, **call: Any) -> tuple[int, str]:
    """How many of such calls are taken at once, and what the next one is told."""
    for count in range(10_000):
        try:
            limits.check(rates.Asked(**{"index": "idx", "namespace": "v2", **call}))
        except errors.ApiError as refused:
            told = (refused.code, refused.retry_after_seconds)
            return count, refused.message if told == (errors.Code.RESOURCE_EXHAUSTED, 1.0) else str(told)
    return 10_000, ""


@pytest.mark.parametrize(
    ("call", "limit", "words", "of_index"),
    [
        ({"op": "upsert"}, 100, "the upsert QPS limit for namespace v2 (100 QPS)", False),
        ({"op": "upsert", "size_bytes": 2_000_000}, 25, "the max upsert size limit per second for index idx", False),
        ({"op": "query"}, 100, "the query QPS limit for namespace v2 (100 QPS)", False),
        ({"op": "update", "records": 1}, 100, "the update QPS limit for namespace v2 (100 QPS)", False),
        ({"op": "update", "by_filter": True}, 5, "the max update by metadata requests per second for names", False),
        ({"op": "delete", "records": 1}, 100, "the delete QPS limit for namespace v2 (100 QPS)", False),
        ({"op": "delete", "records": 1_000}, 5, "the max delete records per second for namespace v2", True),
        ({"op": "delete", "by_filter": True}, 5, "the max delete by metadata requests per second for names", False),
        ({"op": "fetch"}, 100, "the max fetch requests per second for index idx", True),
        ({"op": "fetch_by_metadata"}, 100, "the max fetch requests per second for index idx", True),
        ({"op": "list"}, 200, "the max list requests per second for index idx", True),
        ({"op": "describe_index_stats"}, 100, "the max describe_index_stats requests per second", True),
    ],
)
def test_the_documented_limits_hold_by_default(
    time: Time, call: dict[str, Any], limit: int, words: str, of_index: bool
) -> None:
    limits = rates.Rates()
    count, message = taken(limits, **call)
    assert count == limit
    assert words in message
    assert taken(limits, **call, namespace="other")[0] == (0 if of_index else limit)
    time.now += 1.0
    assert taken(limits, **call)[0] == limit


def test_what_is_not_limited_is_not(time: Time) -> None:
    limits = rates.Rates()
    assert taken(limits, op="create_namespace")[0] == 10_000
    assert taken(rates.Rates(0, 0, 0), op="upsert", size_bytes=2_000_000)[0] == 10_000
    assert taken(rates.Rates(0, 0, 0), op="query")[0] == 10_000


def test_the_program_has_the_documented_limits_unless_it_is_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["pinecone"])
    for name in ("UPSERTS", "BYTES", "QUERIES"):
        monkeypatch.delenv(f"SANDBOX_PINECONE_{name}_PER_SECOND", raising=False)
    told = program._arguments()
    assert (told.upserts_per_second, told.bytes_per_second, told.queries_per_second) == (100, 50_000_000, 100)
    monkeypatch.setenv("SANDBOX_PINECONE_UPSERTS_PER_SECOND", "0")
    assert program._arguments().upserts_per_second == 0
