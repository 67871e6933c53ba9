"""The indexer as the embedder sees it. gRPC ends here: above are only the words of the domain."""

import asyncio
import contextlib
import enum
import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc
from google.protobuf import message, struct_pb2
from vectorline.v1 import embedder_pb2, indexer_pb2, indexer_pb2_grpc, ledger_pb2, ledger_pb2_grpc

from services.billing import spend
from services.chunks import entry, strikes
from services.chunks import errors as queue_errors
from services.chunks.delivery import Delivery
from services.runtime.tracing import callers

INDEX_CHUNK = "/vectorline.v1.IndexerService/IndexChunk"
INDEX_CHUNKS = "/vectorline.v1.IndexerService/IndexChunks"
SEND_SECONDS = 60.0
# Decoding that lasts so long has its strike while it lasts.
DECODING_SECONDS = 0.05
SETTLE_SECONDS = 180.0
ANSWER_SECONDS = 10.0
# INTERNAL is not among them: grpc.aio hides broken streams behind it.
NEVER = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
    }
)
# RESOURCE_EXHAUSTED is a full server's too; gRPC's own, about a message, names sizes.
_TOO_LARGE = re.compile(r"message.{0,40}larger than max|larger than max|exceeds.{0,40}(size|maximum)", re.I)


class Gate(enum.Enum):
    """May a chunk be bought? See `BeginChunk`."""

    GO = ledger_pb2.GATE_GO
    SETTLED = ledger_pb2.GATE_SETTLED
    CANCELLED = ledger_pb2.GATE_CANCELLED
    BLOCKED = ledger_pb2.GATE_BLOCKED
    STALE = ledger_pb2.GATE_STALE
    WAIT = ledger_pb2.GATE_WAIT


class IndexerUnavailable(Exception):
    """It does not answer, or broke off: the same call may succeed later."""


class Unserved(IndexerUnavailable):
    """It is of a release that has no such method: it did nothing of what was asked."""


class Impossible(IndexerUnavailable):
    """It says that the same call can never succeed: a defect, of ours or of its. Whoever would repeat it must not."""


class ChunkRefused(Exception):
    """The indexer stops writing this chunk: its task is terminal, blocked, or has lost its turn."""


