"""IndexChunk over a real connection: how a call ends, and whether it leaves a strike."""

import asyncio
import contextlib
import dataclasses
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from vectorline.v1 import indexer_pb2, indexer_pb2_grpc, ledger_pb2, ledger_pb2_grpc

from services.chunks import consumer as consumers
from services.chunks import memory_store, store
from services.embedder import indexer_client
from tests.support import chunks

DECODING = indexer_pb2.IndexChunkResponse(decoding=indexer_pb2.Decoding())
DECODED = indexer_pb2.IndexChunkResponse(decoded=indexer_pb2.Decoded())
SETTLED = indexer_pb2.IndexChunkResponse(settled=indexer_pb2.ChunkSettled(indexed=3))
HEADER = chunks.header("task", 0)
VECTORS = indexer_pb2.VectorBatch(ids=["7.1"] * 100, values=b"x" * 500_000, metadata=[b""] * 100, row_numbers=[1] * 100)
BATCH = indexer_pb2.IndexChunkRequest(vectors=VECTORS).SerializeToString()

Behaviour = Callable[[Any, Any], AsyncIterator[Any]]


class Line:
    """An indexer that behaves as told, and the embedder's side of it."""

    def __init__(
        self,
        server: grpc.aio.Server,
        client: indexer_client.Indexer,
        queue: memory_store.MemoryStore,
        consumer: consumers.Consumer,
    ) -> None:
        self.server = server
        self.queue = queue
        self.consumer = consumer
        self.book = consumer.strikes
        self.client = client

    def call(self) -> contextlib.AbstractAsyncContextManager[indexer_client.ChunkCall]:
        (delivery,) = self.consumer.held
        return self.client.index_chunk(delivery, self.book)

    async def strikes(self) -> int:
        return await self.queue.strikes(HEADER.task_id, HEADER.chunk)


@contextlib.asynccontextmanager
async def line(behaviour: Behaviour, *, count: int = 1, older: bool = False) -> AsyncIterator[Line]:
    """An embedder that holds so many chunks; `older`: the indexer is of a release that takes none together."""

    class Indexer(indexer_pb2_grpc.IndexerServiceServicer):
        async def IndexChunk(self, request: Any, context: Any) -> AsyncIterator[Any]:
            async for each in behaviour(request, context):
                yield each

        if not older:

            async def IndexChunks(self, request: Any, context: Any) -> AsyncIterator[Any]:
                async for each in behaviour(request, context):
                    yield each

    server = grpc.aio.server()
    indexer_pb2_grpc.add_IndexerServiceServicer_to_server(Indexer(), server)
    ledger_pb2_grpc.add_LedgerServiceServicer_to_server(ledger_pb2_grpc.LedgerServiceServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            queue = memory_store.MemoryStore()
            await chunks.publish(queue, count, task_id=HEADER.task_id)
            consumer = consumers.Consumer(queue, slots=count)
            assert len(await consumer.take(count)) == count
            yield Line(server, indexer_client.Indexer(channel, lambda: ()), queue, consumer)
    finally:
        await server.stop(None)


async def send_all(call: indexer_client.ChunkCall, batches: int = 3) -> Any:
    await call.send(header=indexer_pb2.IndexChunkHeader(task_id="task"))
    for _ in range(batches):
        await call.send_packed(BATCH)
    return await call.settle()


async def decodes_and_settles(request: Any, context: Any) -> AsyncIterator[Any]:
    async for _ in request:
        yield DECODING
        yield DECODED
    yield SETTLED


async def test_a_whole_call_settles_and_leaves_no_strike() -> None:
    async with line(decodes_and_settles) as subject:
        async with subject.call() as call:
            settled = await send_all(call)
        assert settled.indexed == 3
        assert await subject.strikes() == 0


@pytest.mark.parametrize("after", [0, 1, 2, 5])
async def test_a_refusal_in_mid_stream_ends_the_call_and_leaves_no_strike(after: int) -> None:
    async def behaviour(request: Any, context: Any) -> AsyncIterator[Any]:
        number = 0
        async for _ in request:
            yield DECODING
            yield DECODED
            if number == after:
                await context.abort(grpc.StatusCode.ABORTED, "The turn passed on.")
            number += 1

    async with line(behaviour) as subject:
        for _ in range(30):
            # grpc.aio shows a refusal that meets a write under way as an internal error: hence the gate's second look.
            with pytest.raises((indexer_client.ChunkRefused, indexer_client.IndexerUnavailable)):
                async with subject.call() as call:
                    await send_all(call, batches=50)
            assert await subject.strikes() == 0


async def test_a_refusal_at_the_end_says_why() -> None:
    async def behaviour(request: Any, context: Any) -> AsyncIterator[Any]:
        async for _ in request:
            yield DECODING
            yield DECODED
        await context.abort(grpc.StatusCode.ABORTED, "The turn passed on.")

    async with line(behaviour) as subject:
        with pytest.raises(indexer_client.ChunkRefused, match="turn passed on"):
            async with subject.call() as call:
                await send_all(call)


async def test_an_indexer_that_dies_while_it_decodes_leaves_a_strike() -> None:
    async def behaviour(request: Any, context: Any) -> AsyncIterator[Any]:
        await anext(aiter(request))
        yield DECODING
        await marked.wait()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "died")

    marked = asyncio.Event()
    async with line(behaviour) as subject:

        async def die() -> None:
            while not await subject.strikes():
                await asyncio.sleep(0.01)
            marked.set()

        dying = asyncio.create_task(die())
        with pytest.raises(indexer_client.IndexerUnavailable):
            async with subject.call() as call:
                await send_all(call)
        await dying
        assert await subject.strikes() == 1


