"""The line as one object: a channel to each service, and every public call with its deadline."""

from __future__ import annotations

import json
import logging
import types
from collections.abc import Callable, Iterator
from typing import Final, Self, TypeVar

import grpc
from google.api import httpbody_pb2
from vectorline.v1 import (
    embedder_pb2,
    embedder_pb2_grpc,
    indexer_pb2,
    indexer_pb2_grpc,
    ingest_pb2,
    ingest_pb2_grpc,
    task_pb2,
)

from cli import endpoints, failures

RELEASE_SECONDS: Final = 90.0  # it waits for as long as an upsert may take
CALL_SECONDS: Final = 30.0  # deadline of a unary call, its retries included
ESTIMATE_SECONDS: Final = 300.0  # every row is read and counted; the line refuses what takes longer
SEARCH_SECONDS: Final = 60.0  # a search may wait for its turn at the provider
WATCH_SECONDS: Final = 300.0  # one watch stream; then it is opened anew, so that a stuck one is not for ever

_SERVICES: Final = ("IngestService", "EmbedderService", "IndexerService")

# gRFC A6: without the methodConfig wrapper the policy is ignored silently. Only UNAVAILABLE is tried again (AIP-194).
SERVICE_CONFIG: Final = {
    "methodConfig": [
        {
            "name": [{"service": f"vectorline.v1.{service}"} for service in _SERVICES],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.2s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        },
        # A more specific name wins: a broken watch is opened anew by `following`, and one layer is enough.
        {"name": [{"service": "vectorline.v1.IndexerService", "method": "WatchTask"}]},
    ]
}

CHANNEL_OPTIONS: Final = (
    ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
    ("grpc.enable_retries", 1),
    ("grpc.keepalive_time_ms", 20_000),  # the services allow one every 5 s (services/runtime/server.py)
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_send_message_length", 4 * 2**20),
    ("grpc.max_receive_message_length", 64 * 2**20),  # 1,000 matches with 40 KB of metadata each
    ("grpc.primary_user_agent", "vectorline-cli"),
)

# grpc logs an upload whose file cannot be read; the command says it in one line instead.
logging.getLogger("grpc").addHandler(logging.NullHandler())

Dial = Callable[[str, bool], grpc.Channel]
_Answer = TypeVar("_Answer")


def dial(address: str, tls: bool) -> grpc.Channel:
    """A channel to `address`. Connects with the first call."""
    if tls:
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(), options=CHANNEL_OPTIONS)
    # An HTTP proxy of the environment is for the outside world, never for plaintext.
    return grpc.insecure_channel(address, options=(*CHANNEL_OPTIONS, ("grpc.enable_http_proxy", 0)))


