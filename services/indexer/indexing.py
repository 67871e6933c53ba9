"""Indexing one chunk: write its vectors as they come, then settle it once, with exact counts.

Nothing settles on hope: indexed rows are those that Pinecone confirmed, and indexed + skipped + failed must be the
chunk's rows, or the chunk stays unsettled and is sent again.
"""

import asyncio
import collections
import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from typing import NoReturn

import structlog
from vectorline.v1 import chunk_pb2, indexer_pb2

from services.billing import spend, units
from services.indexer import agreement, late, ledger
from services.indexer.ledger import gate, items, namespaces, shards, turns
from services.indexer.pinecone import batch as batches
from services.indexer.pinecone import meter, writer
from services.indexer.storage import rejects
from services.runtime import errors, failpoints, stages
from services.runtime.tracing import spans

log = structlog.get_logger()

INDEX, SETTLE = stages.Stage("index"), stages.Stage("settle")

# The ledger's word that a task may write is asked again when it is older than this.
CHECK_SECONDS = turns.PERMITTED_SECONDS
# Upserts of one chunk under way at once: all of 1,000 rows of 1,536 values, so that few chunks keep a slow index busy.
UPSERTS_A_CHUNK = 4
REFUSED = "index_refused"
# Of each reason that a record is rejected for here, what precedes the words about it.
WORDS = {REFUSED: "The index refuses this row: ", agreement.DIFFERING: ""}
# Reasons of rows that were usable when their chunk was made.
LATE = frozenset({REFUSED, "embedding_refused", "embedding_unusable"})


@dataclasses.dataclass(frozen=True)
class Part:
    """Rows of a chunk that go into the index by one upsert."""

    batch: batches.Batch
    row_numbers: Sequence[int]


@dataclasses.dataclass(frozen=True)
class Written:
    """What became of one upsert's rows."""

    indexed: int
    rejects: list[chunk_pb2.Reject]


class Permissions:
    """The ledger's word that tasks may write, not older than two seconds; shared by all chunks of a process."""

    def __init__(self, book: ledger.Ledger) -> None:
        self._ledger = book
        # When GO was asked for, by task, fence and what is written.
        self._gone: dict[tuple[str, int, namespaces.Wanted | None], float] = {}

    async def check(self, task_id: str, fence: int, wanted: namespaces.Wanted | None = None) -> None:
        """Ask if need be. With the first GO of all, the namespace is claimed for what is written (None: nothing is).

        Raises:
            errors.Conflict: The task is terminal, blocked, or has lost its turn; the reason says which.
        """
        # Again when the answer was long under way, or this process stood still: by now the turn may have passed on.
        key = (task_id, fence, wanted)
        while time.monotonic() - self._gone.get(key, -math.inf) >= CHECK_SECONDS:
            asked_at = time.monotonic()
            answer = await self._ledger.gate.check_write(task_id, fence, wanted)
            failpoints.hit("indexer.after_check")
            if answer is not gate.Answer.GO:
                raise errors.Conflict(f"The task may not write: {answer.value}.", reason=answer.name)
            self._gone = {key: at for key, at in self._gone.items() if asked_at - at < CHECK_SECONDS}
            self._gone[key] = asked_at

    def forget(self, task_id: str) -> None:
        """The task was blocked a moment ago: whoever writes for it asks anew."""
        self._gone = {key: at for key, at in self._gone.items() if key[0] != task_id}


