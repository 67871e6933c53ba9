"""IndexerService: RPC in, domain out."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
from google.protobuf import empty_pb2, json_format, message
from vectorline.v1 import embedder_pb2, indexer_pb2, indexer_pb2_grpc, task_pb2

from services.indexer import (
    indexing,
    ledger,
    monitoring_servicer,
    pinecone_batch,
    pinecone_client,
    pinecone_writer,
    rejects,
    settings,
    task_servicer,
)
from services.runtime import errors, failpoints
from services.runtime.interceptors.around import Context

SERVICE = "vectorline.v1.IndexerService"
MOST_MATCHES = 1_000

DECODING = indexer_pb2.IndexChunkResponse(decoding=indexer_pb2.Decoding())
DECODED = indexer_pb2.IndexChunkResponse(decoded=indexer_pb2.Decoded())


class IndexerServicer(monitoring_servicer.MonitoringServicer):
    """Writes chunks, answers questions, and hands what concerns tasks to `TaskServicer`."""

    def __init__(
        self,
        tasks: task_servicer.TaskServicer,
        book: ledger.Ledger,
        index: pinecone_client.Pinecone,
        upserts: pinecone_writer.Upserts,
        store: rejects.RejectStore,
        *,
        rules: settings.LedgerSettings,
    ) -> None:
        super().__init__(tasks, book, rules)
        self._index = index
        self._upserts = upserts
        self._store = store
        self._permissions = indexing.Permissions(book)
        # One chunk's bytes are decoded at a time, so that a crash in it is pinned on that chunk.
        self._decoding = asyncio.Lock()

    async def IndexChunk(self, request: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:  # type: ignore[override]
        """IndexChunk on raw messages: decoding is work of ours, with a mark before and after it."""
        chunk: indexing.Chunk | None = None
        dimension = 0
        try:
            async for raw in request:
                async with self._decoding:
                    yield DECODING
                    with indexing.INDEX.working(run=False):
                        part, vectors, flaw = _decode(raw, dimension)
                    yield DECODED  # also of bad bytes: only a process that dies between the marks is a strike
                if flaw is not None:
                    raise flaw
                if part.HasField("header"):
                    chunk = indexing.Chunk(part.header, self._ledger, self._upserts, self._store, self._permissions)
                    dimension = part.header.dimension
                elif chunk is None:
                    raise errors.InvalidArgument("The header comes first.")
                elif vectors:
                    await chunk.write(vectors, part.vectors.row_numbers)
                else:
                    chunk.reject(part.rejects.rejects)
            if chunk is None:
                raise errors.InvalidArgument("The stream held no header.")
            settled = await chunk.settle()
            failpoints.hit("indexer.before_reply")
            yield indexer_pb2.IndexChunkResponse(settled=settled)
        except pinecone_batch.IndexUnavailable as error:
            raise errors.Unavailable(f"The index does not take the chunk now: {error}", retry_seconds=1.0) from error
        finally:
            if chunk is not None:
                await chunk.abandon()

    async def Query(self, request: indexer_pb2.QueryRequest, context: Context) -> indexer_pb2.QueryResponse:
        """The vectors nearest to a vector."""
        if not 1 <= request.top_k <= MOST_MATCHES:
            raise errors.InvalidArgument(
                "The question cannot be asked.",
                violations=(errors.FieldViolation("top_k", f"Between 1 and {MOST_MATCHES}."),),
            )
        vector = np.frombuffer(request.vector, "<f4")
        await self._ledger.namespaces.check(request.namespace, request.model, len(vector))
        found = await self._index.query(
            vector.tolist(),
            namespace=request.namespace,
            top_k=request.top_k,
            metadata_filter=json_format.MessageToDict(request.filter) if request.HasField("filter") else None,
        )
        matches = []
        for each in found:
            match = embedder_pb2.Match(id=each.vector_id, score=each.score)
            match.metadata.update(each.metadata)
            matches.append(match)
        return indexer_pb2.QueryResponse(matches=matches)

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


def _decode(
    raw: bytes, dimension: int
) -> tuple[indexer_pb2.IndexChunkRequest, list[pinecone_batch.Vector], errors.ServiceError | None]:
    """The part, its vectors, and what is wrong with it if anything is."""
    part = indexer_pb2.IndexChunkRequest()
    try:
        part.MergeFromString(raw)
        failpoints.hit("indexer.decode", lambda: "\n".join(part.vectors.ids))
        return part, indexing.vectors_of(part.vectors, dimension) if part.HasField("vectors") else [], None
    except message.DecodeError:
        return part, [], errors.InvalidArgument("The message is no IndexChunkRequest.")
    except errors.ServiceError as error:
        return part, [], error
