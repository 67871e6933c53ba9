"""A line without rooms: the three services' public calls on one socket, answering what a test put there."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
from google.api import httpbody_pb2
from google.protobuf import any_pb2, empty_pb2, message, message_factory
from google.rpc import status_pb2
from grpc_status import rpc_status
from vectorline.v1 import (
    embedder_pb2,
    embedder_pb2_grpc,
    indexer_pb2,
    indexer_pb2_grpc,
    ingest_pb2,
    ingest_pb2_grpc,
    task_pb2,
)

from vectorline_client import messages, wire

TASK_ID = "6f1f5c55-0b51-4b4e-9f0a-3c1d5f6a7b80"


def task(
    status: str = "completed", *, total: int = 0, indexed: int = 0, skipped: int = 0, failed: int = 0, **more: Any
):
    """A task with counts."""
    made = task_pb2.Task(task_id=TASK_ID, status=status, **more)
    made.progress.total_records = total
    made.progress.processed_records = indexed
    made.progress.skipped_records = skipped
    made.progress.failed_records = failed
    made.progress.percentage = 100 * (indexed + skipped + failed) / total if total else 0
    made.metadata.source = "catalogue.csv"
    made.metadata.namespace = "v2"
    return made


def seen(made: task_pb2.Task) -> messages.Task:
    """The same as the client reads it."""
    return wire.read(messages.Task, wire.kind("vectorline.v1.Task").FromString(made.SerializeToString()))


@dataclasses.dataclass(frozen=True)
class Refusal:
    """A call that ends in an error; with details as a service of the line sends it, without as a transport does."""

    code: grpc.StatusCode
    message: str = ""
    details: tuple[message.Message, ...] = ()

    def abort(self, context: grpc.ServicerContext) -> None:
        if not self.details:
            context.abort(self.code, self.message)
        status = status_pb2.Status(code=self.code.value[0], message=self.message)
        for detail in self.details:
            packed = any_pb2.Any()
            packed.Pack(detail)
            status.details.append(packed)
        context.abort_with_status(rpc_status.to_status(status))


BREAK = Refusal(grpc.StatusCode.UNAVAILABLE, "Socket closed")


class FakeLine(
    ingest_pb2_grpc.IngestServiceServicer,
    embedder_pb2_grpc.EmbedderServiceServicer,
    indexer_pb2_grpc.IndexerServiceServicer,
):
    """Set what it answers, run a command against `address`, look at what it saw."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "Process": ingest_pb2.ProcessResponse(task_id=TASK_ID, status="pending", message="Stored."),
            "GetTask": task(),
            "ListTasks": indexer_pb2.ListTasksResponse(),
            "CancelTask": empty_pb2.Empty(),
            "ReleaseNamespace": indexer_pb2.ReleaseNamespaceResponse(namespace="v2", model="ada", dimension=1536),
            "Search": embedder_pb2.SearchResponse(),
            "GetHealth": embedder_pb2.GetHealthResponse(status="healthy"),
        }
        self.refusals: dict[str, collections.deque[Refusal]] = collections.defaultdict(collections.deque)
        self.watches: collections.deque[list[task_pb2.Task | Refusal | Callable[[], None]]] = collections.deque()
        self.rejects: list[bytes | Refusal] = []
        self.calls: list[str] = []
        self.requests: list[Any] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self.deadlines: list[float | None] = []
        self.upload_sizes: list[int] = []
        self.upload_sha256 = ""  # of the last that came whole
        self.break_off_seconds = 0.0  # for what a test breaks off: how long an end may turn out to be that
        self.on_upload: Callable[[], object] = lambda: None  # after the first message
        self.released = threading.Event()  # lets a call go on that a test holds
        self._server = grpc.server(futures.ThreadPoolExecutor(8))
        ingest_pb2_grpc.add_IngestServiceServicer_to_server(self, self._server)
        embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(self, self._server)
        indexer_pb2_grpc.add_IndexerServiceServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs to find it."""
        return {
            "INGEST_ADDR": self.address,
            "EMBEDDER_ADDR": self.address,
            "INDEXER_ADDR": self.address,
            "API_KEY": "test-key",
        }

    def close(self) -> None:
        self.released.set()
        self._server.stop(0).wait()

    def _take(self, name: str, request: Any, context: grpc.ServicerContext) -> None:
        self.calls.append(name)
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.deadlines.append(context.time_remaining())
        if self.refusals[name]:
            self.refusals[name].popleft().abort(context)

    def _answer(self, name: str, request: Any, context: grpc.ServicerContext) -> Any:
        self._take(name, request, context)
        answer = self.answers[name]
        return answer(request) if callable(answer) else answer

    def Upload(self, request_iterator, context):
        first = next(request_iterator)
        self._take("Upload", first, context)
        digest = hashlib.sha256(first.body.data)
        self.upload_sizes = [len(first.body.data)]
        self.on_upload()
        for part in request_iterator:
            digest.update(part.body.data)
            self.upload_sizes.append(len(part.body.data))
        if not self._broken_off(context):
            self.upload_sha256 = digest.hexdigest()
        return self.answers.get("Upload", self.answers["Process"])

    def _broken_off(self, context: grpc.ServicerContext) -> bool:
        """A caller that breaks off: grpc tells of the end of the requests and of the break, in any order."""
        over = threading.Event()
        return not context.add_callback(over.set) or over.wait(self.break_off_seconds)

    def WatchTask(self, request, context) -> Iterator[task_pb2.Task]:
        self._take("WatchTask", request, context)
        for step in self.watches.popleft():
            if isinstance(step, Refusal):
                step.abort(context)
            elif callable(step):
                step()
            else:
                yield step

    def GetRejects(self, request, context) -> Iterator[httpbody_pb2.HttpBody]:
        self._take("GetRejects", request, context)
        for step in self.rejects:
            if isinstance(step, Refusal):
                step.abort(context)
            yield httpbody_pb2.HttpBody(content_type="text/csv", data=step)

    def StreamTasks(self, request, context):
        self._take("StreamTasks", request, context)
        yield self.answers["GetTask"]

    def IndexChunk(self, request_iterator, context):
        raise NotImplementedError

    def Query(self, request, context):
        raise NotImplementedError

    def Embed(self, request, context):
        raise NotImplementedError


def _plain(name: str, kind: type[message.Message]) -> Callable[..., Any]:
    """A method with one request and one answer: what the test put there, or an empty one."""

    def answer(self: FakeLine, request: Any, context: grpc.ServicerContext) -> Any:
        self.answers.setdefault(name, kind())
        return self._answer(name, request, context)

    return answer


def _streams(name: str) -> Callable[..., Any]:
    """A method with one request and no answers."""

    def answer(self: FakeLine, request: Any, context: grpc.ServicerContext) -> Any:
        self._take(name, request, context)
        return iter(())

    return answer


for _module in (ingest_pb2, embedder_pb2, indexer_pb2):
    for _service in _module.DESCRIPTOR.services_by_name.values():
        for _method in _service.methods:
            if _method.name not in FakeLine.__dict__ and not _method.client_streaming:
                _kind = message_factory.GetMessageClass(_method.output_type)
                _made = _streams(_method.name) if _method.server_streaming else _plain(_method.name, _kind)
                setattr(FakeLine, _method.name, _made)
