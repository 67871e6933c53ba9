"""Removing vectors: a chunk of ids, or a namespace, is deleted from the index, then settled once, like one of rows."""

import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn, Protocol

import structlog

from services.billing import spend, units
from services.indexer import indexing, late, ledger
from services.indexer.ledger import gate, removals, shards
from services.indexer.pinecone import batch as batches
from services.indexer.pinecone import deletes, writer
from services.indexer.storage import table
from services.runtime import errors, failpoints

log = structlog.get_logger()

# Records that are looked at before a delete, in one read unit: how large they are is what it costs.
LOOKED_AT = 10
# Of a record, at most; https://docs.pinecone.io/reference/api/database-limits.
ID_BYTES, METADATA_BYTES = 512, 40 * 1024


class Reads(Protocol):
    """What is read of the index."""

    async def fetch(self, namespace: str, ids: Sequence[str]) -> tuple[dict[str, batches.Record], spend.Spend]:
        """Records by id, and what it cost."""

    def dimension(self) -> int:
        """Values a vector."""


@dataclasses.dataclass(frozen=True)
class Chunk:
    """A chunk that deletes.

    Args:
        task_id: Whose.
        number: Of the chunk.
        fence: Of the task's turn.
        ids: To be deleted, at most 1,000; none: the chunk is settled, and what it was about stays.
        known: Of these, ids of which it is known that they are there.
    """

    task_id: str
    number: int
    fence: int
    ids: Sequence[str]
    known: int


@dataclasses.dataclass(frozen=True)
class Drop:
    """A chunk that drops its task's namespace.

    Args:
        task_id: Whose.
        number: Of the chunk.
        fence: Of the task's turn.
        removed: Ids that go by it.
    """

    task_id: str
    number: int
    fence: int
    removed: int


