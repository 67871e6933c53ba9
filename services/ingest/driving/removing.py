"""Deletes what a comparison names as gone: chunk by chunk of ids, each settled like a chunk of rows."""

import asyncio
import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import structlog

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

    async def run(
        self, made: comparison.Comparison, gone: comparison.Gone, first: int, stand: lease_watch.Standing
    ) -> None:
        """Delete all that is gone and not deleted yet; begun before, and now.

        Args:
            made: The task's comparison, which is marked.
            gone: What it names.
            first: The chunk of the task that the first delete is.
            stand: The task's.

        Raises:
            ledger_client.LedgerUnavailable: Not now.
            lease_watch.Stopped: The driver must not go on.
        """
        failpoints.hit("ingest.before_removal")
        await self._manifests.begin_removal(made.task_id, stand.fence, made.name, first, gone.deletes)
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
