"""What of a task is in the queue. Read it *before* the ledger: a chunk that settles in between is then seen settled."""

import structlog

from services.chunks import entry, metrics, store

_log = structlog.get_logger(__name__)


class InFlight:
    """Chunks that were published and not yet acked, task by task. Every method may raise errors.QueueUnavailable."""

    def __init__(self, queue: store.Store) -> None:
        self._store = queue

    async def read(self, task_id: str) -> dict[int, entry.Ref]:
        """Chunk → entry as recorded; an entry may be gone."""
        return await self._store.in_flight(task_id)

    async def alive(self, task_id: str) -> dict[int, entry.Ref]:
        """Chunk → entry that an embedder has or will get; drops the others, which are thereby missing.

        Dropped are entries that left the stream and entries that were delivered and then fell out of the pending list.
        """
        pruned = await self._store.prune(task_id)
        if pruned.dropped:
            metrics.PRUNED.inc(len(pruned.dropped))
            _log.warning(
                "Chunks in flight had lost their entries; they will be published again.",
                action="inflight_pruned",
                task_id=task_id,
                chunks=sorted(pruned.dropped),
            )
        return pruned.kept

    async def count(self, task_id: str) -> int:
        """How many are recorded."""
        return len(await self._store.in_flight(task_id))

    async def clear(self, task_id: str) -> int:
        """Take what a terminal task left off the queue, strikes and defects too; returns how many chunks.

        Chunks that an embedder works on stay until its ack (a cancelled task's counts still take them in), or until
        the next call.
        """
        return await self._store.clear(task_id)

    async def tasks(self) -> set[str]:
        """Tasks of which anything is left in the queue; walks the key space, so once a round at most."""
        return await self._store.tasks()
