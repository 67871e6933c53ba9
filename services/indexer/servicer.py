"""IndexerService: RPC in, domain out."""

import asyncio
import collections
import dataclasses
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
from google.protobuf import empty_pb2, json_format, message
from vectorline.v1 import chunk_pb2, embedder_pb2, indexer_pb2, indexer_pb2_grpc, task_pb2

from services.billing import spend
from services.indexer import agreement, indexing, ledger, settings
from services.indexer.ledger import days
from services.indexer.pinecone import batch as batches
from services.indexer.pinecone import reading, writer
from services.indexer.storage import rejects
from services.indexer.tasks import console
from services.indexer.tasks import servicer as task_servicer
from services.runtime import errors, failpoints, identity, wire
from services.runtime.interceptors.around import Context

SERVICE = "vectorline.v1.IndexerService"
MOST_MATCHES = 1_000

DECODING = indexer_pb2.IndexChunkResponse(decoding=indexer_pb2.Decoding())
DECODED = indexer_pb2.IndexChunkResponse(decoded=indexer_pb2.Decoded())

# Tags of the fields `header` and `spent`, as protobuf writes them before a message.
FRAMES = (wire.head(1, 0)[:1], wire.head(4, 0)[:1])
FRAME_BYTES = 4_096


class IndexerServicer(console.ConsoleServicer):
    """Writes chunks, answers questions, and hands what concerns tasks to `TaskServicer`."""

    def __init__(
        self,
        tasks: task_servicer.TaskServicer,
        book: ledger.Ledger,
        reads: reading.Reading,
        upserts: writer.Upserts,
        store: rejects.RejectStore,
        *,
        rules: settings.LedgerSettings,
        permissions: indexing.Permissions | None = None,
        views: ledger.Ledger | None = None,
    ) -> None:
        super().__init__(tasks, views or book, rules)
        self._book = book
        self._reads = reads
        self._agreement = agreement.Agreement(reads)
        self._upserts = upserts
        self._store = store
        self._permissions = permissions or indexing.Permissions(book)
        # One chunk's bytes are decoded at a time, so that a crash in it is pinned on that chunk.
        self._decoding = asyncio.Lock()

    async def IndexChunk(self, request: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:  # type: ignore[override]
        """IndexChunk on raw messages: decoding is work of ours, with a mark before and after it."""
        chunk: indexing.Chunk | None = None
        try:
            async for raw in request:
                async with self._decoding:
                    marked = not _is_frame(raw)
                    if marked:
                        yield DECODING
                    with indexing.INDEX.working(run=False):
                        decoded = _decode(raw, chunk.header if chunk else None, self._upserts.most_vectors)
                    if marked:
                        yield DECODED  # also of bad bytes: only a process that dies between the marks is a strike
                del raw  # 2 MB that a chunk which waits for the index need not hold
                if decoded.flaw is not None:
                    raise decoded.flaw
                if decoded.header is not None:
                    chunk = await self._chunk(decoded.header)
                elif chunk is None:
                    raise errors.InvalidArgument("The header comes first.")
                else:
                    chunk.spent += decoded.spent
                    chunk.reject(decoded.rejects)
                    while decoded.parts:  # taken out, so that what is written is not held until the next message comes
                        await chunk.write(decoded.parts.popleft())
            if chunk is None:
                raise errors.InvalidArgument("The stream held no header.")
            settled = await chunk.settle()
            failpoints.hit("indexer.before_reply")
            yield indexer_pb2.IndexChunkResponse(settled=settled)
        except batches.IndexUnavailable as error:
            raise errors.Unavailable(f"The index does not take the chunk now: {error}", retry_seconds=1.0) from error
        finally:
            if chunk is not None:
                await chunk.abandon()

    async def _chunk(self, header: indexer_pb2.IndexChunkHeader) -> indexing.Chunk:
        """A chunk that is written, or compared with what is there where its task is no load."""
        try:
            compares = None if await self._book.tasks.is_load(header.task_id) else self._agreement
        except errors.NotFound:  # it may not write either
            compares = None
        return indexing.Chunk(header, self._book, self._upserts, self._store, self._permissions, compares=compares)

    async def RecordSpend(
        self, request: indexer_pb2.RecordSpendRequest, context: Context
    ) -> indexer_pb2.RecordSpendResponse:
        """What an embedder paid for chunks that it did not settle."""
        await self._book.spending.record(request.task_id, spend.of_proto(request.spent))
        return indexer_pb2.RecordSpendResponse()

    async def Query(self, request: indexer_pb2.QueryRequest, context: Context) -> indexer_pb2.QueryResponse:
        """The vectors nearest to a vector."""
        if not 1 <= request.top_k <= MOST_MATCHES:
            raise errors.InvalidArgument(
                "The question cannot be asked.",
                violations=(errors.FieldViolation("top_k", f"Between 1 and {MOST_MATCHES}."),),
            )
        vector = batches.floats(request.vector)
        account = days.Account(request.client, request.namespace, request.model)
        self._book.spending.searched(account, spend.Spend(tokens=request.tokens, texts_bought=bool(request.tokens)))
        await self._ledger.namespaces.check(request.namespace, request.model, len(vector))
        found, cost = await self._reads.index.query(
            vector,
            namespace=request.namespace,
            top_k=request.top_k,
            metadata_filter=json_format.MessageToDict(request.filter) if request.HasField("filter") else None,
        )
        self._book.spending.searched(account, cost)
        matches = []
        for each in found:
            match = embedder_pb2.Match(id=each.vector_id, score=each.score)
            match.metadata.update(each.metadata)
            matches.append(match)
        return indexer_pb2.QueryResponse(matches=matches)

    async def ReleaseNamespace(
        self, request: indexer_pb2.ReleaseNamespaceRequest, context: Context
    ) -> indexer_pb2.ReleaseNamespaceResponse:
        """Forget which model an empty namespace holds."""
        if not request.namespace:
            raise errors.InvalidArgument(
                "The request has a bad field.",
                violations=(errors.FieldViolation("namespace", "The namespace that is to be released."),),
            )
        identity.require(namespace=request.namespace)
        held = await self._book.namespaces.release(
            request.namespace, lambda: self._reads.index.count(request.namespace)
        )
        return indexer_pb2.ReleaseNamespaceResponse(
            namespace=request.namespace, model=held.model, dimension=held.dimension
        )

    async def GetTask(self, request: indexer_pb2.GetTaskRequest, context: Context) -> task_pb2.Task:
        """See TaskServicer."""
        return await self._tasks.GetTask(request, context)

    async def ListTasks(self, request: indexer_pb2.ListTasksRequest, context: Context) -> indexer_pb2.ListTasksResponse:
        """See TaskServicer."""
        return await self._tasks.ListTasks(request, context)

    async def StreamTasks(
        self, request: indexer_pb2.StreamTasksRequest, context: Context
    ) -> AsyncIterator[task_pb2.Task]:
        """See TaskServicer."""
        async for task in self._tasks.StreamTasks(request, context):
            yield task

    async def WatchTask(self, request: indexer_pb2.WatchTaskRequest, context: Context) -> AsyncIterator[task_pb2.Task]:
        """See TaskServicer."""
        async for task in self._tasks.WatchTask(request, context):
            yield task

    async def CancelTask(self, request: indexer_pb2.CancelTaskRequest, context: Context) -> empty_pb2.Empty:
        """See TaskServicer."""
        return await self._tasks.CancelTask(request, context)


def register(servicer: IndexerServicer, server: grpc.aio.Server) -> None:
    """Add the service, with an IndexChunk that takes raw messages in place of the generated one."""
    indexer_pb2_grpc.add_IndexerServiceServicer_to_server(servicer, server)
    raw: Any = grpc.stream_stream_rpc_method_handler(
        servicer.IndexChunk,
        request_deserializer=None,
        response_serializer=indexer_pb2.IndexChunkResponse.SerializeToString,
    )
    server.add_registered_method_handlers(SERVICE, {"IndexChunk": raw})


def _is_frame(raw: bytes) -> bool:
    """Whether a message is by its first field a header or what was paid, and short: nothing of a chunk's rows.

    The two are every chunk's; marks around them are most of what is sent about a small one.
    """
    return len(raw) <= FRAME_BYTES and raw[:1] in FRAMES


@dataclasses.dataclass(frozen=True)
class _Decoded:
    """A message of an IndexChunk call, or what is wrong with it. Of vectors it holds one copy, not the message's."""

    header: indexer_pb2.IndexChunkHeader | None = None
    parts: collections.deque[indexing.Part] = dataclasses.field(default_factory=collections.deque)
    rejects: Sequence[chunk_pb2.Reject] = ()
    spent: spend.Spend = spend.NOTHING
    flaw: errors.ServiceError | None = None


def _decode(raw: bytes, header: indexer_pb2.IndexChunkHeader | None, most_vectors: int) -> _Decoded:
    try:
        request = indexer_pb2.IndexChunkRequest.FromString(raw)
        failpoints.hit("indexer.decode", lambda: "\n".join(request.vectors.ids))
        if request.HasField("header"):
            return _Decoded(header=request.header)
        if request.HasField("vectors") and header is not None:
            return _Decoded(parts=collections.deque(indexing.parts_of(request.vectors, header, most_vectors)))
        if request.HasField("spent"):
            return _Decoded(spent=spend.of_proto(request.spent))
        return _Decoded(rejects=request.rejects.rejects)
    except message.DecodeError:
        return _Decoded(flaw=errors.InvalidArgument("The message is no IndexChunkRequest."))
    except errors.ServiceError as error:
        return _Decoded(flaw=error)
