"""Streams last longer than a connection may: Envoy in front of a server with the options that ours have.

Only the ages among these options are scaled down, from minutes to a second.
"""

import json
import pathlib
import socket
import time
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from vectorline.v1 import indexer_pb2, indexer_pb2_grpc

from services.runtime import server
from tests.integration.gateway import sockets
from tests.integration.gateway.conftest import SLOW_MESSAGES, SLOW_SECONDS, Gateway, Upstream, started

AGE = "grpc.max_connection_age"
AGE_SECONDS = 1
# gRPC ends a connection a tenth of its age sooner or later; what comes then lasts well over age and grace together.
LONG_SECONDS = SLOW_MESSAGES * SLOW_SECONDS


@pytest.fixture(scope="module")
def ageing() -> Iterator[Upstream]:
    options = [(name, AGE_SECONDS * 1000 if name.startswith(AGE) else value) for name, value in server.SERVER_OPTIONS]
    assert (f"{AGE}_ms", AGE_SECONDS * 1000) in options
    upstream = Upstream(options=options).start()
    upstream.servicers.seen.gate.set()
    yield upstream
    upstream.stop()


@pytest.fixture
def front(ageing: Upstream, tmp_path: pathlib.Path) -> Iterator[Gateway]:
    with started(ageing, tmp_path) as gateway:
        yield gateway


def test_an_upload_outlives_its_connection(front: Gateway, ageing: Upstream) -> None:
    count, until = 0, time.monotonic() + LONG_SECONDS
    with socket.create_connection(("127.0.0.1", front.port), timeout=20) as caller:
        caller.sendall(b"POST /api/v1/upload/long.csv" + sockets.HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        while time.monotonic() < until:
            caller.sendall(b"1\r\nx\r\n")
            count += 1
            time.sleep(SLOW_SECONDS)  # the pace of a slow sender
        caller.sendall(b"0\r\n\r\n")
        answer = caller.recv(65536)

    assert answer.startswith(b"HTTP/1.1 202"), answer
    assert ageing.servicers.seen.upload_bytes == count


def test_an_export_of_rejects_outlives_its_connection(front: Gateway) -> None:
    answer = httpx.get(f"{front.url}/api/v1/status/slow/rejects", timeout=30)

    assert answer.status_code == 200
    assert len(answer.text.splitlines()) == 1 + SLOW_MESSAGES


def test_a_watch_outlives_its_connection_over_rest_and_over_grpc(front: Gateway) -> None:
    with httpx.stream("GET", f"{front.url}/api/v1/status/slow/watch", timeout=30) as events:
        said = [json.loads(line.removeprefix("data: ")) for line in events.iter_lines() if line]
    with grpc.insecure_channel(f"127.0.0.1:{front.port}") as channel:
        stub = indexer_pb2_grpc.IndexerServiceStub(channel)
        told: list[Any] = list(stub.WatchTask(indexer_pb2.WatchTaskRequest(task_id="slow"), timeout=30))

    assert [each["status"] for each in said] == [each.status for each in told]
    assert len(told) == SLOW_MESSAGES + 3
    assert told[-1].status == "completed"


def test_connections_still_end_so_that_new_replicas_are_found(front: Gateway) -> None:
    """What the age is for: calls go on over new connections, none of them refused."""
    name = "cluster.indexer.upstream_cx_total"
    admin = f"http://127.0.0.1:{front.admin_port}/stats?filter={name}"
    before = int(httpx.get(admin).text.rpartition(": ")[2])
    until = time.monotonic() + 3 * AGE_SECONDS
    while time.monotonic() < until:
        assert httpx.get(f"{front.url}/api/v1/status/t-1").status_code == 200

    assert int(httpx.get(admin).text.rpartition(": ")[2]) > before