class Chunk:
    """One chunk on its way into the index. Closed by `settle`, or by `abandon`."""

    def __init__(
        self,
        header: indexer_pb2.IndexChunkHeader,
        book: ledger.Ledger,
        upserts: writer.Upserts,
        store: rejects.RejectStore,
        permissions: Permissions,
        *,
        compares: agreement.Agreement | None = None,
    ) -> None:
        """`compares`: the chunk is not written but compared with what is there; None: it is written."""
        self.header = header
        self._ledger = book
        self._upserts = upserts
        self._compares = compares
        self._store = store
        self._permissions = permissions
        self._slots = asyncio.Semaphore(UPSERTS_A_CHUNK)
        kind = namespaces.Kind(header.model, header.dimension)
        self._wanted = namespaces.Wanted(header.namespace, kind) if compares is None else None
        self._taken = False  # the index took a record of it
        self._meter = meter.Meter()
        # What the embedder paid; it tells at the end.
        self.spent = spend.NOTHING
        self._settled = self._settling = False
        self._writing: list[asyncio.Task[Written]] = []
        self._rejects: list[chunk_pb2.Reject] = []

    def reject(self, found: Sequence[chunk_pb2.Reject]) -> None:
        """Rows that failed before the index."""
        self._rejects += found

    async def write(self, part: Part) -> None:
        """Begin to write a part; waits while enough of this chunk is under way.

        Raises:
            What an earlier batch of the chunk failed with.
        """
        await self._slots.acquire()
        for task in self._writing:
            if task.done():
                task.result()
        self._writing.append(asyncio.create_task(self._write(part)))

    async def _write(self, part: Part) -> Written:
        reason = REFUSED if self._compares is None else agreement.DIFFERING
        try:
            if self._compares is not None:
                refused = await INDEX.during(self._compares.write(part.batch, self._may_write, self._meter))
                return _written(part, refused, reason)
            refused = await INDEX.during(self._in_time(part))
            self._taken = self._taken or len(refused) < len(part.batch)
            if len(part.batch) > 1 and len(refused) == len(part.batch) and not self._taken:
                await self._doubt_index(refused)
        except batches.IndexExhausted as error:
            await self._block(writer.quota_used(str(error)))
        finally:
            self._slots.release()
        return _written(part, refused, reason)

    async def _in_time(self, part: Part) -> dict[int, str]:
        """Write a part; a write that ended so late that the turn may have passed on is told to the ledger."""

        async def write(check: late.Check) -> dict[int, str]:
            return await self._upserts.write(part.batch, check, self._meter)

        return await late.watched(self._ledger, self.header.task_id, self.header.fence, self._may_write, write)

    async def _may_write(self) -> None:
        await self._permissions.check(self.header.task_id, self.header.fence, self._wanted)

    async def _doubt_index(self, refused: Mapping[int, str]) -> None:
        """Every record of a batch was refused: that is the index rather than each of the rows.

        Raises:
            errors.Conflict: The task is blocked for it.
        """
        words = collections.Counter(refused.values()).most_common(1)[0][0]
        found = errors.Conflict(
            f"The index refuses every record that it was sent, {len(refused)} of {len(refused)}: {words} Nothing more "
            f"is bought. Put the index right and retry the task; if it is the rows, retry it as well: those that are "
            f"refused are then rejected one by one.",
            reason="INDEX_REFUSED",
        )
        if await self._ledger.refuse_whole(self.header.task_id, self.header.fence, found):
            raise self._stopped()

    async def _block(self, why: errors.Conflict) -> NoReturn:
        await self._ledger.tasks.block(self.header.task_id, why.reason, why.message)
        raise self._stopped()

    def _stopped(self) -> errors.Conflict:
        self._permissions.forget(self.header.task_id)
        return errors.Conflict(f"The task may not write: {gate.Answer.BLOCKED.value}.", reason=gate.Answer.BLOCKED.name)

    async def settle(self) -> indexer_pb2.ChunkSettled:
        """All was sent: wait for the writes, store the rejects, settle.

        Raises:
            errors.InvalidArgument: The rows do not add up to the header's.
            errors.Conflict: The task may not write any more.
            batches.IndexUnavailable: The index did not take everything.
        """
        written = await asyncio.gather(*self._writing)
        with spans.span("settle"):
            return await SETTLE.during(self._settle(written))

    async def _settle(self, written: Sequence[Written]) -> indexer_pb2.ChunkSettled:
        indexed = sum(each.indexed for each in written)
        found = sorted(
            [*self._rejects, *(reject for each in written for reject in each.rejects)],
            key=lambda reject: reject.row_number,
        )
        self._check_sum(indexed, len(found))
        key = await self._store.write(items.task_key(self.header.task_id), self.header.chunk, found)
        outcome = shards.Outcome(
            indexed=indexed,
            skipped=self.header.skipped,
            failed=len(found),
            reasons=collections.Counter(reject.reason for reject in found),
            rejects_key=key,
            spent=self._bill(sum(reject.reason in LATE for reject in found)),
            unchanged=self.header.unchanged,
            fence=self.header.fence,
            lsn=self._meter.lsn,
        )
        failpoints.hit("indexer.before_settle")
        self._settling = True
        settled = await self._ledger.closing.settle(self.header.task_id, self.header.chunk, outcome)
        self._settled = True
        if settled.already:  # by another delivery, or by this one, whose answer was lost
            self._ledger.spending.add(self.header.task_id, outcome.spent.doubtful())
        else:
            self._ledger.spending.settled(self.header.task_id, outcome.spent)
        return indexer_pb2.ChunkSettled(
            indexed=settled.indexed,
            skipped=settled.skipped,
            failed=settled.failed,
            already_settled=settled.already,
        )

    def _bill(self, late: int) -> spend.Spend:
        """What the chunk cost, with what its records replaced: as far as the header knows, else a range.

        Of `late` rows, which were rejected since the header was written, nobody knows whether they are among those.
        """
        replaced, records = self.header.replaced, self._meter.records
        least, most = (replaced.least, replaced.most) if self.header.HasField("replaced") else (0, records)
        spent = self.spent + self._meter.spent + self._meter.replaced(max(0, least - late), most)
        return spent + self._meter.rewritten() if self.header.again else spent

    async def abandon(self) -> None:
        """Stop writing; nothing settles. What was written is billed, and once more when it is replaced."""
        for task in self._writing:
            task.cancel()
        await asyncio.gather(*self._writing, return_exceptions=True)
        if not self._settled and self._meter.spent:
            spent = self._meter.spent.doubtful() if self._settling else self._meter.spent  # it may be settled after all
            again = spend.Spend(write_units_doubtful=units.of_replaced(self._meter.record_bytes))
            self._ledger.spending.add(self.header.task_id, spent + again)

    def _check_sum(self, indexed: int, failed: int) -> None:
        rows = indexed + self.header.skipped + failed
        if rows != self.header.rows:
            raise errors.InvalidArgument(
                f"The chunk has {self.header.rows} rows, but {rows} were accounted for; nothing is settled.",
                reason="ROWS_UNACCOUNTED",
            )


