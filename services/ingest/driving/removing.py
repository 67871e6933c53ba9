"""Deletes what a comparison names as gone: chunk by chunk of ids, each settled like a chunk of rows.

Where that is all that a namespace has, one chunk may drop the namespace instead.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import structlog
from vectorline.v1 import ledger_pb2

from services.ingest import ledger_client, manifest_client, threads
from services.ingest.driving import lease_watch
from services.ingest.manifest import comparison, parts, records, store
from services.ingest.planning import plan
from services.runtime import failpoints

log = structlog.get_logger()

# Deletes of a task under way at once. The indexer paces them to what a namespace bears.
AT_ONCE = 4


class Chunk(NamedTuple):
    """Ids of one delete: its number, from 0, and how many of them are known to be in the index."""

    number: int
    ids: Sequence[str]
    known: int


class Removed(NamedTuple):
    """What was removed by: the task's chunks with those that deleted, and why the namespace was not dropped, if so."""

    chunks: int
    why_by_ids: str = ""


class Remover:
    """Removes for a task that has its turn, from wherever it stands.

    Args:
        ledger: Knows which deletes are settled.
        manifests: Deletes.
        objects: Where comparisons lie.
        work: Where they are read.
    """

    def __init__(
        self,
        ledger: ledger_client.Ledger,
        manifests: manifest_client.Manifests,
        objects: store.Store,
        *,
        work: threads.Pool,
    ) -> None:
        self._ledger = ledger
        self._manifests = manifests
        self._objects = objects
        self._work = work

    async def take_back(
        self,
        record: ledger_client.Record,
        made: comparison.Comparison,
        gone: comparison.Gone,
        stand: lease_watch.Standing,
    ) -> Removed:
        """Remove all that is gone by a task without rows: with its namespace, where nothing else is in that.

        Args:
            record: The task, from wherever it stands.
            made: Its comparison, which is marked.
            gone: What it names.
            stand: The task's.

        Raises:
            As `run`.
        """
        begun = record.removal
        first, why = begun.first_chunk, begun.why_by_ids
        if begun.drop or not begun.chunks:
            why = await self._dropped(begun, made, gone, stand)
            if not why:
                return Removed(first + 1)
        await self.run(made, gone, first, stand, why_by_ids=why)
        return Removed(first + gone.deletes, why)

    async def _dropped(
        self, begun: ledger_pb2.Removal, made: comparison.Comparison, gone: comparison.Gone, stand: lease_watch.Standing
    ) -> str:
        """Drop the namespace; why not, if it may not be, and empty if it is dropped."""
        if begun.chunks and await self.settled(made.task_id, begun.first_chunk, 1):
            return ""
        if gone.rows != gone.entries:
            return "vectors of this question stay"
        while True:
            answer = await self._manifests.begin_drop(made.task_id, stand.fence, gone.there)
            if answer.why or not answer.wait_seconds:
                break
            await stand.during(asyncio.sleep(answer.wait_seconds))
        failpoints.hit("ingest.before_drop")
        if answer.why:
            return str(answer.why)
        if not begun.chunks:
            await self._manifests.begin_removal(made.task_id, stand.fence, made.name, begun.first_chunk, 1, drop=True)
            failpoints.hit("ingest.mid_drop")
        await self._ledger.open_shard(made.task_id, begun.first_chunk // plan.SHARD_CHUNKS, stand.fence)
        await stand.during(self._manifests.drop(made.task_id, begun.first_chunk, stand.fence, gone.rows))
        failpoints.hit("ingest.after_drop")
        return ""

    async def run(
        self,
        made: comparison.Comparison,
        gone: comparison.Gone,
        first: int,
        stand: lease_watch.Standing,
        *,
        why_by_ids: str = "",
    ) -> None:
        """Delete all that is gone and not deleted yet; begun before, and now.

        Args:
            made: The task's comparison, which is marked.
            gone: What it names.
            first: The chunk of the task that the first delete is.
            stand: The task's.
            why_by_ids: Why the namespace is not dropped instead, if that could have been.

        Raises:
            ledger_client.LedgerUnavailable: Not now.
            lease_watch.Stopped: The driver must not go on.
        """
        failpoints.hit("ingest.before_removal")
        await self._manifests.begin_removal(
            made.task_id, stand.fence, made.name, first, gone.deletes, why_by_ids=why_by_ids
        )
        await stand.during(self._delete(made.task_id, gone, first, stand.fence))

    async def leave(self, record: ledger_client.Record, stand: lease_watch.Standing) -> None:
        """Settle the deletes that a task began and did not come to: what they are about stays."""
        begun = record.removal
        settled = await self.settled(record.task_id, begun.first_chunk, begun.chunks)
        for number in range(begun.first_chunk, begun.first_chunk + begun.chunks):
            if number not in settled:
                await self._settle(record.task_id, number, stand.fence, (), 0)

    async def settled(self, task_id: str, first: int, count: int) -> set[int]:
        """Chunks of some that are settled."""
        found: set[int] = set()
        if not count:
            return found
        for shard in range(first // plan.SHARD_CHUNKS, (first + count - 1) // plan.SHARD_CHUNKS + 1):
            found |= await self._ledger.settled_chunks(task_id, shard)
        return found.intersection(range(first, first + count))

    async def _delete(self, task_id: str, gone: comparison.Gone, first: int, fence: int) -> None:
        settled = await self.settled(task_id, first, gone.deletes)
        left = gone.deletes - len(settled)
        if not left:
            return
        async with contextlib.aclosing(self._work.iterate(_groups(self._objects, gone, settled, first))) as groups:
            async for group in groups:
                await asyncio.gather(
                    *(self._settle(task_id, first + chunk.number, fence, chunk.ids, chunk.known) for chunk in group)
                )
                failpoints.hit("ingest.mid_removal")
        log.info("What was gone from the file was deleted.", action="removed", chunks=left)

    async def _settle(self, task_id: str, number: int, fence: int, ids: Sequence[str], known: int) -> None:
        await self._ledger.open_shard(task_id, number // plan.SHARD_CHUNKS, fence)
        await self._manifests.remove(task_id, number, fence, ids, known)


def _groups(
    objects: store.Store, gone: comparison.Gone, settled: Iterable[int], first: int
) -> Iterator[tuple[Chunk, ...]]:
    """What is left to delete, as many chunks as go at once. Blocking."""
    done = {number - first for number in settled}
    found = (chunk for chunk in chunks(objects, gone) if chunk.number not in done)
    while group := tuple(itertools.islice(found, AT_ONCE)):
        yield group


def chunks(objects: store.Store, gone: comparison.Gone) -> Iterator[Chunk]:
    """What is gone, delete by delete. Blocking.

    Raises:
        store.Broken: It cannot be read.
    """
    ids: list[str] = []
    known = number = 0
    for block in parts.read(objects, gone.parts, records.SENT, ids=True):
        numbers = block.entries["chunk"]
        edges = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(block)]
        for start, end in itertools.pairwise(edges):
            if ids and int(numbers[start]) != number:
                yield Chunk(number, ids, known)
                ids, known = [], 0
            number = int(numbers[start])
            ids += [each.decode() for each in block.ids[start:end]]
            known += int(np.count_nonzero(block.entries["prior"][start:end] == records.KNOWN))
    if ids:
        yield Chunk(number, ids, known)
