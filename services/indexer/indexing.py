"""Chunks on their way into the index: their vectors are written as they come, then each of them is settled, once.

Nothing settles on hope; see `settling`. Small chunks of a task go together: their vectors are written by the same
upserts, as if they were one chunk's, and each of them is settled and billed for itself.
"""

import asyncio
import bisect
import collections
import dataclasses
import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, NoReturn

import structlog
from vectorline.v1 import chunk_pb2, indexer_pb2

from services.billing import spend
from services.indexer import agreement, late, ledger, settling
from services.indexer.ledger import gate, namespaces, turns
from services.indexer.pinecone import batch as batches
from services.indexer.pinecone import meter, writer
from services.indexer.storage import rejects as reject_stores
from services.runtime import errors, failpoints, grouping, stages
from services.runtime.tracing import spans

log = structlog.get_logger()

INDEX = stages.Stage("index")

# The ledger's word that a task may write is asked again when it is older than this.
CHECK_SECONDS = turns.PERMITTED_SECONDS
# That many share a question; all who can have an upsert under way.
ASKED_TOGETHER = 1_000
# Upserts of one call under way at once: all of 1,000 rows of 1,536 values, so that few calls keep a slow index busy.
UPSERTS_A_CALL = 4


@dataclasses.dataclass(frozen=True)
class Part:
    """Rows that go into the index by one upsert; whose they are, their batch says."""

    batch: batches.Batch
    row_numbers: Sequence[int]


class _Writing(NamedTuple):
    """What is asked about: a task under a fence, and what it writes."""

    task_id: str
    fence: int
    wanted: namespaces.Wanted | None


class Permissions:
    """The ledger's word that tasks may write, not older than two seconds; shared by all chunks of a process."""

    def __init__(self, book: ledger.Ledger) -> None:
        self._ledger = book
        # When GO was asked for, by task, fence and what is written.
        self._gone: dict[_Writing, float] = {}
        # Those that find it old at the same moment ask once.
        self._asking: grouping.Groups[_Writing, None, bool] = grouping.Groups(self._ask, ASKED_TOGETHER)

    async def check(self, task_id: str, fence: int, wanted: namespaces.Wanted | None = None) -> None:
        """Ask if need be. With the first GO of all, the namespace is claimed for what is written (None: nothing is).

        Raises:
            errors.Conflict: The task is terminal, blocked, or has lost its turn; the reason says which.
        """
        # Again when the answer was long under way, or this process stood still: by now the turn may have passed on.
        key = _Writing(task_id, fence, wanted)
        while not self._fresh(key):
            await self._asking.call(key, None)

    async def _ask(self, key: "_Writing", callers: Sequence[None]) -> Sequence[bool]:
        if self._fresh(key):  # since the question before, which was under way when they came
            return [True] * len(callers)
        asked_at = time.monotonic()
        answer = await self._ledger.gate.check_write(key.task_id, key.fence, key.wanted)
        failpoints.hit("indexer.after_check")
        if answer is not gate.Answer.GO:
            raise errors.Conflict(f"The task may not write: {answer.value}.", reason=answer.name)
        self._gone = {key: at for key, at in self._gone.items() if asked_at - at < CHECK_SECONDS}
        self._gone[key] = asked_at
        return [True] * len(callers)

    def _fresh(self, key: "_Writing") -> bool:
        return time.monotonic() - self._gone.get(key, -math.inf) < CHECK_SECONDS

    def forget(self, task_id: str) -> None:
        """The task was blocked a moment ago: whoever writes for it asks anew."""
        self._gone = {key: at for key, at in self._gone.items() if key.task_id != task_id}


