"""A server as the services have it: their interceptors, their ports, and servicers that answer anything."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf import empty_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from vectorline.v1 import (
    embedder_pb2_grpc,
    indexer_pb2,
    indexer_pb2_grpc,
    ingest_pb2,
    ingest_pb2_grpc,
    ledger_pb2,
    ledger_pb2_grpc,
    task_pb2,
)

from services.runtime import identity, key_rates, secrets, server, settings

ADDERS: tuple[Any, ...] = (
    ingest_pb2_grpc.add_IngestServiceServicer_to_server,
    embedder_pb2_grpc.add_EmbedderServiceServicer_to_server,
    indexer_pb2_grpc.add_IndexerServiceServicer_to_server,
    ledger_pb2_grpc.add_LedgerServiceServicer_to_server,
)

SERVICES = tuple(f"vectorline.v1.{name}Service" for name in ("Ingest", "Embedder", "Indexer"))

PEERS = frozenset({"ingest", "embedder", "indexer"})


def _nothing(_server: grpc.aio.Server) -> None:
    """What is served is added below."""


class Servicers:
    """All services in one: what was called, and by whom."""

    def __init__(self) -> None:
        self.callers: list[identity.Caller] = []
        self.upload_parts = 0

    async def GetTask(self, request: Any, context: Any) -> task_pb2.Task:
        self.callers.append(identity.current())
        if request.task_id.startswith("break"):
            raise ValueError(f"cannot read {request.task_id}")
        return task_pb2.Task(task_id=request.task_id)

    async def StreamTasks(self, request: Any, context: Any) -> AsyncIterator[task_pb2.Task]:
        self.callers.append(identity.current())
        yield task_pb2.Task(task_id="t")

    async def CancelTask(self, request: Any, context: Any) -> empty_pb2.Empty:
        self.callers.append(identity.current())
        return empty_pb2.Empty()

    async def GetTaskRecord(self, request: Any, context: Any) -> ledger_pb2.TaskRecord:
        self.callers.append(identity.current())
        return ledger_pb2.TaskRecord(task_id=request.task_id)

    async def Upload(self, request: Any, context: Any) -> ingest_pb2.ProcessResponse:
        self.callers.append(identity.current())
        async for _ in request:
            self.upload_parts += 1
        return ingest_pb2.ProcessResponse(task_id="t")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        async def unimplemented(request: Any, context: Any) -> Any:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, name)

        return unimplemented


@dataclasses.dataclass
class Served:
    """A server that listens."""

    port: int
    servicers: Servicers

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def tasks(self, channel: grpc.aio.Channel | None = None) -> AsyncIterator[Any]:
        """IndexerService over a plaintext channel, or over one of one's own."""
        async with channel or grpc.aio.insecure_channel(self.address) as used:
            yield indexer_pb2_grpc.IndexerServiceStub(used)


@contextlib.asynccontextmanager
async def serving(
    vault: secrets.Vault | None = None, rate: key_rates.Rate | None = None, servicers: Any = None, **chosen: Any
) -> AsyncIterator[Served]:
    """Serve with these settings of a process."""
    process = settings.ProcessSettings.model_validate({"grpc_host": "127.0.0.1", "grpc_port": 0, **chosen})
    authentication = server._authentication(process)
    service = server.Service(
        names=SERVICES, register=_nothing, dependencies={}, rate=rate or key_rates.LocalRate(), peers=PEERS
    )
    listening = grpc.aio.server(
        interceptors=server.interceptors(process, authentication, service, vault or secrets.Vault())
    )
    answering = servicers or Servicers()
    for add in ADDERS:
        add(answering, listening)
    well = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(well, listening)
    for name in SERVICES:
        await well.set(name, health_pb2.HealthCheckResponse.SERVING)
    port = server._listen(listening, process, authentication)
    await listening.start()
    try:
        yield Served(port, answering)
    finally:
        await listening.stop(None)


def task(task_id: str = "t") -> indexer_pb2.GetTaskRequest:
    return indexer_pb2.GetTaskRequest(task_id=task_id)


def key(secret: str) -> tuple[tuple[str, str], ...]:
    return (("x-api-key", secret),)
