"""What the gateway answers by itself: health, and refusals of what no service should see."""

import concurrent.futures
import socket
import time
from typing import Any

import grpc
import httpx
import pytest
from vectorline.v1 import indexer_pb2, indexer_pb2_grpc

from gateway import render
from tests.support import proxy
from tests.support.line import wait_for

SERVICES = ("ingest", "embedder", "indexer")
# A ping every ten seconds, and ten for its answer; what a busy machine adds.
STILL_SECONDS = 30.0


@pytest.mark.parametrize("path", ["/healthz", *(f"/healthz/{service}" for service in SERVICES)])
def test_health_is_200_without_a_body_while_the_services_serve(rest: httpx.Client, path: str) -> None:
    answer = rest.get(path)

    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("sick", SERVICES)
def test_health_follows_each_service(gateway: Any, upstream: Any, rest: httpx.Client, sick: str) -> None:
    upstream.serving(sick, False)
    try:
        answer = gateway.wait_for(f"/healthz/{sick}", 503)
        assert answer.content == b""
        assert rest.get("/healthz").status_code == 503
        for other in set(SERVICES) - {sick}:
            assert rest.get(f"/healthz/{other}").status_code == 200
    finally:
        upstream.serving(sick, True)
        gateway.wait_for("/healthz", 200)


def test_no_replica_is_a_503_in_the_same_form_for_rest_and_unavailable_for_grpc(
    gateway: Any, upstream: Any, rest: httpx.Client
) -> None:
    upstream.serving("indexer", False)
    try:
        gateway.wait_for("/healthz/indexer", 503)
        for path in ("/api/v1/status/t-1", "/api/v1/status/t-1/watch", "/api/v1/tasks"):
            answer = rest.get(path)
            assert answer.status_code == 503
            assert answer.json()["code"] == 14
            assert answer.json()["details"][0]["reason"] == "SERVICE_UNAVAILABLE"
        with grpc.insecure_channel(f"127.0.0.1:{gateway.port}") as channel, pytest.raises(grpc.RpcError) as refused:
            indexer_pb2_grpc.IndexerServiceStub(channel).GetTask(indexer_pb2.GetTaskRequest(), timeout=20)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "{" not in str(refused.value.details())
    finally:
        upstream.serving("indexer", True)
        gateway.wait_for("/healthz", 200)


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ({"a": "x" * 70_000}, 431, "HEADERS_TOO_LARGE"),
        ({f"a{number}": "x" for number in range(150)}, 431, "HEADERS_TOO_LARGE"),
        ({"x_api_key": "k"}, 400, "BAD_REQUEST"),
    ],
)
def test_unreasonable_headers_are_refused(
    rest: httpx.Client, headers: dict[str, str], status: int, reason: str
) -> None:
    answer = rest.get("/api/v1/status/t-1", headers=headers)

    assert answer.status_code == status
    assert answer.json()["details"][0]["reason"] == reason


def test_a_head_that_dribbles_in_is_cut_off(gateway: Any) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as caller:
        caller.sendall(b"GET /api/v1/status/t-1 HTTP/1.1\r\nHost: x\r\n")
        answer = caller.recv(65536)

    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"REQUEST_TIMEOUT"' in answer


def test_the_access_log_holds_paths_without_queries_and_no_keys(gateway: Any, rest: httpx.Client) -> None:
    def logged() -> list[int]:
        text = gateway.log.read_text()
        return [text.count(f'"/api/v1/{path}"') for path in ("tasks", "nope")]

    before = logged()  # by other tests
    rest.get("/api/v1/tasks?page_token=canary-in-query", headers={"X-API-Key": "canary-in-key"})
    rest.get("/api/v1/nope?page_token=canary-in-query", headers={"X-API-Key": "canary-in-key"})

    deadline = time.monotonic() + 15
    while any(now == then for now, then in zip(logged(), before, strict=True)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "canary" not in gateway.log.read_text()


def test_the_admin_page_is_not_on_the_public_port(gateway: Any) -> None:
    admin = f"http://127.0.0.1:{gateway.admin_port}"

    assert httpx.get(f"{admin}/ready").text == "LIVE\n"
    listening = httpx.get(f"{admin}/listeners?format=json").json()
    assert len(listening["listener_statuses"]) == 1


def test_a_dead_replica_is_passed_over(upstream: Any, start_gateway: Any, unused_port: int) -> None:
    """One address of two refuses connections: no caller notices."""
    pair = f"127.0.0.1:{unused_port},127.0.0.1:{upstream.port}"
    gateway = start_gateway(dict.fromkeys(render.ADDRESSES, pair))
    gateway.wait_for("/healthz", 200)

    assert {httpx.get(f"{gateway.url}/api/v1/status/t-{n}").status_code for n in range(20)} == {200}


@pytest.mark.timeout(180)
def test_an_upload_to_a_replica_that_stands_still_ends_in_time(upstream: Any, start_gateway: Any, seen: Any) -> None:
    """It is healthy when the upload begins and answers nothing any more: who sent the file may send it again soon."""
    between, before = proxy.Proxy(upstream.port), upstream.servicers.calls["Upload"]
    seen.gate.clear()
    try:
        gateway = start_gateway(dict.fromkeys(render.ADDRESSES, f"127.0.0.1:{between.port}"))
        gateway.wait_for("/healthz", 200)
        with concurrent.futures.ThreadPoolExecutor(1) as callers:
            url = f"{gateway.url}/api/v1/upload/slow.csv?question_id=1"
            call = callers.submit(httpx.post, url, content=b"id,text\n", timeout=120)
            wait_for("the upload to begin", lambda: upstream.servicers.calls["Upload"] > before or None)
            began = time.monotonic()
            with between.toxic(proxy.Kind.HANG):
                answer = call.result(120)
    finally:
        seen.gate.set()
        between.close()

    assert answer.status_code == 503
    assert time.monotonic() - began < STILL_SECONDS