class Line:
    """The public calls. Each raises `failures.CommandError`, never a grpc error.

    Unary calls have a deadline; an upload has none, because the line may hold it back for as long as it must, and
    keepalive notices a peer that is gone.
    """

    def __init__(self, where: endpoints.Endpoints, *, dial: Dial = dial) -> None:
        self._where = where
        self._dial = dial
        self._channels: dict[str, grpc.Channel] = {}
        self._metadata = (("x-api-key", where.api_key),) if where.api_key else ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        for channel in self._channels.values():
            channel.close()

    def process(self, request: ingest_pb2.ProcessRequest) -> ingest_pb2.ProcessResponse:
        """Store a task over a source that is already somewhere."""
        return self._answer("ingest", lambda: self._ingest.Process(request, CALL_SECONDS, self._metadata))

    def estimate(self, request: ingest_pb2.ProcessRequest) -> ingest_pb2.EstimateResponse:
        """What a task over a source would come to."""
        return self._answer("ingest", lambda: self._ingest.Estimate(request, ESTIMATE_SECONDS, self._metadata))

    def upload(self, messages: Iterator[ingest_pb2.UploadRequest]) -> ingest_pb2.ProcessResponse:
        """Stream a file and store a task over it, or have it estimated. Raises what `messages` raises."""
        return self._answer("ingest", lambda: self._ingest.Upload(messages, None, self._metadata))

    def rejects(self, request: ingest_pb2.GetRejectsRequest) -> Iterator[httpbody_pb2.HttpBody]:
        """The rejected rows, piece by piece."""
        return self._answers("ingest", lambda: self._ingest.GetRejects(request, None, self._metadata))

    def get_task(self, task_id: str) -> task_pb2.Task:
        """The task as it is now."""
        request = indexer_pb2.GetTaskRequest(task_id=task_id)
        return self._answer("indexer", lambda: self._indexer.GetTask(request, CALL_SECONDS, self._metadata))

    def list_tasks(self, request: indexer_pb2.ListTasksRequest) -> indexer_pb2.ListTasksResponse:
        """One page of tasks, newest first."""
        return self._answer("indexer", lambda: self._indexer.ListTasks(request, CALL_SECONDS, self._metadata))

    def watch_task(self, task_id: str) -> Iterator[task_pb2.Task]:
        """The task whenever it changes, until it is terminal or the stream breaks."""
        request = indexer_pb2.WatchTaskRequest(task_id=task_id)
        return self._answers("indexer", lambda: self._indexer.WatchTask(request, WATCH_SECONDS, self._metadata))

    def cancel_task(self, task_id: str) -> None:
        """Stop a task."""
        request = indexer_pb2.CancelTaskRequest(task_id=task_id)
        self._answer("indexer", lambda: self._indexer.CancelTask(request, CALL_SECONDS, self._metadata))

    def retry_task(self, task_id: str, *, every: bool) -> ingest_pb2.ProcessResponse:
        """Take the rejected rows of a finished task again; let a blocked one go on."""
        request = ingest_pb2.RetryTaskRequest(task_id=task_id, all=every)
        return self._answer("ingest", lambda: self._ingest.RetryTask(request, CALL_SECONDS, self._metadata))

    def release_namespace(self, namespace: str) -> indexer_pb2.ReleaseNamespaceResponse:
        """Let the next task decide what an empty namespace holds."""
        request = indexer_pb2.ReleaseNamespaceRequest(namespace=namespace)
        return self._answer("indexer", lambda: self._indexer.ReleaseNamespace(request, RELEASE_SECONDS, self._metadata))

    def search(self, request: embedder_pb2.SearchRequest) -> embedder_pb2.SearchResponse:
        """The rows nearest in meaning to a text."""
        return self._answer("embedder", lambda: self._embedder.Search(request, SEARCH_SECONDS, self._metadata))

    def health(self) -> embedder_pb2.GetHealthResponse:
        """The health of the line."""
        request = embedder_pb2.GetHealthRequest()
        return self._answer("embedder", lambda: self._embedder.GetHealth(request, CALL_SECONDS, self._metadata))

    @property
    def _ingest(self) -> ingest_pb2_grpc.IngestServiceStub:
        return ingest_pb2_grpc.IngestServiceStub(self._channel("ingest"))

    @property
    def _embedder(self) -> embedder_pb2_grpc.EmbedderServiceStub:
        return embedder_pb2_grpc.EmbedderServiceStub(self._channel("embedder"))

    @property
    def _indexer(self) -> indexer_pb2_grpc.IndexerServiceStub:
        return indexer_pb2_grpc.IndexerServiceStub(self._channel("indexer"))

    def _channel(self, service: str) -> grpc.Channel:
        if service not in self._channels:
            self._channels[service] = self._dial(self._address(service), self._where.tls)
        return self._channels[service]

    def _address(self, service: str) -> str:
        address = self._where.addresses.get(service)
        if not address:
            raise failures.unknown_address(service, endpoints.ADDRESS_VARIABLES[service])
        return address

    def _answer(self, service: str, call: Callable[[], _Answer]) -> _Answer:
        try:
            return call()
        except grpc.RpcError as error:
            raise failures.from_rpc(error, service, self._address(service)) from error

    def _answers(self, service: str, call: Callable[[], Iterator[_Answer]]) -> Iterator[_Answer]:
        stream = self._answer(service, call)
        try:
            yield from stream
        except grpc.RpcError as error:
            raise failures.from_rpc(error, service, self._address(service)) from error
        finally:
            if isinstance(stream, grpc.RpcContext):
                stream.cancel()  # a caller that stops early (Ctrl-C, a closed pipe) leaves no open call behind
