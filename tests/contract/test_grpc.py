"""API §1 by gRPC, through the same gateway: the primary interface."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from vectorline.v1 import (
    embedder_pb2,
    embedder_pb2_grpc,
    indexer_pb2,
    indexer_pb2_grpc,
    ingest_pb2,
    ingest_pb2_grpc,
    ledger_pb2,
    ledger_pb2_grpc,
    monitoring_pb2,
    task_pb2,
)

from tests.support import csvs
from tests.support.line import Line


@pytest.fixture
def channel(line: Line) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(line.endpoints["GATEWAY_URL"].removeprefix("http://")) as opened:
        yield opened


@pytest.fixture
def key(line: Line) -> tuple[tuple[str, str], ...]:
    return (("x-api-key", line.endpoints["API_KEY"]),)


def refusal(call: Any) -> tuple[grpc.StatusCode, list[Any]]:
    """The code and the details of a refused call."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    status = rpc_status.from_call(caught.value)
    assert status is not None
    kinds = (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest)
    found = [kind.FromString(each.value) for each in status.details for kind in kinds if each.Is(kind.DESCRIPTOR)]
    return caught.value.code(), found


@pytest.mark.parametrize("method", ["IndexerService/GetTask", "IndexerService/WatchTask", "IngestService/Process"])
@pytest.mark.parametrize("request_bytes", [b"\x0a\x01\xff", b"\x0a\xff"], ids=["no UTF-8", "cut off"])
def test_bytes_that_are_no_request_are_told_so_without_a_librarys_words(
    channel: grpc.Channel, key: Any, method: str, request_bytes: bytes
) -> None:
    call = channel.unary_stream(f"/vectorline.v1.{method}")

    code, found = refusal(lambda: list(call(request_bytes, metadata=key)))

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert [detail.reason for detail in found] == ["MALFORMED_MESSAGE"]


def test_bytes_that_are_no_request_tell_a_stranger_nothing_of_it(channel: grpc.Channel) -> None:
    call = channel.unary_unary("/vectorline.v1.IndexerService/GetTask")

    assert refusal(lambda: call(b"\x0a\xff"))[0] is grpc.StatusCode.UNAUTHENTICATED


def test_a_task_by_grpc_is_the_task_by_rest_and_has_the_enum(
    channel: grpc.Channel, key: Any, done: dict[str, Any]
) -> None:
    task = indexer_pb2_grpc.IndexerServiceStub(channel).GetTask(
        indexer_pb2.GetTaskRequest(task_id=done["task_id"]), metadata=key
    )

    assert task.state == task_pb2.TASK_STATE_COMPLETED
    assert task.status == done["status"]
    assert task.progress.processed_records == done["progress"]["processed_records"]
    assert not task.HasField("error")


def test_tasks_are_listed_by_pages(
    channel: grpc.Channel, key: Any, done: dict[str, Any], flawed: dict[str, Any]
) -> None:
    stub, seen, token = indexer_pb2_grpc.IndexerServiceStub(channel), [], ""
    while True:
        page = stub.ListTasks(indexer_pb2.ListTasksRequest(page_size=2, page_token=token), metadata=key)
        assert len(page.tasks) <= 2
        seen += [task.task_id for task in page.tasks]
        token = page.next_page_token
        if not token:
            break

    assert len(seen) == len(set(seen))
    assert {done["task_id"], flawed["task_id"]} <= set(seen)


def test_a_bad_list_names_every_bad_field(channel: grpc.Channel, key: Any) -> None:
    asked = {"page_size": -1, "status_filter": "done", "task_type": "csv", "page_token": "x"}
    stub = indexer_pb2_grpc.IndexerServiceStub(channel)
    code, details = refusal(lambda: stub.ListTasks(indexer_pb2.ListTasksRequest(**asked), metadata=key))

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert {violation.field for violation in details[1].field_violations} == set(asked)


def test_a_page_size_of_zero_or_too_many_is_no_error(
    channel: grpc.Channel, key: Any, done: dict[str, Any], flawed: dict[str, Any]
) -> None:
    stub = indexer_pb2_grpc.IndexerServiceStub(channel)
    every, default = (
        stub.ListTasks(indexer_pb2.ListTasksRequest(page_size=size), metadata=key) for size in (1_000_000, 0)
    )

    assert 2 <= len(default.tasks) <= 100
    assert len(every.tasks) >= len(default.tasks)


