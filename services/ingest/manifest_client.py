"""Manifests as ingest sees them: the ledger's items and the index. gRPC ends here, with the ledger's errors."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
from google.protobuf import json_format
from vectorline.v1 import manifest_pb2, manifest_pb2_grpc

from services.ingest import ledger_client
from services.ingest.manifest import comparison, header

Manifest = manifest_pb2.Manifest
Kept = manifest_pb2.TaskComparison
Look = manifest_pb2.NamespaceLook
Drop = manifest_pb2.BeginDropResponse

# A page of ids takes the index a moment, and fifty of them stand in a message.
LIST_SECONDS = 600.0
# So does a query of a million vectors, where nobody has asked for a while: given up too soon, a whole scan is lost.
FETCH_SECONDS = 60.0
# A delete waits for its place and is tried several times, each as long as an upsert.
DELETE_SECONDS = 240.0
# Records of one call, and calls at once.
FETCHED, FETCHES = 100, 4
# A list that breaks off so often at the same place is given up for now.
BREAKS = 4


class Manifests:
    """The methods that a driver calls; all raise what `ledger_client.translated` says."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: manifest_pb2_grpc.ManifestServiceAsyncStub = manifest_pb2_grpc.ManifestServiceStub(channel)

    async def of_task(self, task_id: str) -> Manifest:
        """What a task writes to, and what it was compared with."""
        with ledger_client.translated():
            return await self._stub.GetManifest(manifest_pb2.GetManifestRequest(task_id=task_id))

    async def by_key(self, key: str) -> Manifest:
        """A manifest; without a key where there is none."""
        with ledger_client.translated():
            return await self._stub.GetManifest(manifest_pb2.GetManifestRequest(key=key))

    async def about(self, namespace: str, question_id: int | None) -> Manifest:
        """What of a question is in a namespace; without a key where no task ever wrote there."""
        name = "" if question_id is None else str(question_id)
        with ledger_client.translated():
            return await self._stub.GetManifest(manifest_pb2.GetManifestRequest(namespace=namespace, question_id=name))

    async def pending(self) -> AsyncIterator[str]:
        """Keys of manifests with a run that is not merged, the oldest first."""
        async for page in ledger_client.pages(
            lambda token: self._stub.ListPendingRuns(manifest_pb2.ListPendingRunsRequest(page_token=token))
        ):
            for key in page.keys:
                yield key

    async def keep(self, made: comparison.Comparison, checksum: str, look: Look | None) -> Kept:
        """Store a comparison; the one that counts."""
        kept = Kept(fence=made.fence, version=made.version, uri=made.name, checksum=checksum)
        with ledger_client.translated():
            return await self._stub.KeepComparison(
                manifest_pb2.KeepComparisonRequest(task_id=made.task_id, comparison=kept, look=look)
            )

    async def mark(self, task_id: str, fence: int) -> bool:
        """Say that the task's run begins to write; False: the manifest changed since the comparison."""
        with ledger_client.translated():
            answer = await self._stub.MarkRun(manifest_pb2.MarkRunRequest(task_id=task_id, fence=fence))
        return answer.marked

    async def commit(self, read: Manifest, made: header.Header, uri: str, checksum: str, lsn: int) -> bool:
        """A pending run was merged; whether its outcome counts. `lsn`: where in the namespace's log its writes are."""
        request = manifest_pb2.CommitManifestRequest(
            read=read, uri=uri, checksum=checksum, known=made.known, unknown=made.unknown, lsn=lsn
        )
        with ledger_client.translated():
            return (await self._stub.CommitManifest(request)).committed

    async def void(self, found: Manifest, why: str, *, past: int = 0) -> None:
        """Nothing of this version is believed any more; the next is later than `past`."""
        request = manifest_pb2.VoidManifestRequest(key=found.key, version=found.version, why=why, past=past)
        with ledger_client.translated():
            await self._stub.VoidManifest(request)

    async def claim(self, task_id: str, fence: int) -> None:
        """Claim a task's namespace for the model that its texts were bought with."""
        with ledger_client.translated():
            await self._stub.ClaimNamespace(manifest_pb2.ClaimNamespaceRequest(task_id=task_id, fence=fence))

    async def begin_removal(
        self, task_id: str, fence: int, made: str, first: int, chunks: int, *, drop: bool = False, why_by_ids: str = ""
    ) -> None:
        """Say that a marked run begins to delete what its comparison names as gone, by ids or by a drop."""
        request = manifest_pb2.BeginRemovalRequest(
            task_id=task_id,
            fence=fence,
            comparison=made,
            first_chunk=first,
            chunks=chunks,
            drop=drop,
            why_by_ids=why_by_ids,
        )
        with ledger_client.translated():
            await self._stub.BeginRemoval(request)

    async def remove(self, task_id: str, chunk: int, fence: int, ids: Sequence[str], known: int) -> None:
        """Delete the ids of one chunk, and settle it; `known` of them are known to be there."""
        request = manifest_pb2.RemoveVectorsRequest(task_id=task_id, chunk=chunk, fence=fence, ids=ids, known=known)
        with ledger_client.translated():
            await self._stub.RemoveVectors(request, timeout=DELETE_SECONDS)

    async def begin_drop(self, task_id: str, fence: int, there: int) -> Drop:
        """Keep others out of a task's namespace, and hear whether it may be dropped, or when to ask again."""
        request = manifest_pb2.BeginDropRequest(task_id=task_id, fence=fence, there=there)
        with ledger_client.translated():
            return await self._stub.BeginDrop(request)

    async def drop(self, task_id: str, chunk: int, fence: int, removed: int) -> None:
        """Drop a task's namespace, and settle the chunk that does; so many ids go by it."""
        request = manifest_pb2.DropNamespaceRequest(task_id=task_id, chunk=chunk, fence=fence, removed=removed)
        with ledger_client.translated():
            await self._stub.DropNamespace(request, timeout=DELETE_SECONDS)

    async def count(self, namespace: str) -> tuple[int, str]:
        """Vectors in a namespace, and where the index is."""
        with ledger_client.translated():
            answer = await self._stub.CountVectors(manifest_pb2.CountVectorsRequest(namespace=namespace))
        return answer.count, answer.host

    async def position(self, namespace: str, task_id: str) -> int | None:
        """Up to where in its log queries see a namespace, on the bill of a task; None: the index does not tell."""
        request = manifest_pb2.GetLogPositionRequest(namespace=namespace, task_id=task_id)
        with ledger_client.translated():
            answer = await self._stub.GetLogPosition(request, timeout=FETCH_SECONDS)
        return answer.lsn if answer.HasField("lsn") else None

    async def ids(self, namespace: str, prefix: str, task_id: str) -> AsyncIterator[Sequence[str]]:
        """The ids that the index lists, some at a time; a list that breaks off goes on where it was.

        Args:
            namespace: The namespace.
            prefix: What they begin with.
            task_id: Whose bill it is on.
        """
        request = manifest_pb2.ListVectorIdsRequest(namespace=namespace, prefix=prefix, task_id=task_id)
        breaks, over = 0, False
        while not over:
            try:
                with ledger_client.translated():
                    async for part in self._stub.ListVectorIds(request, timeout=LIST_SECONDS):
                        yield part.ids
                        request.page_token, breaks = part.page_token, 0
                over = True
            except ledger_client.LedgerUnavailable:
                breaks += 1
                if breaks == BREAKS:
                    raise
                await asyncio.sleep(breaks)

    async def some_ids(self, namespace: str, prefix: str) -> Sequence[str]:
        """The first page of them."""
        request = manifest_pb2.ListVectorIdsRequest(namespace=namespace, prefix=prefix, pages=1)
        with ledger_client.translated():
            answer = self._stub.ListVectorIds(request, timeout=FETCH_SECONDS)
            return [name async for part in answer for name in part.ids]

    async def fetch(self, namespace: str, ids: Sequence[str], task_id: str = "") -> dict[str, dict[str, Any]]:
        """The metadata of the records that are there, by id; on the bill of a task, if one is named."""
        found: dict[str, dict[str, Any]] = {}
        groups = (ids[start : start + FETCHED] for start in range(0, len(ids), FETCHED))

        async def some() -> None:
            for group in groups:
                request = manifest_pb2.FetchRecordsRequest(namespace=namespace, ids=group, task_id=task_id)
                with ledger_client.translated():
                    answer = await self._stub.FetchRecords(request, timeout=FETCH_SECONDS)
                found.update((each.id, json_format.MessageToDict(each.metadata)) for each in answer.records)

        await asyncio.gather(*(some() for _ in range(FETCHES)))
        return found
