"""ManifestService: what is known to be in the index, and what the index itself says. RPC in, ledger and index out."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol, TypeAlias

import grpc
from vectorline.v1 import manifest_pb2, manifest_pb2_grpc

from services.billing import spend
from services.indexer import ledger, removing
from services.indexer.ledger import manifests, removals
from services.indexer.pinecone import batch, client, reading
from services.indexer.storage import table
from services.runtime import errors

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

SERVICE = "vectorline.v1.ManifestService"
MOST_RECORDS = 100
# Pages of the index's list that one message holds.
PAGES = 50


class Index(Protocol):
    """What is asked of the index."""

    async def index(self) -> client.Index:
        """Where it is."""

    async def count(self, namespace: str) -> int:
        """Vectors in a namespace."""

    async def position(self, namespace: str) -> tuple[int | None, spend.Spend]:
        """How far its log is indexed, and what it cost to ask."""


class Reads(Protocol):
    """What is read of its records."""

    @property
    def index(self) -> Index:
        """The index."""

    def list_ids(self, namespace: str, prefix: str, token: str = "") -> AsyncIterator[reading.Page]:
        """Ids by prefix."""

    async def fetch(self, namespace: str, ids: Sequence[str]) -> tuple[dict[str, batch.Record], spend.Spend]:
        """Records by id, and what it cost."""


class ManifestServicer(manifest_pb2_grpc.ManifestServiceServicer):
    """Serves ingest."""

    def __init__(self, book: ledger.Ledger, reads: Reads, remover: removing.Remover) -> None:
        self._manifests = book.manifests
        self._removals = book.removals
        self._spending = book.spending
        self._book = book
        self._index = reads.index
        self._reads = reads
        self._remover = remover

    async def GetManifest(self, request: manifest_pb2.GetManifestRequest, context: Context) -> manifest_pb2.Manifest:
        if request.key:
            found = await self._manifests.read(request.key)
        elif request.namespace:
            found = await self._manifests.about(request.namespace, request.question_id)
        else:
            found = await self._manifests.of_task(request.task_id)
        return manifest_pb2.Manifest() if found is None else _message(found, self._manifests.index)

    async def ListPendingRuns(
        self, request: manifest_pb2.ListPendingRunsRequest, context: Context
    ) -> manifest_pb2.ListPendingRunsResponse:
        keys, following = await self._manifests.pending(request.page_token)
        return manifest_pb2.ListPendingRunsResponse(keys=keys, next_page_token=following)

    async def KeepComparison(
        self, request: manifest_pb2.KeepComparisonRequest, context: Context
    ) -> manifest_pb2.TaskComparison:
        asked = request.comparison
        made = manifests.Comparison(asked.fence, asked.version, asked.uri, asked.checksum)
        look = None
        if request.HasField("look"):
            look = manifests.Look(request.look.count, request.look.known, request.look.doubts)
        return _comparison(await self._manifests.keep(request.task_id, made, look))

    async def MarkRun(self, request: manifest_pb2.MarkRunRequest, context: Context) -> manifest_pb2.MarkRunResponse:
        return manifest_pb2.MarkRunResponse(marked=await self._manifests.mark(request.task_id, request.fence))

    async def CommitManifest(
        self, request: manifest_pb2.CommitManifestRequest, context: Context
    ) -> manifest_pb2.CommitManifestResponse:
        read = request.read
        found = await self._manifests.read(read.key)
        if found is None or not _as_read(_message(found, self._manifests.index), read):
            return manifest_pb2.CommitManifestResponse(committed=False)
        made = manifests.Version(
            request.uri, request.checksum, request.known, request.unknown, read.model, read.dimension, request.lsn
        )
        return manifest_pb2.CommitManifestResponse(committed=await self._manifests.commit(found, made))

    async def VoidManifest(
        self, request: manifest_pb2.VoidManifestRequest, context: Context
    ) -> manifest_pb2.VoidManifestResponse:
        await self._manifests.void(request.key, request.version, request.why, past=request.past)
        return manifest_pb2.VoidManifestResponse()

    async def ClaimNamespace(
        self, request: manifest_pb2.ClaimNamespaceRequest, context: Context
    ) -> manifest_pb2.ClaimNamespaceResponse:
        await self._book.claim(request.task_id, request.fence)
        return manifest_pb2.ClaimNamespaceResponse()

    async def BeginRemoval(
        self, request: manifest_pb2.BeginRemovalRequest, context: Context
    ) -> manifest_pb2.BeginRemovalResponse:
        begun = removals.Removal(
            request.comparison, request.first_chunk, request.chunks, drop=request.drop, why_by_ids=request.why_by_ids
        )
        await self._removals.begin(request.task_id, request.fence, begun)
        return manifest_pb2.BeginRemovalResponse()

    async def BeginDrop(
        self, request: manifest_pb2.BeginDropRequest, context: Context
    ) -> manifest_pb2.BeginDropResponse:
        task = await self._book.tasks.get(request.task_id)

        async def count() -> int:
            return await self._index.count(task["namespace"])

        answer = await self._book.drops.begin(request.task_id, request.fence, request.there, count)
        return manifest_pb2.BeginDropResponse(wait_seconds=answer.wait_seconds, why=answer.why)

    async def DropNamespace(
        self, request: manifest_pb2.DropNamespaceRequest, context: Context
    ) -> manifest_pb2.DropNamespaceResponse:
        drop = removing.Drop(request.task_id, request.chunk, request.fence, request.removed)
        await self._remover.drop(drop)
        return manifest_pb2.DropNamespaceResponse()

    async def RemoveVectors(
        self, request: manifest_pb2.RemoveVectorsRequest, context: Context
    ) -> manifest_pb2.RemoveVectorsResponse:
        chunk = removing.Chunk(request.task_id, request.chunk, request.fence, request.ids, request.known)
        await self._remover.remove(chunk)
        return manifest_pb2.RemoveVectorsResponse(removed=len(request.ids))

    async def CountVectors(
        self, request: manifest_pb2.CountVectorsRequest, context: Context
    ) -> manifest_pb2.CountVectorsResponse:
        count = await self._index.count(request.namespace)
        return manifest_pb2.CountVectorsResponse(count=count, host=(await self._index.index()).host)

    async def GetLogPosition(
        self, request: manifest_pb2.GetLogPositionRequest, context: Context
    ) -> manifest_pb2.GetLogPositionResponse:
        lsn, spent = await self._index.position(request.namespace)
        self._pays(request.task_id, spent)
        return manifest_pb2.GetLogPositionResponse(lsn=lsn)

    async def ListVectorIds(
        self, request: manifest_pb2.ListVectorIdsRequest, context: Context
    ) -> AsyncIterator[manifest_pb2.ListVectorIdsResponse]:
        held: list[str] = []
        spent = spend.NOTHING
        pages = 0
        async for page in self._reads.list_ids(request.namespace, request.prefix, request.page_token):
            held += page.ids
            spent += page.spent
            pages += 1
            if pages == request.pages:
                break
            if pages % PAGES == 0 and page.token:
                self._pays(request.task_id, spent)
                yield manifest_pb2.ListVectorIdsResponse(ids=held, page_token=page.token)
                held, spent = [], spend.NOTHING
        self._pays(request.task_id, spent)
        yield manifest_pb2.ListVectorIdsResponse(ids=held)

    async def FetchRecords(
        self, request: manifest_pb2.FetchRecordsRequest, context: Context
    ) -> manifest_pb2.FetchRecordsResponse:
        if len(request.ids) > MOST_RECORDS:
            raise errors.InvalidArgument(f"At most {MOST_RECORDS} records are fetched at once.")
        answer = manifest_pb2.FetchRecordsResponse()
        records, spent = await self._reads.fetch(request.namespace, request.ids)
        self._pays(request.task_id, spent)
        for name, found in records.items():
            answer.records.add(id=name, metadata=found.metadata)
        return answer

    def _pays(self, task_id: str, spent: spend.Spend) -> None:
        if task_id:
            self._spending.add(task_id, spent)


def _message(found: manifests.State, index: str) -> manifest_pb2.Manifest:
    item, namespace = found.item, found.namespace
    message = manifest_pb2.Manifest(
        key=found.key,
        version=item["version"],
        uri=item.get("uri", ""),
        checksum=item.get("checksum", ""),
        hash_key=item["key"],
        known=item["known"],
        unknown=item["unknown"],
        opened_task=item.get("opened_task", ""),
        opened_fence=item.get("opened_fence", 0),
        index=index,
        namespace=item["namespace"],
        question_id=item["question"],
        # Below zero for a moment, while the sums of an older ledger are made anew.
        namespace_known=max(0, namespace.get("known", 0)),
        namespace_pending=max(0, namespace.get("pending", 0)),
        namespace_doubts=namespace.get("doubts", 0),
        namespace_unknown=namespace.get("unknown", 0),
        lsn=item.get("lsn", 0),
        model=namespace.get("model", ""),
        dimension=namespace.get("dimension", 0),
    )
    if "pending_task" in item:
        message.pending.CopyFrom(_pending(item, over=found.over))
    if "look_count" in item:
        count, known, doubts = (item[name] for name in manifests.LOOK)
        message.look.CopyFrom(manifest_pb2.NamespaceLook(count=count, known=known, doubts=doubts))
    if found.comparison is not None:
        message.comparison.CopyFrom(_comparison(found.comparison))
    return message


def _pending(item: table.Item, *, over: bool) -> manifest_pb2.PendingRun:
    return manifest_pb2.PendingRun(
        task_id=item["pending_task"],
        fence=item["pending_run"],
        uri=item["pending_uri"],
        checksum=item["pending_checksum"],
        over=over,
    )


def _comparison(made: manifests.Comparison) -> manifest_pb2.TaskComparison:
    return manifest_pb2.TaskComparison(fence=made.fence, version=made.version, uri=made.uri, checksum=made.checksum)


def _as_read(now: manifest_pb2.Manifest, read: manifest_pb2.Manifest) -> bool:
    """Whether version, run, turn and claim are as they were; the rest follows from these."""
    return (now.version, now.pending.task_id, now.pending.fence, now.opened_task, now.opened_fence) == (
        read.version,
        read.pending.task_id,
        read.pending.fence,
        read.opened_task,
        read.opened_fence,
    ) and (now.model, now.dimension) == (read.model, read.dimension)
