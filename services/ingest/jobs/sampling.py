"""Vectors that are bought again: rows of chunks like any other, which the indexer compares instead of writing them.

So they pass the gate, the limiter and the bill as a load's do, at a load's place in the queue, and stop with their
task. What is sent is stored first: a driver that comes after another sends the same.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from vectorline.v1 import bill_pb2, chunk_pb2

from services.chunks import entry, inflight, keys, publisher, splitting, store
from services.ingest import ledger_client
from services.ingest.driving import lease_watch, outstanding
from services.ingest.jobs import findings, folder
from services.ingest.manifest import store as objects_store
from services.ingest.planning import plan

CHUNK_ROWS: Final = 1_000
CHUNK_BYTES: Final = 4 << 20
# Of what a job keeps of its chunks: the object's name, its first row and its rows.
Sent = Sequence[Any]
_POISON: Final = "The chunk with this id killed its worker again and again; its vector was not compared."


class Sample:
    """The rows of one drive, on their way into the bucket. Blocking."""

    def __init__(self, where: folder.Folder, namespace: str) -> None:
        self._folder = where
        self._namespace = namespace
        self._message = self._new()
        self._bytes = 0
        self._chunks: list[Sent] = []
        self.rows = 0

    def add(self, vector_id: str, text: str) -> None:
        """Take a record of the index and the text that its vector should be of."""
        size = len(vector_id) + len(text.encode())
        full = len(self._message.rows) == CHUNK_ROWS or self._bytes + size > CHUNK_BYTES
        if self._message.rows and full:
            self._flush()
        self.rows += 1
        self._bytes += size
        self._message.rows.add(row_number=self.rows, vector_id=vector_id, text=text)

    def finish(self) -> list[Sent]:
        """The chunks, for `Buying`."""
        if self._message.rows:
            self._flush()
        return self._chunks

    def _flush(self) -> None:
        rows = len(self._message.rows)
        name = self._folder.put(f"chunk-{len(self._chunks):05}", self._message.SerializeToString(deterministic=True))
        self._chunks.append([name, self.rows - rows + 1, rows])
        self._message, self._bytes = self._new(), 0

    def _new(self) -> chunk_pb2.ChunkRows:
        # Nothing is written, so nothing is replaced.
        return chunk_pb2.ChunkRows(namespace=self._namespace, replaced=bill_pb2.Replaced())


class Buying:
    """Sends stored chunks, and reads what became of them.

    Args:
        ledger: Knows what is settled.
        queue: Where chunks go.
        objects: Where they are stored.
    """

    def __init__(self, ledger: ledger_client.Ledger, queue: store.Store, objects: objects_store.Store) -> None:
        self._ledger = ledger
        self._publisher = publisher.Publisher(queue)
        self._inflight = inflight.InFlight(queue)
        self._objects = objects

    async def done(
        self,
        record: ledger_client.Record,
        chunks: Sequence[Sent],
        lease: splitting.SplitLease,
        stand: lease_watch.Standing,
    ) -> bool:
        """Send what is neither settled nor in flight; whether all is settled."""
        found = await outstanding.of(self._inflight, self._ledger, record.task_id, len(chunks))
        shard = -1
        for number in sorted(found.missing):
            if number // plan.SHARD_CHUNKS != shard:
                shard = number // plan.SHARD_CHUNKS
                await self._ledger.open_shard(record.task_id, shard, stand.fence)
            await self._publish(record, number, chunks[number], lease, stand)
        return found.settled == len(chunks)

    async def _publish(
        self,
        record: ledger_client.Record,
        number: int,
        sent: Sent,
        lease: splitting.SplitLease,
        stand: lease_watch.Standing,
    ) -> None:
        name, first_row, rows = sent
        payload = await asyncio.to_thread(folder.get, self._objects, name)
        header = entry.Header(
            task_id=record.task_id,
            chunk=number,
            first_row=first_row,
            rows=rows,
            fence=stand.fence,
            priority=keys.Lane(record.request.priority),
            client=record.client if record.metered else "",
        )
        outcome = await stand.during(self._publisher.publish_waiting(header, payload, lease.token))
        if outcome is store.Outcome.LEASE_LOST:
            raise lease_watch.Stopped("another splitter has the task")

    async def differing(self, record: ledger_client.Record, chunks: Sequence[Sent]) -> AsyncIterator[findings.Finding]:
        """The rows that do not agree with the index, or whose text could not be bought, by their ids."""
        async with contextlib.aclosing(self._ledger.rejects_of(record.task_id)) as parts:  # type: ignore[type-var]
            async for part in parts:
                name, first_row, _ = chunks[part.chunk]
                content = chunk_pb2.ChunkRows.FromString(await asyncio.to_thread(folder.get, self._objects, name))
                ids = [row.vector_id for row in content.rows]
                if part.reason:
                    for vector_id in ids:
                        yield findings.Finding(vector_id, part.reason, _POISON)
                for reject in part.rejects:
                    yield findings.Finding(ids[reject.row_number - first_row], reject.reason, reject.message)
