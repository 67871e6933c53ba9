"""The rate that one caller's address has at the gateway, whatever its keys."""

import socket
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from vectorline.v1 import indexer_pb2, indexer_pb2_grpc

from tests.integration.gateway import sockets
from tests.integration.gateway.conftest import Gateway, started

RATE = 2  # requests a second; twice as many at once
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def strict(upstream: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with a low rate behind one proxy that is believed, so that a test may come from any address."""
    environment = {"ENVOY_CLIENT_REQUESTS_PER_SECOND": str(RATE), "ENVOY_TRUSTED_HOPS": "1"}
    with started(upstream, tmp_path_factory.mktemp("strict"), **environment) as gateway:
        yield gateway


def statuses(gateway: Gateway, *addresses: str, path: str = "/api/v1/status/t-1") -> list[int]:
    """Of one request from each of these addresses, over one connection."""
    with httpx.Client(base_url=gateway.url, timeout=30) as client:
        return [client.get(path, headers={"x-forwarded-for": address}).status_code for address in addresses]


def test_a_caller_over_its_rate_is_a_429_in_the_same_form_with_retry_after(strict: Gateway) -> None:
    with httpx.Client(base_url=strict.url, headers={"x-forwarded-for": "198.51.100.1"}) as client:
        answers = [client.get("/api/v1/status/t-1") for _ in range(10 * RATE)]

    assert [answer.status_code for answer in answers[: 2 * RATE]] == [200] * 2 * RATE
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["code"] == 8
    assert refused.json()["details"][0]["reason"] == "TOO_MANY_REQUESTS"


def test_other_callers_do_not_feel_it(strict: Gateway) -> None:
    assert 429 in statuses(strict, *["198.51.100.2"] * 20)
    assert statuses(strict, "198.51.100.3") == [200]


def test_a_grpc_caller_over_its_rate_hears_resource_exhausted(strict: Gateway) -> None:
    assert 429 in statuses(strict, *["198.51.100.4"] * 20)
    metadata = (("x-forwarded-for", "198.51.100.4"),)

    def ask(stub: Any) -> None:
        for _ in range(100):  # a machine that is slow for a moment has a call or two let through
            stub.GetTask(indexer_pb2.GetTaskRequest(), timeout=20, metadata=metadata)

    with grpc.insecure_channel(f"127.0.0.1:{strict.port}") as channel, pytest.raises(grpc.RpcError) as refused:
        ask(indexer_pb2_grpc.IndexerServiceStub(channel))

    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "{" not in str(refused.value.details())


def test_a_caller_cannot_be_another_by_saying_so(strict: Gateway) -> None:
    """The proxy writes the last address; what stands before it came from the caller."""
    assert 429 in statuses(strict, *(f"203.0.113.{n}, 198.51.100.5" for n in range(20)))


def test_a_caller_of_ipv6_is_its_64(strict: Gateway) -> None:
    assert 429 in statuses(strict, *(f"2001:db8::{n:x}" for n in range(1, 20)))
    assert statuses(strict, "2001:db8:0:1::1") == [200]


def test_health_is_answered_whatever_the_rate(strict: Gateway) -> None:
    assert set(statuses(strict, *["198.51.100.6"] * 50, path="/healthz")) == {200}


def test_an_upload_counts_once_however_large(strict: Gateway, seen: Any) -> None:
    headers = {"x-forwarded-for": "198.51.100.7"}
    body = (b"x" * MIB for _ in range(20))
    answer = httpx.post(f"{strict.url}/api/v1/upload/a.csv", content=body, headers=headers, timeout=30)

    assert answer.status_code == 202
    assert seen.upload_messages > 2 * RATE
    assert statuses(strict, *["198.51.100.7"] * RATE) == [200] * RATE


def allocated_bytes(gateway: Gateway) -> int:
    return int(httpx.get(f"http://127.0.0.1:{gateway.admin_port}/memory").json()["allocated"])


def test_a_caller_takes_little_memory(strict: Gateway) -> None:
    """The count of those that are known at once has an end (render.CLIENTS)."""
    before = allocated_bytes(strict)
    with socket.create_connection(("127.0.0.1", strict.port), timeout=20) as caller:
        for number in range(2000):
            address = b"x-forwarded-for: 10.1.%d.%d\r\n\r\n" % divmod(number, 256)
            caller.sendall(b"HEAD /nope" + sockets.HEAD + address)
            assert caller.recv(4096).startswith(b"HTTP/1.1 404")

    assert (allocated_bytes(strict) - before) / 2000 < 2000