class Remover:
    """Deletes and settles.

    Args:
        book: The ledger.
        reads: Tells how large records are.
        way: Deletes.
        permissions: The ledger's word that tasks may write.
    """

    def __init__(
        self, book: ledger.Ledger, reads: Reads, way: deletes.Deletes, permissions: indexing.Permissions
    ) -> None:
        self._ledger = book
        self._reads = reads
        self._deletes = way
        self._permissions = permissions

    async def remove(self, chunk: Chunk) -> None:
        """Delete a chunk's ids and settle it; again: no effect.

        Raises:
            errors.InvalidArgument: Too many ids.
            errors.Conflict: The task may not write, or did not begin to remove these.
            errors.Unavailable: The index does not take it now.
        """
        if len(chunk.ids) > deletes.MOST_IDS:
            raise errors.InvalidArgument(f"At most {deletes.MOST_IDS} ids are deleted at once.")
        task = await self._admitted(chunk)
        if task is None:
            return
        begun = removals.of(task)
        if begun is None or chunk.number not in begun or (chunk.ids and ("overtaken" in task or begun.drop)):
            raise errors.Conflict("The task may not remove these now.", reason=removals.REFUSED)
        done = deletes.Deleted(spend.NOTHING)
        if chunk.ids:
            done = await self._delete(task["namespace"], chunk)
        await self._settle(chunk, len(chunk.ids), done)

    async def drop(self, drop: Drop) -> None:
        """Drop a task's namespace, which is held for it (`ledger.drops`), and settle the chunk; again: no effect.

        Raises:
            errors.Conflict: The task may not write, did not begin to drop, or does not hold the namespace any more.
            errors.Unavailable: The index does not take it now.
        """
        task = await self._admitted(drop)
        if task is None:
            return
        begun, namespace = removals.of(task), task["namespace"]
        if begun is None or not begun.drop or drop.number not in begun or "overtaken" in task:
            raise errors.Conflict("The task may not drop its namespace now.", reason=removals.REFUSED)

        async def check() -> None:
            await self._permissions.check(drop.task_id, drop.fence)
            await self._ledger.drops.check(namespace, drop.task_id, drop.fence)

        async def write(check: late.Check) -> deletes.Deleted:
            return await self._deletes.drop(namespace, check)

        done = await self._watched(drop, check, write, dropped=namespace)
        log.warning("A namespace was dropped.", action="namespace_dropped", namespace=namespace, ids=drop.removed)
        await self._settle(drop, drop.removed, done)

    async def _admitted(self, chunk: Chunk | Drop) -> table.Item | None:
        """The task of a chunk that may be worked on; None: it is settled."""
        answer = await self._ledger.gate.check_chunk(chunk.task_id, chunk.number, chunk.fence)
        if answer is gate.Answer.SETTLED:
            return None
        if answer is not gate.Answer.GO:
            raise errors.Conflict(f"The task may not write: {answer.value}.", reason=answer.name)
        return await self._ledger.tasks.get(chunk.task_id)

    async def _delete(self, namespace: str, chunk: Chunk) -> deletes.Deleted:
        async def check() -> None:
            await self._permissions.check(chunk.task_id, chunk.fence)

        async def write(check: late.Check) -> deletes.Deleted:
            return await self._deletes.delete(namespace, chunk.ids, check)

        cost = await self._cost(namespace, chunk)
        done = await self._watched(chunk, check, write)
        return done._replace(spent=cost + done.spent)

    async def _watched(
        self,
        chunk: Chunk | Drop,
        check: late.Check,
        write: Callable[[late.Check], Awaitable[deletes.Deleted]],
        dropped: str | None = None,
    ) -> deletes.Deleted:
        """What a delete cost; one that ended late is told, and one that is refused blocks the task."""
        try:
            return await late.watched(self._ledger, chunk.task_id, chunk.fence, check, write, dropped=dropped)
        except batches.IndexExhausted as error:
            await self._block(chunk, writer.quota_used(str(error)))
        except batches.IndexRefused as error:
            words = f"The index refuses to delete: {error} Put it right and retry the task: it goes on where it stands."
            await self._block(chunk, errors.Conflict(words, reason="INDEX_REFUSED"))
        except batches.IndexUnavailable as error:
            raise errors.Unavailable(f"The index does not delete now: {error}", retry_seconds=1.0) from error

    async def _block(self, chunk: Chunk | Drop, why: errors.Conflict) -> NoReturn:
        await self._ledger.tasks.block(chunk.task_id, why.reason, why.message)
        self._permissions.forget(chunk.task_id)
        raise errors.Conflict(f"The task may not write: {gate.Answer.BLOCKED.value}.", reason=gate.Answer.BLOCKED.name)

    async def _cost(self, namespace: str, chunk: Chunk) -> spend.Spend:
        """What a delete costs: of records that are known to be there at least their values, at most as the largest.

        Where those are not there any more, a delete before it did that, and died before it was settled: what that cost
        is on no bill, and how large they were nobody can look up now.
        """
        looked_at = chunk.ids[:LOOKED_AT]
        found, spent = await self._reads.fetch(namespace, looked_at)
        values = min((len(record.values) for record in found.values()), default=0)
        largest = max((record.metadata.ByteSize() + len(record.values) for record in found.values()), default=0)
        names = sorted(len(each.encode()) for each in chunk.ids)
        known = chunk.known if len(found) == len(looked_at) else 0
        least = units.of_upsert(known * values + sum(names[:known]))
        most = units.of_upsert(len(names) * largest + sum(names)) if found else least
        if chunk.known and not found:
            size = units.BYTES_A_FLOAT * self._reads.dimension() + METADATA_BYTES + ID_BYTES
            most += units.of_upsert(chunk.known * size)
        return spent + spend.Spend(write_units=least, write_units_doubtful=max(0, most - least))

    async def _settle(self, chunk: Chunk | Drop, removed: int, done: deletes.Deleted) -> None:
        spent = done.spent
        outcome = shards.Outcome(
            indexed=0,
            skipped=0,
            failed=0,
            removed=removed,
            # What was left where it is was not written under any fence.
            fence=chunk.fence if removed else 0,
            spent=spent,
            lsn=done.lsn,
        )
        failpoints.hit("indexer.before_settle")
        try:
            settled = await self._ledger.closing.settle(chunk.task_id, chunk.number, outcome)
        except BaseException:
            self._ledger.spending.add(chunk.task_id, spent.doubtful())  # it may be settled after all
            raise
        if settled.already:
            self._ledger.spending.add(chunk.task_id, spent.doubtful())
        else:
            self._ledger.spending.settled(chunk.task_id, spent)