class Chunks:
    """Chunks of one task on their way into the index, often one. Closed by `settle`, or by `abandon`."""

    def __init__(
        self,
        headers: Sequence[indexer_pb2.IndexChunkHeader],
        book: ledger.Ledger,
        upserts: writer.Upserts,
        store: reject_stores.RejectStore,
        permissions: Permissions,
        *,
        compares: agreement.Agreement | None = None,
    ) -> None:
        """`headers` have all but their numbers in common: task, fence, namespace, model and dimension.

        `compares`: the chunks are not written but compared with what is there; None: they are written.
        """
        self.head = headers[0]
        self.books = [settling.Book(header, book, store) for header in headers]
        self.compared = compares is not None
        self._ledger = book
        self._upserts = upserts
        self._compares = compares
        self._permissions = permissions
        self._slots = asyncio.Semaphore(UPSERTS_A_CALL)
        kind = namespaces.Kind(self.head.model, self.head.dimension)
        self._wanted = namespaces.Wanted(self.head.namespace, kind) if compares is None else None
        self._meters = meter.Meters([each.meter for each in self.books])
        self._taken = False  # the index took a record of them
        self._writing: list[asyncio.Task[None]] = []

    async def take(
        self,
        rejects: Sequence[tuple[int, Sequence[chunk_pb2.Reject]]],
        spends: Sequence[spend.Spend],
        parts: collections.deque[Part],
    ) -> None:
        """What came for them: rejects by chunk, what was paid for each, vectors. Waits while enough is being written.

        Raises:
            errors.InvalidArgument: Not so many chunks.
            What an earlier part failed with.
        """
        if spends and len(spends) != len(self.books):
            raise errors.InvalidArgument(
                f"There are {len(self.books)} chunks, but something was paid for {len(spends)}."
            )
        for place, found in rejects:
            self.books[place].reject(found)
        for book, spent in zip(self.books, spends, strict=False):
            book.spent += spent
        while parts:  # taken out, so that what is written is not held until the next message comes
            await self.write(parts.popleft())

    async def write(self, part: Part) -> None:
        """Begin to write a part; waits while enough is under way.

        Raises:
            What an earlier part failed with.
        """
        await self._slots.acquire()
        for task in self._writing:
            if task.done():
                task.result()
        self._writing.append(asyncio.create_task(self._write(part)))

    async def _write(self, part: Part) -> None:
        try:
            if self._compares is not None:
                paying = self.books[part.batch.owners[0] if part.batch.owners else 0].meter
                differing = await INDEX.during(self._compares.write(part.batch, self._may_write, paying))
                self._count(part, differing)
                return
            refused = await INDEX.during(self._in_time(part))
            self._taken = self._taken or len(refused) < len(part.batch)
            if len(part.batch) > 1 and len(refused) == len(part.batch) and not self._taken:
                await self._doubt_index(refused)
        except batches.IndexExhausted as error:
            await self._block(writer.quota_used(str(error)))
        except batches.IndexUnconfirmed as error:
            await self._block(writer.unconfirmed(str(error)))
        finally:
            self._slots.release()
        self._count(part, refused)

    def _count(self, part: Part, refused: Mapping[int, str]) -> None:
        """Tell each chunk what became of its rows."""
        owners = part.batch.owners or [0] * len(part.batch)
        for owner, rows in collections.Counter(owners).items():
            self.books[owner].indexed(rows)
        reason = agreement.DIFFERING
        for position, words in refused.items():
            book, row = self.books[owners[position]], part.row_numbers[position]
            book.indexed(-1)
            if self.compared:
                book.reject([chunk_pb2.Reject(row_number=row, reason=reason, message=words)])
            else:
                book.refuse(row, words)

    async def _in_time(self, part: Part) -> dict[int, str]:
        """Write a part; a write that ended so late that the turn may have passed on is told to the ledger."""
        paying = self._meters if part.batch.owners else self.books[0].meter

        async def write(check: late.Check) -> dict[int, str]:
            return await self._upserts.write(part.batch, check, paying)

        return await late.watched(self._ledger, self.head.task_id, self.head.fence, self._may_write, write)

    async def _may_write(self) -> None:
        await self._permissions.check(self.head.task_id, self.head.fence, self._wanted)

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
        if await self._ledger.refuse_whole(self.head.task_id, self.head.fence, found):
            raise self._stopped()

    async def _block(self, why: errors.Conflict) -> NoReturn:
        await self._ledger.tasks.block(self.head.task_id, why.reason, why.message)
        raise self._stopped()

    def _stopped(self) -> errors.Conflict:
        self._permissions.forget(self.head.task_id)
        return errors.Conflict(f"The task may not write: {gate.Answer.BLOCKED.value}.", reason=gate.Answer.BLOCKED.name)

    async def settle(self) -> list[indexer_pb2.ChunkSettled | errors.ServiceError]:
        """All was sent: wait for the writes, then settle each chunk; what keeps one from that keeps no other.

        Raises:
            errors.Conflict: The task may not write any more.
            batches.IndexUnavailable: The index did not take everything.
        """
        await asyncio.gather(*self._writing)
        with spans.span("settle"):
            ends = await asyncio.gather(*(each.settle() for each in self.books), return_exceptions=True)
        settled: list[indexer_pb2.ChunkSettled | errors.ServiceError] = []
        for end in ends:
            if isinstance(end, BaseException) and not isinstance(end, errors.ServiceError):
                raise end
            settled.append(end)
        return settled

    async def abandon(self) -> None:
        """Stop writing; nothing more settles. What was written is billed, and once more when it is replaced."""
        for task in self._writing:
            task.cancel()
        await asyncio.gather(*self._writing, return_exceptions=True)
        for each in self.books:
            each.abandon()


