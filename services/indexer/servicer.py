"""IndexerService: RPC in, domain out."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Any

import grpc
from google.protobuf import empty_pb2, json_format
from vectorline.v1 import embedder_pb2, indexer_pb2, indexer_pb2_grpc, task_pb2

from services.billing import spend
from services.indexer import agreement, indexing, ledger, receiving, settings
from services.indexer.ledger import days
from services.indexer.pinecone import batch as batches
from services.indexer.pinecone import reading, writer
from services.indexer.storage import rejects
from services.indexer.tasks import console
from services.indexer.tasks import servicer as task_servicer
from services.runtime import errors, failpoints, identity
from services.runtime.interceptors.around import Context

SERVICE = "vectorline.v1.IndexerService"
MOST_MATCHES = 1_000
# Said with every attempt but the first (gRPC's proposal A6).
PREVIOUS_ATTEMPTS = "grpc-previous-rpc-attempts"

Ends = Sequence[indexer_pb2.ChunkSettled | errors.ServiceError]


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
        # One call's bytes are decoded at a time, so that a crash in it is pinned on its chunks.
        self._decoding = asyncio.Lock()

    async def IndexChunk(self, request: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:  # type: ignore[override]
        """IndexChunk on raw messages: decoding is work of ours, with a mark before and after it."""
        async with contextlib.aclosing(self._index(request, receiving.OneChunk(), _settled)) as events:
            async for event in events:
                yield event

    async def IndexChunks(self, request: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:  # type: ignore[override]
        """IndexChunks on raw messages: as IndexChunk, of chunks that are written together."""
        async with contextlib.aclosing(self._index(request, receiving.SeveralChunks(), _outcomes)) as events:
            async for event in events:
                yield event

    async def _index(
        self, request: AsyncIterator[bytes], reader: receiving.Reader, answer: Callable[[Ends], Any]
    ) -> AsyncGenerator[Any, None]:
        """The marks, and the answer at last."""
        chunks: indexing.Chunks | None = None
        cutting: indexing.Cutting | None = None
        try:
            async for raw in request:
                async with self._decoding:
                    marked = reader.marked(raw)
                    if marked:
                        yield reader.decoding
                    with indexing.INDEX.working(run=False):
                        received = reader.read(raw, cutting)
                    if marked:  # also of bad bytes: only a process that dies between the marks is a strike
                        yield reader.decoded
                del raw  # 2 MB that chunks which wait for the index need not hold
                if received.flaw is not None:
                    raise received.flaw
                if received.headers and chunks is None:
                    chunks = await self._chunks(received.headers)
                    cutting = indexing.Cutting(chunks, received.vectors, self._upserts.most_vectors)
                elif received.headers or chunks is None:
                    raise errors.InvalidArgument("The header comes first, and once.")
                await chunks.take(received.rejects, received.spends, received.parts)
            if chunks is None:
                raise errors.InvalidArgument("The stream held no header.")
            ends = await chunks.settle()
            failpoints.hit("indexer.before_reply")
            yield answer(ends)
        except batches.IndexUnavailable as error:
            raise errors.Unavailable(f"The index does not take the chunk now: {error}", retry_seconds=1.0) from error
        finally:
            if chunks is not None:
                await chunks.abandon()

    async def _chunks(self, headers: Sequence[indexer_pb2.IndexChunkHeader]) -> indexing.Chunks:
        """Chunks that are written, or compared with what is there where their task is no load."""
        try:
            compares = None if await self._book.tasks.is_load(headers[0].task_id) else self._agreement
        except errors.NotFound:  # it may not write either
            compares = None
        return indexing.Chunks(headers, self._book, self._upserts, self._store, self._permissions, compares=compares)

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
        paid = spend.Spend(tokens=request.tokens, texts_bought=bool(request.tokens))
        self._book.spending.searched(account, paid.doubtful() if _attempted_before(context) else paid)
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
    """Add the service, with an IndexChunk and an IndexChunks that take raw messages in place of the generated ones."""
    indexer_pb2_grpc.add_IndexerServiceServicer_to_server(servicer, server)
    kinds: tuple[tuple[Any, Any], ...] = (
        (servicer.IndexChunk, indexer_pb2.IndexChunkResponse),
        (servicer.IndexChunks, indexer_pb2.IndexChunksResponse),
    )
    raw: dict[str, Any] = {
        method.__name__: grpc.stream_stream_rpc_method_handler(
            method, request_deserializer=None, response_serializer=response.SerializeToString
        )
        for method, response in kinds
    }
    server.add_registered_method_handlers(SERVICE, raw)


def _attempted_before(context: Context) -> bool:
    """Whether the caller's channel makes this call again; its answer may have been lost, and its effect may stand."""
    return any(name == PREVIOUS_ATTEMPTS for name, _ in context.invocation_metadata() or ())


def _settled(ends: Ends) -> indexer_pb2.IndexChunkResponse:
    (end,) = ends
    if isinstance(end, errors.ServiceError):
        raise end
    return indexer_pb2.IndexChunkResponse(settled=end)


def _outcomes(ends: Ends) -> indexer_pb2.IndexChunksResponse:
    outcomes = [
        indexer_pb2.ChunkOutcome(unsettled=end.message)
        if isinstance(end, errors.ServiceError)
        else indexer_pb2.ChunkOutcome(settled=end)
        for end in ends
    ]
    return indexer_pb2.IndexChunksResponse(outcomes=indexer_pb2.ChunkOutcomes(outcomes=outcomes))
