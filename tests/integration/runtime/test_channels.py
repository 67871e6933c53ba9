"""Channels between services: the service config is in force, several addresses are used, calls end in time."""

import asyncio
import collections
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import pydantic
import pytest
from vectorline.v1 import indexer_pb2, indexer_pb2_grpc, ledger_pb2, ledger_pb2_grpc

from services.embedder import app
from services.runtime import channels, server

TOKEN = pydantic.SecretStr("internal")
HANG_SECONDS = 60


class Ledger(ledger_pb2_grpc.LedgerServiceServicer):
    """Fails as told; notes the metadata of every call."""

    def __init__(self, failures: list[grpc.StatusCode]) -> None:
        self.failures = failures
        self.calls: list[dict[str, Any]] = []
        self.hangs = False

    async def GetTaskRecord(self, request: Any, context: Any) -> ledger_pb2.TaskRecord:
        self.calls.append({**dict(context.invocation_metadata()), "left": context.time_remaining()})
        if self.hangs:
            await asyncio.sleep(HANG_SECONDS)
        if self.failures:
            await context.abort(self.failures.pop(0), "as told")
        return ledger_pb2.TaskRecord(task_id="t")


@contextlib.asynccontextmanager
async def ledger(
    *failures: grpc.StatusCode, port: int = 0, options: Sequence[tuple[str, Any]] = ()
) -> AsyncIterator[tuple[Ledger, int]]:
    servicer = Ledger(list(failures))
    server = grpc.aio.server(options=options)
    ledger_pb2_grpc.add_LedgerServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield servicer, port
    finally:
        await server.stop(None)


async def ask(channel: grpc.aio.Channel) -> Any:
    stub: Any = ledger_pb2_grpc.LedgerServiceStub(channel)
    return await stub.GetTaskRecord(ledger_pb2.GetTaskRecordRequest(task_id="t"))


RETRIED = ({"service": "vectorline.v1.LedgerService"},)


def connect(*ports: int, retried: Sequence[dict[str, str]] = RETRIED) -> grpc.aio.Channel:
    addresses = ",".join(f"127.0.0.1:{port}" for port in ports)
    return channels.connect(addresses, TOKEN, name="indexer", retried=retried)


async def test_unavailable_is_retried_and_nothing_else_is() -> None:
    unavailable = grpc.StatusCode.UNAVAILABLE
    async with ledger(unavailable, unavailable) as (servicer, port), connect(port) as channel:
        assert (await ask(channel)).task_id == "t"
        assert len(servicer.calls) == 3
        for code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL, grpc.StatusCode.ABORTED):
            servicer.failures, servicer.calls = [code], []
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask(channel)
            assert caught.value.code() is code
            assert len(servicer.calls) == 1


@pytest.mark.parametrize("retried", [(), ({"service": "vectorline.v1.LedgerService", "method": "BeginChunk"},)])
async def test_what_is_not_named_is_not_retried(retried: Sequence[dict[str, str]]) -> None:
    async with ledger(grpc.StatusCode.UNAVAILABLE) as (servicer, port), connect(port, retried=retried) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await ask(channel)
        assert len(servicer.calls) == 1


