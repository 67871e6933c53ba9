"""Scripted faults hit REST and gRPC alike, as often as they say, and the journal tells what happened."""

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pinecone
import pytest
from pinecone import Pinecone, RetryConfig, ServerlessSpec

from sandbox.pinecone import testing

FINE = [1.0, 2.0]
BATCH = [(f"7.{number}", FINE) for number in range(10)]
FAILURES = (pinecone.PineconeConnectionError, pinecone.ApiError)
ONCE = RetryConfig(max_retries=0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[testing.Process]:
    with testing.running(tmp_path_factory.mktemp("pinecone")) as process:
        with Pinecone(api_key="any", host=process.url) as client:
            spec = ServerlessSpec(cloud="aws", region="us-east-1")
            client.create_index(name="main", dimension=2, metric="cosine", spec=spec)
        yield process


@pytest.fixture(params=["rest", "grpc"])
def index(server: testing.Process, request: pytest.FixtureRequest) -> Iterator[Any]:
    with (
        Pinecone(api_key="any", host=server.url, grpc_scheme="http", retry_config=ONCE) as client,
        client.index("main", grpc=request.param == "grpc") as index,
    ):
        index._http._client._transport._config = ONCE  # REST handles do not take over the client's retry_config
        index.upsert(vectors=[("warm", FINE)], namespace="v2")
        index.delete(delete_all=True, namespace="v2")
        server.forget_requests()
        yield index
        server.set_faults()


def stored(server: testing.Process) -> set[str]:
    return {line["id"] for line in server.dump("main", "v2")}


@pytest.mark.parametrize("status", [429, 500, 503, 403, 404])
def test_a_status_is_answered_as_often_as_asked(index: Any, server: testing.Process, status: int) -> None:
    server.set_faults({"op": "upsert", "kind": "status", "status": status, "times": 1, "retry_after": 2})
    # The SDK's gRPC client turns UNAVAILABLE into a PineconeConnectionError, which has no status.
    with pytest.raises(FAILURES) as caught:
        index.upsert(vectors=BATCH, namespace="v2")
    assert getattr(caught.value, "status_code", 503) == status
    assert stored(server) == set()
    assert index.upsert(vectors=BATCH, namespace="v2").upserted_count == 10
    sums = server.requests()["by_op"]["upsert"]
    assert (sums["calls"], sums["vectors"], sums["vectors_ok"]) == (2, 20, 10)


def test_a_partial_upsert_says_and_stores_less(index: Any, server: testing.Process) -> None:
    server.set_faults({"op": "upsert", "kind": "partial", "keep": 3, "times": 1})
    assert index.upsert(vectors=BATCH, namespace="v2").upserted_count == 3
    assert stored(server) == {"7.0", "7.1", "7.2"}


def test_a_record_is_refused_wherever_it_turns_up(index: Any, server: testing.Process) -> None:
    server.set_faults({"op": "upsert", "kind": "refuse_record", "match_id": "7.5"})
    with pytest.raises(pinecone.ApiError, match=r"'7\.5'") as caught:
        index.upsert(vectors=BATCH, namespace="v2")
    assert caught.value.status_code == 400
    assert index.upsert(vectors=BATCH[:5], namespace="v2").upserted_count == 5


def test_a_reset_connection_before_and_after_the_write(index: Any, server: testing.Process) -> None:
    server.set_faults({"op": "upsert", "kind": "reset", "times": 1})
    with pytest.raises(FAILURES):
        index.upsert(vectors=BATCH, namespace="v2")
    assert stored(server) == set()
    server.set_faults({"op": "upsert", "kind": "reset", "times": 1, "when": "after"})
    with pytest.raises(FAILURES):
        index.upsert(vectors=BATCH, namespace="v2")
    assert len(stored(server)) == 10
    assert index.query(vector=FINE, top_k=1, namespace="v2").matches
    statuses = [call["status"] for call in server.requests(op="upsert")["requests"]]
    assert statuses == ["reset", "reset"]


def test_a_slow_call_is_late_and_whole(index: Any, server: testing.Process) -> None:
    server.set_faults({"op": "query", "kind": "slow", "delay_ms": 80})
    index.query(vector=FINE, top_k=1, namespace="v2")
    assert server.requests(op="query")["requests"][-1]["milliseconds"] >= 80


def test_a_hanging_call_meets_the_callers_deadline(index: Any, server: testing.Process) -> None:
    server.set_faults({"op": "upsert", "kind": "hang"})
    with pytest.raises((pinecone.PineconeTimeoutError, pinecone.ApiError)):
        index.upsert(vectors=BATCH, namespace="v2", timeout=0.3)
    assert stored(server) == set()


def test_a_hanging_call_is_let_go_when_the_faults_are_cleared(server: testing.Process, index: Any) -> None:
    server.set_faults({"op": "query", "kind": "hang"})
    outcome: list[BaseException] = []

    def call() -> None:
        try:
            index.query(vector=FINE, top_k=1, namespace="v2")
        except pinecone.PineconeError as error:
            outcome.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    while httpx.get(f"{server.url}/_sandbox/faults").json()[0]["applied"] == 0:
        assert thread.is_alive()
    server.set_faults()
    thread.join(10)
    assert "scripted fault" in str(outcome[0])


def test_an_outage_takes_everything_with_it_but_the_script(index: Any, server: testing.Process) -> None:
    server.set_faults({"kind": "outage"})
    for call in (lambda: index.upsert(vectors=BATCH), lambda: index.query(vector=FINE, top_k=1)):
        with pytest.raises(FAILURES):
            call()
    assert httpx.get(f"{server.url}/indexes", headers={"Api-Key": "any"}).status_code == 503
    assert httpx.get(f"{server.url}/healthz").status_code == 200
    server.set_faults()
    assert index.upsert(vectors=BATCH, namespace="v2").upserted_count == 10


def test_probability_picks_some_of_many(index: Any, server: testing.Process) -> None:
    server.set_faults({"op": "query", "kind": "status", "status": 500, "probability": 0.5})
    failed = 0
    for _ in range(40):
        try:
            index.query(vector=FINE, top_k=1, namespace="v2")
        except pinecone.ServiceError:
            failed += 1
    assert 0 < failed < 40


@pytest.mark.parametrize(
    "rule", [{"kind": "explode"}, {"kind": "status", "status": 418}, {"colour": "red"}, {"when": "never"}]
)
def test_a_rule_that_could_never_work_is_refused(server: testing.Process, rule: dict[str, Any]) -> None:
    assert httpx.put(f"{server.url}/_sandbox/faults", json=[rule]).status_code == 400