class Cutting:
    """Cuts the vectors of chunks, as they come one chunk after the other, into parts of one upsert each.

    Args:
        chunks: Whose they are.
        vectors: How many come for each chunk; None: of one chunk, as many as come.
        most: Vectors of an upsert.
    """

    def __init__(self, chunks: Chunks, vectors: Sequence[int] | None, most: int) -> None:
        self._head = chunks.head
        # Those that are compared pay for themselves: no part holds two chunks' then.
        self._apart = chunks.compared
        self._ends = None if vectors is None else list(itertools.accumulate(vectors))
        self._came = 0
        self._most = most

    def parts(self, batch: indexer_pb2.VectorBatch) -> list[Part]:
        """A batch as it came, by upserts.

        Raises:
            errors.InvalidArgument: The batch's fields do not belong together, or nobody's vectors are among them.
        """
        size = self._head.dimension * batches.BYTES_A_FLOAT
        count = len(batch.ids)
        if not size or len(batch.values) != count * size or not count == len(batch.metadata) == len(batch.row_numbers):
            raise errors.InvalidArgument("The batch's ids, values, metadata and row numbers do not belong together.")
        values = memoryview(batch.values)
        vectors = [
            batches.Vector(id=vector_id, values=values[start : start + size], metadata=metadata)
            for vector_id, metadata, start in zip(batch.ids, batch.metadata, range(0, count * size, size), strict=True)
        ]
        owners = self._owners(count)
        return [
            Part(batches.Batch(vectors[run], self._head.namespace, owners[run]), batch.row_numbers[run])
            for stretch in self._stretches(owners, count)
            for run in _shifted(batches.runs(vectors[stretch], self._most), stretch.start)
        ]

    def _owners(self, count: int) -> list[int]:
        """Whose the next vectors are; empty: one chunk's."""
        if self._ends is None:
            return []
        first, self._came = self._came, self._came + count
        if self._came > (self._ends[-1] if self._ends else 0):
            raise errors.InvalidArgument("More vectors came than the heads of their chunks say.")
        return [bisect.bisect_right(self._ends, place) for place in range(first, self._came)]

    def _stretches(self, owners: Sequence[int], count: int) -> list[slice]:
        """What may go into one upsert: all, or each chunk's."""
        if not self._apart or not owners:
            return [slice(0, count)]
        borders = [place for place in range(1, count) if owners[place] != owners[place - 1]]
        return [slice(start, end) for start, end in itertools.pairwise([0, *borders, count])]


def _shifted(runs: Iterator[slice], by: int) -> Iterator[slice]:
    return (slice(run.start + by, run.stop + by) for run in runs)
