"""What only our own processes may say, and what steers Envoy itself, never arrives from outside."""

from typing import Any

import grpc
import httpx
import pytest
from vectorline.v1 import indexer_pb2, indexer_pb2_grpc

FORGED = {
    "x-internal-token": "t",
    "x-http-code": "204",
    "x-vectorline-internal-token": "t",
    "x-vectorline-any": "t",
    # Of Envoy: how long a call may take, how often it is tried again, who is trusted, which path was asked for.
    "x-envoy-upstream-rq-timeout-ms": "1",
    "x-envoy-expected-rq-timeout-ms": "1",
    "x-envoy-retry-on": "5xx",
    "x-envoy-max-retries": "50",
    "x-envoy-internal": "true",
    "x-envoy-force-trace": "true",
    "x-envoy-original-path": "/forged",
    "x-envoy-decorator-operation": "forged",
    "x-envoy-any": "forged",
    "x-forwarded-client-cert": "forged",
}
# The gateway itself writes under this name: the path of REST before it became one of gRPC.
WRITTEN = {"x-envoy-original-path"}


def forged(seen: Any) -> set[str]:
    """Names under which the service met what a caller had written."""
    return {name for name, value in FORGED.items() if seen.metadata.get(name) == value}


@pytest.mark.parametrize("spell", [str.lower, str.upper, str.title], ids=["lower", "upper", "title"])
def test_internal_headers_never_arrive_by_rest(rest: httpx.Client, seen: Any, spell: Any) -> None:
    answer = rest.get("/api/v1/status/t-1", headers={spell(name): value for name, value in FORGED.items()})

    assert answer.status_code == 200
    assert not forged(seen)
    assert not FORGED.keys() - WRITTEN & seen.metadata.keys()


def test_an_internal_header_that_is_there_twice_is_dropped_twice(rest: httpx.Client, seen: Any) -> None:
    answer = rest.get("/api/v1/status/t-1", headers=[("X-Internal-Token", "a"), ("x-internal-token", "b")])

    assert answer.status_code == 200
    assert "x-internal-token" not in seen.metadata


def test_internal_metadata_never_arrive_by_grpc(gateway: Any, seen: Any) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{gateway.port}") as channel:
        stub = indexer_pb2_grpc.IndexerServiceStub(channel)
        stub.GetTask(indexer_pb2.GetTaskRequest(task_id="t-1"), metadata=tuple(FORGED.items()), timeout=20)

    assert not FORGED.keys() & seen.metadata.keys()