def test_filters_hold_by_grpc(channel: grpc.Channel, key: Any, done: dict[str, Any], flawed: dict[str, Any]) -> None:
    asked = indexer_pb2.ListTasksRequest(status_filter="partially_completed", task_type="upload")
    page = indexer_pb2_grpc.IndexerServiceStub(channel).ListTasks(asked, metadata=key)

    assert flawed["task_id"] in {task.task_id for task in page.tasks}
    assert {(task.status, task.metadata.task_type) for task in page.tasks} == {("partially_completed", "upload")}


def test_a_refusal_has_reason_and_domain(channel: grpc.Channel, key: Any) -> None:
    stub = indexer_pb2_grpc.IndexerServiceStub(channel)
    code, details = refusal(lambda: stub.GetTask(indexer_pb2.GetTaskRequest(task_id="x"), metadata=key))

    assert code is grpc.StatusCode.NOT_FOUND
    assert (details[0].reason, details[0].domain) == ("TASK_NOT_FOUND", "vectorline")


def test_a_bad_request_names_every_bad_field(channel: grpc.Channel, key: Any) -> None:
    stub = ingest_pb2_grpc.IngestServiceStub(channel)
    code, details = refusal(
        lambda: stub.Process(ingest_pb2.ProcessRequest(data_source="ftp", chunk_size=1, priority="x"), metadata=key)
    )

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    named = {violation.field for violation in details[1].field_violations}
    assert {"data_source", "chunk_size", "priority"} <= named


def test_without_a_key_only_health_answers(channel: grpc.Channel) -> None:
    tasks, line_health = indexer_pb2_grpc.IndexerServiceStub(channel), embedder_pb2_grpc.EmbedderServiceStub(channel)
    code, _ = refusal(lambda: tasks.GetTask(indexer_pb2.GetTaskRequest(task_id="x")))

    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert line_health.GetHealth(embedder_pb2.GetHealthRequest()).status == "healthy"


def test_what_is_internal_does_not_exist_from_outside(channel: grpc.Channel, key: Any) -> None:
    stub = ledger_pb2_grpc.LedgerServiceStub(channel)
    with pytest.raises(grpc.RpcError) as caught:
        stub.GetTaskRecord(ledger_pb2.GetTaskRecordRequest(task_id="x"), metadata=key)

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_an_upload_is_a_stream_and_a_second_cancel_is_aborted(line: Line, channel: grpc.Channel, key: Any) -> None:
    content = csvs.of(csvs.rows(30_000))
    first = ingest_pb2.UploadRequest(filename="a.csv", question_id=9, namespace="contract-grpc", chunk_size=100)
    parts = [content[start : start + 500_000] for start in range(0, len(content), 500_000)]

    def requests() -> Iterator[ingest_pb2.UploadRequest]:
        for number, part in enumerate(parts):
            request = ingest_pb2.UploadRequest()
            if not number:
                request.CopyFrom(first)
            request.body.data = part
            yield request

    stored = ingest_pb2_grpc.IngestServiceStub(channel).Upload(requests(), metadata=key)
    stub = indexer_pb2_grpc.IndexerServiceStub(channel)
    cancel = indexer_pb2.CancelTaskRequest(task_id=stored.task_id)
    stub.CancelTask(cancel, metadata=key)
    code, details = refusal(lambda: stub.CancelTask(cancel, metadata=key))

    assert (code, details[0].reason) == (grpc.StatusCode.ABORTED, "TASK_FINISHED")
    watched = [
        task.status for task in stub.WatchTask(indexer_pb2.WatchTaskRequest(task_id=stored.task_id), metadata=key)
    ]
    assert watched[-1] == "cancelled"
    line.finished(stored.task_id)


def test_the_views_are_there_by_grpc_too(channel: grpc.Channel, key: Any, done: dict[str, Any]) -> None:
    lanes = embedder_pb2_grpc.EmbedderServiceStub(channel).GetQueues(monitoring_pb2.GetQueuesRequest(), metadata=key)
    stub = indexer_pb2_grpc.IndexerServiceStub(channel)

    assert [lane.name for lane in lanes.queues] == ["first", "high", "normal", "low"]
    assert stub.GetStatistics(monitoring_pb2.GetStatisticsRequest(hours=1), metadata=key).tasks >= 1