def _written(part: Part, refused: Mapping[int, str], reason: str) -> Written:
    found = [
        chunk_pb2.Reject(row_number=part.row_numbers[position], reason=reason, message=f"{WORDS[reason]}{words}")
        for position, words in refused.items()
    ]
    return Written(len(part.batch) - len(found), found)


def parts_of(batch: indexer_pb2.VectorBatch, header: indexer_pb2.IndexChunkHeader, most: int) -> list[Part]:
    """A batch as it came, by upserts of at most `most` vectors.

    Raises:
        errors.InvalidArgument: The batch's fields do not belong together.
    """
    size = header.dimension * batches.BYTES_A_FLOAT
    count = len(batch.ids)
    if not size or len(batch.values) != count * size or not count == len(batch.metadata) == len(batch.row_numbers):
        raise errors.InvalidArgument("The batch's ids, values, metadata and row numbers do not belong together.")
    values = memoryview(batch.values)
    vectors = [
        batches.Vector(id=vector_id, values=values[start : start + size], metadata=metadata)
        for vector_id, metadata, start in zip(batch.ids, batch.metadata, range(0, count * size, size), strict=True)
    ]
    return [
        Part(batches.Batch(vectors[run], header.namespace), batch.row_numbers[run])
        for run in batches.runs(vectors, most)
    ]
