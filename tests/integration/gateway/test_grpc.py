"""gRPC callers: the public methods pass as they are, the internal ones do not exist."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.api import httpbody_pb2
from vectorline.v1 import (
    access_pb2,
    embedder_pb2,
    indexer_pb2,
    indexer_pb2_grpc,
    ingest_pb2,
    ingest_pb2_grpc,
    ledger_pb2,
)

DEADLINE_SECONDS = 20


@pytest.fixture
def channel(gateway: Any) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{gateway.port}") as opened:
        yield opened


def test_unary_calls_pass_and_their_http_status_stays_200(channel: grpc.Channel) -> None:
    answer, call = ingest_pb2_grpc.IngestServiceStub(channel).Process.with_call(
        ingest_pb2.ProcessRequest(data_source="s3_csv"), timeout=DEADLINE_SECONDS
    )

    assert answer.task_id == "t-1"
    assert call.code() is grpc.StatusCode.OK


def test_methods_without_a_rest_path_pass(channel: grpc.Channel) -> None:
    listed = indexer_pb2_grpc.IndexerServiceStub(channel).ListTasks(
        indexer_pb2.ListTasksRequest(), timeout=DEADLINE_SECONDS
    )

    assert listed.next_page_token == "next"


def test_streams_pass_both_ways(channel: grpc.Channel, seen: Any) -> None:
    parts = [ingest_pb2.UploadRequest(filename="a.csv", body=httpbody_pb2.HttpBody(data=b"x" * 1_000_000))] * 5
    uploaded = ingest_pb2_grpc.IngestServiceStub(channel).Upload(iter(parts), timeout=DEADLINE_SECONDS)
    watched = indexer_pb2_grpc.IndexerServiceStub(channel).WatchTask(
        indexer_pb2.WatchTaskRequest(task_id="t-1"), timeout=DEADLINE_SECONDS
    )

    assert uploaded.task_id == "t-2"
    assert seen.upload_bytes == 5_000_000
    assert [task.status for task in watched] == ["queued", "processing", "completed"]


def test_a_refusal_keeps_its_code_and_details(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        indexer_pb2_grpc.IndexerServiceStub(channel).GetTask(
            indexer_pb2.GetTaskRequest(task_id="unknown"), timeout=DEADLINE_SECONDS
        )

    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert "grpc-status-details-bin" in [entry.key for entry in refused.value.trailing_metadata()]


def internal_methods() -> list[str]:
    services = [
        service
        for module in (ledger_pb2, indexer_pb2, embedder_pb2, ingest_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
    ]
    return [
        f"/{service.full_name}/{method.name}"
        for service in services
        for method in service.methods
        if method.GetOptions().Extensions[access_pb2.access] == access_pb2.ACCESS_INTERNAL
    ]


@pytest.mark.parametrize("path", [*internal_methods(), "/grpc.health.v1.Health/Check"])
def test_internal_methods_do_not_exist_from_outside(channel: grpc.Channel, upstream: Any, path: str) -> None:
    before = upstream.servicers.calls.total()
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
        path, request_serializer=None, response_deserializer=None
    )

    with pytest.raises(grpc.RpcError) as refused:
        call(b"", timeout=DEADLINE_SECONDS)

    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert upstream.servicers.calls.total() == before


@pytest.mark.parametrize("path", [*internal_methods(), "/vectorline.v1.IndexerService/GetTask"])
def test_json_to_a_grpc_path_is_a_404(rest: Any, upstream: Any, path: str) -> None:
    before = upstream.servicers.calls.total()

    assert rest.post(path, json={}).status_code == 404
    assert upstream.servicers.calls.total() == before