async def test_one_that_dies_at_once_leaves_its_strike_too() -> None:
    async def behaviour(request: Any, context: Any) -> AsyncIterator[Any]:
        await anext(aiter(request))
        yield DECODING
        await context.abort(grpc.StatusCode.UNAVAILABLE, "died")

    async with line(behaviour) as subject:
        for death in range(1, 4):
            with pytest.raises(indexer_client.IndexerUnavailable):
                async with subject.call() as call:
                    await send_all(call)
            assert await subject.strikes() == death


async def test_who_lost_the_chunk_in_the_meantime_leaves_no_strike() -> None:
    """An embedder stood still; another settled the chunk, and the task is over when it finds its call broken."""

    async def behaviour(request: Any, context: Any) -> AsyncIterator[Any]:
        await anext(aiter(request))
        yield DECODING
        other = consumers.Consumer(subject.queue, slots=1)
        (row,) = (await subject.queue.reclaim(store.Ask(other.name, 1, 0))).rows
        assert await subject.queue.ack(other.name, [(row.claim, row.header)]) == [True]
        await context.abort(grpc.StatusCode.UNAVAILABLE, "died")

    async with line(behaviour) as subject:
        subject.queue.timing = dataclasses.replace(subject.queue.timing, lease_seconds=0.0)
        (delivery,) = subject.consumer.held
        with pytest.raises(indexer_client.IndexerUnavailable):
            async with subject.call() as call:
                await send_all(call)
        assert await subject.strikes() == 0
        assert delivery.lost_because == "not_owner"


async def test_decoding_that_is_over_at_once_is_not_worth_a_strike(monkeypatch: pytest.MonkeyPatch) -> None:
    # At once, also on a machine that stands still: whether a strike would have come later, its timers say.
    monkeypatch.setattr(indexer_client, "DECODING_SECONDS", 60.0)
    timers: list[asyncio.TimerHandle] = []
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def watched(delay: float, *call: Any, **named: Any) -> asyncio.TimerHandle:
        timer = call_later(delay, *call, **named)
        if delay == indexer_client.DECODING_SECONDS:
            timers.append(timer)
        return timer

    monkeypatch.setattr(loop, "call_later", watched)
    async with line(decodes_and_settles) as subject:
        written: list[Any] = []
        subject.queue.strike = lambda *given, **named: written.append(given)  # type: ignore[method-assign]
        async with subject.call() as call:
            await send_all(call, batches=20)
        assert not written
        assert timers
        assert all(timer.cancelled() for timer in timers)


TOGETHER = {"decoding": indexer_pb2.Decoding()}, {"decoded": indexer_pb2.Decoded()}


async def index_together(subject: Line) -> Any:
    async with subject.client.index_chunks(subject.consumer.held, subject.book) as call:
        await call.send(heads=indexer_pb2.ChunkHeads())
        await call.send_packed(BATCH)
        return await call.settle()


async def strikes_of_each(subject: Line) -> list[int]:
    return [await subject.queue.strikes(HEADER.task_id, chunk) for chunk in range(3)]


async def test_chunks_that_go_together_hear_the_end_of_each() -> None:
    async def behaviour(request: Any, context: Any) -> AsyncIterator[Any]:
        async for _ in request:
            for mark in TOGETHER:
                yield indexer_pb2.IndexChunksResponse(**mark)
        ends = [indexer_pb2.ChunkOutcome(settled=indexer_pb2.ChunkSettled(indexed=number)) for number in range(3)]
        yield indexer_pb2.IndexChunksResponse(outcomes=indexer_pb2.ChunkOutcomes(outcomes=ends))

    async with line(behaviour, count=3) as subject:
        outcomes = (await index_together(subject)).outcomes
        assert [each.settled.indexed for each in outcomes] == [0, 1, 2]
        assert await strikes_of_each(subject) == [0, 0, 0]


async def test_an_indexer_that_dies_while_it_decodes_them_strikes_each_once() -> None:
    async def behaviour(request: Any, context: Any) -> AsyncIterator[Any]:
        await anext(aiter(request))
        yield indexer_pb2.IndexChunksResponse(**TOGETHER[0])
        await context.abort(grpc.StatusCode.UNAVAILABLE, "died")

    async with line(behaviour, count=3) as subject:
        with pytest.raises(indexer_client.IndexerUnavailable):
            await index_together(subject)
        assert await strikes_of_each(subject) == [1, 1, 1]


