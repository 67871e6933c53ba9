"""Calls between services that are traced: unary, streamed, by their own interceptors; health is watched as ever."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pydantic
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from vectorline.v1 import indexer_pb2, indexer_pb2_grpc, ledger_pb2, ledger_pb2_grpc, monitoring_pb2, task_pb2

from services.runtime import channels, identity, logs
from services.runtime.tracing import spans
from tests.support import chunks, servers
from tests.unit.runtime.tracing import test_spans

TOKEN = "an-internal-token"


class Seen(servers.Servicers):
    """Says which trace each call was part of."""

    async def GetTaskRecord(self, request: Any, context: Any) -> ledger_pb2.TaskRecord:
        return ledger_pb2.TaskRecord(task_id=spans.current())

    async def StreamTasks(self, request: Any, context: Any) -> AsyncIterator[task_pb2.Task]:
        for _ in range(3):
            yield task_pb2.Task(task_id=spans.current())

    async def GetTask(self, request: Any, context: Any) -> task_pb2.Task:
        identity.current()
        return task_pb2.Task(task_id=str(logs.traced(None, "", {}).get("trace_id", "")))


@pytest.fixture
def backend() -> Iterator[test_spans.Backend]:
    recording = test_spans.Backend()
    spans.use(recording)
    yield recording
    spans.use(None)


@pytest.fixture
async def channel(backend: test_spans.Backend) -> AsyncIterator[grpc.aio.Channel]:
    async with servers.serving(servicers=Seen(), internal_token=TOKEN) as served:
        secret = pydantic.SecretStr(TOKEN)
        async with channels.connect(served.address, secret, name="indexer") as connected:
            yield connected


async def ended_with(theirs: Any, code: str) -> None:
    """A server's span ends after its caller has the answer."""
    await chunks.eventually(lambda: "rpc.grpc.status_code" in theirs.attributes)
    assert theirs.attributes["rpc.grpc.status_code"] == code


async def test_a_call_of_another_service_is_a_span_on_both_sides(
    channel: grpc.aio.Channel, backend: test_spans.Backend
) -> None:
    ledger: Any = ledger_pb2_grpc.LedgerServiceStub(channel)
    with spans.served(test_spans.SAMPLED, "outer", begins=False) as outer:
        answer = await ledger.GetTaskRecord(ledger_pb2.GetTaskRecordRequest(task_id="t"))

    mine, theirs = backend.made[1:]
    assert {mine.name, theirs.name} == {"vectorline.v1.LedgerService/GetTaskRecord"}
    assert (mine.parent, theirs.parent) == (outer.traceparent, mine.traceparent)
    assert answer.task_id == theirs.traceparent
    assert mine.attributes["rpc.grpc.status_code"] == 0
    await ended_with(theirs, "OK")


async def test_a_stream_is_whole_and_part_of_the_trace(channel: grpc.aio.Channel, backend: test_spans.Backend) -> None:
    indexer: Any = indexer_pb2_grpc.IndexerServiceStub(channel)
    with spans.served(test_spans.SAMPLED, "outer", begins=False):
        told = [task.task_id async for task in indexer.StreamTasks(indexer_pb2.StreamTasksRequest())]

    assert len(told) == 3
    assert set(told) == {backend.made[-1].traceparent}


async def test_an_unsampled_trace_is_passed_on_and_nothing_is_recorded(
    channel: grpc.aio.Channel, backend: test_spans.Backend
) -> None:
    ledger: Any = ledger_pb2_grpc.LedgerServiceStub(channel)
    with spans.served(test_spans.UNSAMPLED, "outer", begins=True):
        answer = await ledger.GetTaskRecord(ledger_pb2.GetTaskRecordRequest(task_id="t"))
    assert answer.task_id == test_spans.UNSAMPLED
    assert backend.made == []


async def test_a_callers_call_begins_a_trace_that_log_lines_name(
    channel: grpc.aio.Channel, backend: test_spans.Backend
) -> None:
    indexer: Any = indexer_pb2_grpc.IndexerServiceStub(channel)
    told = await indexer.GetTask(servers.task())
    assert told.task_id == test_spans.TRACE
    assert [each.name for each in backend.made] == ["vectorline.v1.IndexerService/GetTask"]


async def test_what_our_services_ask_each_other_outside_of_any_trace_begins_none(
    channel: grpc.aio.Channel, backend: test_spans.Backend
) -> None:
    """Every chunk's gate was a trace of its own: one in a hundred was recorded, and each was paid for."""
    ledger: Any = ledger_pb2_grpc.LedgerServiceStub(channel)
    answer = await ledger.GetTaskRecord(ledger_pb2.GetTaskRecordRequest(task_id="t"))
    assert answer.task_id == ""
    assert backend.made == []


async def test_a_call_that_fails_is_shown_with_its_code(channel: grpc.aio.Channel, backend: test_spans.Backend) -> None:
    indexer: Any = indexer_pb2_grpc.IndexerServiceStub(channel)
    with spans.served(test_spans.SAMPLED, "outer", begins=False), pytest.raises(grpc.aio.AioRpcError):
        await indexer.HealTasks(monitoring_pb2.HealTasksRequest())
    assert backend.made[-2].attributes["rpc.grpc.status_code"] == grpc.StatusCode.UNIMPLEMENTED.value[0]
    await ended_with(backend.made[-1], "UNIMPLEMENTED")


async def test_health_is_watched_and_never_traced(channel: grpc.aio.Channel, backend: test_spans.Backend) -> None:
    """OpenTelemetry's own interceptor ends Health.Watch with UNKNOWN."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(service=servers.SERVICES[0]))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()
    assert backend.made == []


def test_a_line_outside_of_any_trace_names_none() -> None:
    with structlog.testing.capture_logs(processors=[logs.traced]) as lines:
        structlog.get_logger().info("It is so.", action="so")
    assert "trace_id" not in lines[0]