class Unavailable(indexer_pb2_grpc.IndexerServiceServicer):
    """Answers so, and counts how often it was asked."""

    def __init__(self) -> None:
        self.calls: collections.Counter[str] = collections.Counter()

    async def IndexChunk(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        self.calls["IndexChunk"] += 1
        await context.abort(grpc.StatusCode.UNAVAILABLE, "as told")
        yield

    async def Query(self, request: Any, context: Any) -> Any:
        self.calls["Query"] += 1
        await context.abort(grpc.StatusCode.UNAVAILABLE, "as told")


async def test_index_chunk_is_not_retried_by_the_embedders_channel() -> None:
    """Its caller holds the chunk and decides; what is only asked is repeated."""
    servicer, server = Unavailable(), grpc.aio.server()
    indexer_pb2_grpc.add_IndexerServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with connect(port, retried=app.RETRIED) as channel:
        stub: Any = indexer_pb2_grpc.IndexerServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.Query(indexer_pb2.QueryRequest())
        call = stub.IndexChunk()
        with pytest.raises(grpc.aio.AioRpcError):
            await call.read()
    await server.stop(None)

    assert servicer.calls["Query"] > 1
    assert servicer.calls["IndexChunk"] == 1


async def test_every_call_is_signed_and_has_a_deadline() -> None:
    async with ledger() as (servicer, port), connect(port) as channel:
        await ask(channel)
        assert servicer.calls[0]["x-internal-token"] == "internal"
        # The wire has three digits for a deadline and rounds it up: from ten seconds on by up to a tenth of one.
        assert 0 < servicer.calls[0]["left"] <= channels.UNARY_TIMEOUT_SECONDS + 0.1


async def test_a_proxy_of_the_environment_is_not_for_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands between a company and the internet; told of the line's own addresses it answers 403 or nothing."""
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with ledger() as (_, port), connect(port) as channel:
        assert (await ask(channel)).task_id == "t"


async def test_a_server_that_hangs_is_given_up_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "UNARY_TIMEOUT_SECONDS", 0.3)
    async with ledger() as (servicer, port), connect(port) as channel:
        servicer.hangs = True
        began = time.monotonic()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(channel)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert time.monotonic() - began < HANG_SECONDS / 2


async def test_streams_of_answers_are_signed_too() -> None:
    class Indexer(indexer_pb2_grpc.IndexerServiceServicer):
        async def WatchTask(self, request: Any, context: Any) -> AsyncIterator[Any]:
            seen.update(dict(context.invocation_metadata()))
            return
            yield

    seen: dict[str, Any] = {}
    server = grpc.aio.server()
    indexer_pb2_grpc.add_IndexerServiceServicer_to_server(Indexer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with connect(port) as channel:
        stub: Any = indexer_pb2_grpc.IndexerServiceStub(channel)
        async for _ in stub.WatchTask(indexer_pb2.WatchTaskRequest(task_id="t")):
            pass
    assert seen["x-internal-token"] == "internal"
    await server.stop(None)


async def test_several_addresses_share_the_calls_and_one_that_is_away_is_left_out() -> None:
    async with ledger() as (one, first), ledger() as (other, second), connect(first, second, 1) as channel:
        async with asyncio.timeout(20):
            while not (one.calls and other.calls):
                await ask(channel)


async def test_a_server_that_comes_back_is_found_within_seconds() -> None:
    async with ledger() as (_, port):
        pass
    async with connect(port) as channel:
        for _ in range(3):  # gRPC's own back-off would have grown by then
            with pytest.raises(grpc.aio.AioRpcError):
                await ask(channel)
        async with ledger(port=port) as (servicer, _), asyncio.timeout(15):
            while not servicer.calls:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await ask(channel)
                await asyncio.sleep(0.1)


async def test_pings_of_a_caller_that_is_told_nothing_for_long_do_not_end_its_call() -> None:
    """Six pings in one call: an upload of three minutes through Envoy. Only the pauses are scaled down."""
    fast = 10
    options = [(name, value // fast if "ping_interval" in name else value) for name, value in server.SERVER_OPTIONS]
    pings = [(name, value // fast if name == "grpc.keepalive_time_ms" else value) for name, value in channels.KEEPALIVE]
    assert ("grpc.keepalive_time_ms", 1_000) in pings
    async with ledger(options=options) as (servicer, port):
        servicer.hangs = True
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=pings) as channel:
            stub: Any = ledger_pb2_grpc.LedgerServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await stub.GetTaskRecord(ledger_pb2.GetTaskRecordRequest(task_id="t"), timeout=6.5)
    assert ended.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED, ended.value