async def test_an_indexer_of_the_release_before_says_that_it_takes_no_chunks_together() -> None:
    """Sooner or later: a write that meets the end of a call hides what grpc.aio would have said of it."""
    async with line(decodes_and_settles, count=3, older=True) as subject, asyncio.timeout(30):
        found: Exception | None = None
        while not isinstance(found, indexer_client.Unserved):
            with pytest.raises(indexer_client.IndexerUnavailable) as raised:
                await index_together(subject)
            found = raised.value
        assert await strikes_of_each(subject) == [0, 0, 0]


async def test_an_indexer_of_the_release_before_is_asked_for_each_chunk() -> None:
    """It knows nothing of `also`, and must not be taken to have said GO for all."""
    asked: list[int] = []

    class Ledger(ledger_pb2_grpc.LedgerServiceServicer):
        async def BeginChunk(self, request: Any, context: Any) -> Any:  # type: ignore[override]
            asked.append(request.chunk)
            assert request.waits == "It answers HTTP 503."
            gate = ledger_pb2.GATE_SETTLED if request.chunk == 2 else ledger_pb2.GATE_GO
            return ledger_pb2.BeginChunkResponse(gate=gate)

    server = grpc.aio.server()
    ledger_pb2_grpc.add_LedgerServiceServicer_to_server(Ledger(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            client = indexer_client.Indexer(channel, lambda: ())
            headers = [chunks.header("task", chunk) for chunk in (1, 2, 3)]
            gates = await client.begin_chunks(headers, "m", 4, waits="It answers HTTP 503.", answer_seconds=5.0)
    finally:
        await server.stop(None)

    go, settled = indexer_client.Gate.GO, indexer_client.Gate.SETTLED
    assert gates == [go, settled, go]
    assert sorted(asked) == [1, 2, 3]


async def test_one_that_dies_outside_of_decoding_leaves_none() -> None:
    async def behaviour(request: Any, context: Any) -> AsyncIterator[Any]:
        await anext(aiter(request))
        yield DECODING
        yield DECODED
        await context.abort(grpc.StatusCode.UNAVAILABLE, "died")

    async with line(behaviour) as subject:
        with pytest.raises(indexer_client.IndexerUnavailable):
            async with subject.call() as call:
                await send_all(call)
        assert await subject.strikes() == 0


async def test_a_call_that_we_end_ourselves_leaves_no_strike() -> None:
    async def behaviour(request: Any, context: Any) -> AsyncIterator[Any]:
        await anext(aiter(request))
        yield DECODING
        await asyncio.sleep(60)  # it hangs for longer than the test lasts

    async with line(behaviour) as subject:
        async with subject.call() as call:
            await call.send(header=indexer_pb2.IndexChunkHeader(task_id="task"))
            async with asyncio.timeout(10):
                while not await subject.strikes():
                    await asyncio.sleep(0.01)
        assert await subject.strikes() == 0


async def test_without_valkey_the_call_goes_on() -> None:
    async with line(decodes_and_settles) as subject:
        subject.queue.down = True
        async with subject.call() as call:
            assert (await send_all(call)).indexed == 3
        subject.queue.down = False
        await subject.book.settle_debts()
        assert await subject.strikes() == 0


async def test_a_hung_indexer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def behaviour(request: Any, context: Any) -> AsyncIterator[Any]:
        await asyncio.sleep(60)  # it hangs for longer than the test lasts
        yield SETTLED

    monkeypatch.setattr(indexer_client, "SEND_SECONDS", 0.5)
    monkeypatch.setattr(indexer_client, "SETTLE_SECONDS", 0.5)
    async with line(behaviour) as subject:
        for batches in (0, 200):  # waits for the settlement; waits for room to send
            with pytest.raises(indexer_client.IndexerUnavailable):
                async with subject.call() as call:
                    await send_all(call, batches)


async def test_a_call_that_ends_without_a_settlement_settles_nothing() -> None:
    async def behaviour(request: Any, context: Any) -> AsyncIterator[Any]:
        async for _ in request:
            yield DECODED

    async with line(behaviour) as subject:
        with pytest.raises(indexer_client.IndexerUnavailable, match="without a settlement"):
            async with subject.call() as call:
                await send_all(call)


async def test_a_gate_that_hangs_is_given_up_when_its_answer_would_be_worth_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connections are made, and nobody says a word
        async with grpc.aio.insecure_channel(f"127.0.0.1:{silent.getsockname()[1]}") as channel:
            client = indexer_client.Indexer(channel, tuple)
            began = time.monotonic()
            with pytest.raises(indexer_client.IndexerUnavailable):
                await client.begin_chunks([HEADER], "m", 4, waits="", answer_seconds=0.3)
            assert time.monotonic() - began < 5  # not the ten seconds of other questions


async def test_what_a_method_that_is_away_answers() -> None:
    async def behaviour(request: Any, context: Any) -> AsyncIterator[Any]:
        yield SETTLED

    async with line(behaviour) as subject:
        client = subject.client
        with pytest.raises(indexer_client.IndexerUnavailable, match="UNIMPLEMENTED"):
            await client.begin_chunks([HEADER], "m", 4, waits="", answer_seconds=20.0)
        with pytest.raises(indexer_client.IndexerUnavailable):
            await client.block_task("task", "ACCOUNT_REFUSED", "no money")