class _Decoding:
    """The indexer's decoding, as its marks tell of it: the strike of a chunk, or of each of several, that it dies of.

    It is written while decoding lasts, and when the call breaks in the middle of it. Nearly all of it is over within a
    millisecond, and a strike that is taken back at once need not be written. Who was given up for dead meanwhile, and
    finds its calls broken when it wakes, has lost the chunk and writes none.
    """

    def __init__(self, deliveries: Sequence[Delivery], counter: strikes.Strikes) -> None:
        self._deliveries = deliveries
        self._strikes = counter
        self._timer: asyncio.TimerHandle | None = None  # while it is under way
        self._writing: asyncio.Task[str] | None = None

    def begin(self) -> None:
        """It is under way."""
        self._timer = asyncio.get_running_loop().call_later(DECODING_SECONDS, self._write)

    def _write(self) -> None:
        self._writing = self._writing or asyncio.create_task(self._add())

    async def _add(self) -> str:
        try:
            return await self._strikes.add(*self._deliveries)
        except queue_errors.QueueUnavailable:
            return ""  # without Valkey nothing is handed out either; the chunk itself goes on

    async def end(self) -> None:
        """It is over, or of no account: no strike stays. Safe to repeat where it was cancelled."""
        self._stop()
        if self._writing is not None:
            token = await asyncio.shield(self._writing)
            self._writing = None
            if token:
                await self._strikes.remove(token, *self._deliveries)

    async def broke(self) -> None:
        """The call has ended; the strike of what was under way stays."""
        if self._stop():
            self._write()
        if self._writing is not None:
            await asyncio.shield(self._writing)

    def _stop(self) -> bool:
        """Whether it was under way until now."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        return timer is not None


class ChunkCall:
    """One IndexChunk call: send what is bought, then ask for the settlement."""

    _request: type[message.Message] = indexer_pb2.IndexChunkRequest
    # Of its events, the one that ends it well.
    _last = "settled"

    def __init__(self, call: Any, deliveries: Sequence[Delivery], counter: strikes.Strikes) -> None:
        self._call = call
        self._decoding = _Decoding(deliveries, counter)
        self._reading = asyncio.create_task(self._read())

    async def send(self, **part: Any) -> None:
        """Send a part: header=, rejects= or spent=.

        Raises:
            ChunkRefused, IndexerUnavailable: The call has ended, or does not take it in time.
        """
        await self.send_packed(self._request(**part).SerializeToString())

    async def send_packed(self, request: bytes) -> None:
        """Send a part that is serialised already: the vectors. Raises what `send` does."""
        async with _translated(), asyncio.timeout(SEND_SECONDS):
            try:
                await self._call.write(request)
            except asyncio.InvalidStateError:
                await asyncio.shield(self._reading)  # raises why the call has ended
                raise

    async def settle(self) -> Any:
        """Say that all was sent; wait for the settled counts: a ChunkSettled."""
        async with _translated(), asyncio.timeout(SETTLE_SECONDS):
            await self._call.done_writing()
            return await asyncio.shield(self._reading)

    async def close(self) -> None:
        """End the call, whatever its state. One that we end ourselves leaves no strike, wherever it was."""
        broken = self._call.done()
        self._call.cancel()
        if not broken:
            self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        if not broken:
            await self._decoding.end()

    async def _read(self) -> Any:
        """Follow the decoding marks: a call that breaks between two of them leaves its strike behind."""
        try:
            async for event in self._call:
                kind = event.WhichOneof("event")
                if kind == "decoding":
                    self._decoding.begin()
                elif kind == "decoded":
                    await self._decoding.end()
                elif kind == self._last:
                    return getattr(event, self._last)
        except grpc.aio.AioRpcError:
            await self._decoding.broke()
            raise
        await self._decoding.broke()
        raise IndexerUnavailable("The call ended without a settlement.")


class ChunksCall(ChunkCall):
    """One IndexChunks call: as ChunkCall, with heads= and spends= for its parts, and ChunkOutcomes for an answer."""

    _request = indexer_pb2.IndexChunksRequest
    _last = "outcomes"


class Indexer:
    """The indexer's methods that the embedder calls."""

    def __init__(self, channel: grpc.aio.Channel, metadata: Callable[[], tuple[tuple[str, str], ...]]) -> None:
        self._ledger: ledger_pb2_grpc.LedgerServiceAsyncStub = ledger_pb2_grpc.LedgerServiceStub(channel)
        self._index: indexer_pb2_grpc.IndexerServiceAsyncStub = indexer_pb2_grpc.IndexerServiceStub(channel)
        # The generated stub would take messages; ours are packed already.
        self._index_chunk: Any = channel.stream_stream(
            INDEX_CHUNK,
            request_serializer=None,
            response_deserializer=indexer_pb2.IndexChunkResponse.FromString,
        )
        self._index_chunks: Any = channel.stream_stream(
            INDEX_CHUNKS,
            request_serializer=None,
            response_deserializer=indexer_pb2.IndexChunksResponse.FromString,
        )
        self._metadata = metadata

    async def begin_chunks(
        self, headers: Sequence[entry.Header], model: str, dimension: int, *, waits: str, answer_seconds: float
    ) -> Sequence[Gate]:
        """Ask the gate for chunks of one task and fence; `waits`: why nothing is bought, or "".

        Raises:
            IndexerUnavailable: No answer within `answer_seconds`: a later one would be too old to buy on.
        """
        first, *others = headers
        question = ledger_pb2.BeginChunkRequest(
            task_id=first.task_id,
            chunk=first.chunk,
            fence=first.fence,
            model=model,
            dimension=dimension,
            also=[each.chunk for each in others],
            waits=waits,
        )
        async with _translated():
            answer = await self._ledger.BeginChunk(question, timeout=answer_seconds)
        if len(answer.also) == len(others):
            return [Gate(gate) for gate in (answer.gate, *answer.also)]
        # The release before answers for one chunk alone.
        each = (
            self.begin_chunks([other], model, dimension, waits=waits, answer_seconds=answer_seconds) for other in others
        )
        return [Gate(answer.gate), *(gate for (gate,) in await asyncio.gather(*each))]

    async def index_dimension(self) -> int:
        """Values a vector that the index takes; 0: it cannot be asked now."""
        async with _translated():
            answer = await self._ledger.CheckNamespace(ledger_pb2.CheckNamespaceRequest(), timeout=ANSWER_SECONDS)
        return answer.index_dimension

    async def circuit_open(self) -> bool:
        """Whether Pinecone is known not to take vectors now, as the indexer that answers knows it."""
        async with _translated():
            answer = await self._ledger.CheckNamespace(ledger_pb2.CheckNamespaceRequest(), timeout=ANSWER_SECONDS)
        return answer.circuit_open

    async def fail_chunk(self, header: entry.Header, reason: str) -> Gate:
        """Settle a chunk as failed by its header alone."""
        request = ledger_pb2.FailChunkRequest(
            task_id=header.task_id,
            chunk=header.chunk,
            fence=header.fence,
            rows=header.rows,
            skipped=header.skipped,
            unchanged=header.unchanged,
            first_row=header.first_row,
            reason=reason,
        )
        async with _translated():
            answer = await self._ledger.FailChunk(request, timeout=ANSWER_SECONDS)
        return Gate(answer.gate)

    async def block_task(self, task_id: str, reason: str, message: str) -> None:
        """The task waits for an account or a namespace."""
        async with _translated():
            await self._ledger.BlockTask(
                ledger_pb2.BlockTaskRequest(task_id=task_id, reason=reason, message=message), timeout=ANSWER_SECONDS
            )

    async def blocked_tasks(self, reason: str) -> list[str]:
        """Tasks that are blocked for this reason."""
        async with _translated():
            answer = await self._ledger.ListBlockedTasks(
                ledger_pb2.ListBlockedTasksRequest(reason=reason), timeout=ANSWER_SECONDS
            )
        return list(answer.task_ids)

    async def resume_task(self, task_id: str) -> None:
        """A blocked task goes on."""
        async with _translated():
            await self._ledger.ResumeTask(ledger_pb2.ResumeTaskRequest(task_id=task_id), timeout=ANSWER_SECONDS)

    async def record_spend(self, task_id: str, spent: spend.Spend) -> None:
        """Add to a task's bill what was paid without a settlement.

        Raises:
            IndexerUnavailable: It may be in the bill, or not.
        """
        request = indexer_pb2.RecordSpendRequest(task_id=task_id, spent=spent.to_proto())
        async with _translated():
            await self._index.RecordSpend(request, timeout=ANSWER_SECONDS)

    @contextlib.asynccontextmanager
    async def index_chunk(self, delivery: Delivery, counter: strikes.Strikes) -> AsyncIterator[ChunkCall]:
        """Open an IndexChunk call.

        Raises:
            ChunkRefused, IndexerUnavailable: From the call's methods.
        """
        with callers.calling(INDEX_CHUNK):
            call = ChunkCall(self._index_chunk(metadata=(*self._metadata(), *callers.header())), [delivery], counter)
            try:
                yield call
            finally:
                await call.close()

    @contextlib.asynccontextmanager
    async def index_chunks(self, deliveries: Sequence[Delivery], counter: strikes.Strikes) -> AsyncIterator[ChunksCall]:
        """Open an IndexChunks call, which is part of no trace.

        Raises:
            ChunkRefused, Unserved, IndexerUnavailable: From the call's methods.
        """
        call = ChunksCall(self._index_chunks(metadata=self._metadata()), deliveries, counter)
        try:
            yield call
        finally:
            await call.close()

    async def query(
        self,
        vector: bytes,
        *,
        namespace: str,
        top_k: int,
        metadata_filter: struct_pb2.Struct,
        model: str,
        client: str,
        tokens: int,
    ) -> Sequence[embedder_pb2.Match]:
        """The nearest rows, for a key that pays and a vector that cost so much; the indexer's errors pass through."""
        question = indexer_pb2.QueryRequest(
            vector=vector,
            namespace=namespace,
            top_k=top_k,
            filter=metadata_filter,
            model=model,
            client=client,
            tokens=tokens,
        )
        answer = await self._index.Query(question, timeout=30.0)
        return answer.matches


@contextlib.asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.ABORTED:
            raise ChunkRefused(error.details() or "") from error
        if error.code() in NEVER or (
            error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and _TOO_LARGE.search(error.details() or "")
        ):
            raise Impossible(f"{error.code().name}: {error.details()}") from error
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            raise Unserved(f"{error.code().name}: {error.details()}") from error
        raise IndexerUnavailable(f"{error.code().name}: {error.details()}") from error
    except (TimeoutError, asyncio.InvalidStateError) as error:
        raise IndexerUnavailable(str(error) or "No answer in time.") from error
