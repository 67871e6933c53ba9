"""From the last settled chunk to the terminal status.

Closing is a predicate on what is stored, not an event: every step may be repeated by anyone at any time, exactly one
caller wins each, and a crash between two of them is healed by the next call.
"""

import structlog

from services.indexer.ledger import items, lifecycle, shards
from services.indexer.ledger.items import Status
from services.indexer.storage import table
from services.runtime import errors, failpoints

log = structlog.get_logger()


class Closing:
    """Settles, rolls up, seals and closes."""

    def __init__(self, storage: table.Table, tasks: lifecycle.Lifecycle, books: shards.Shards) -> None:
        self._table = storage
        self._tasks = tasks
        self._shards = books

    async def settle(self, task_id: str, chunk: int, outcome: shards.Outcome) -> shards.Settled:
        """Settle a chunk, also of a cancelled task; then roll up and close what can be.

        Raises:
            errors.Conflict: The shard was never opened.
        """
        settled = await self._shards.settle(task_id, chunk, outcome)
        failpoints.hit("indexer.after_settle")
        if shards.full(settled.shard):  # also when settled before: whoever did it may have died here
            await self._roll_up(task_id, settled.shard)
        return settled

    async def seal(self, task_id: str, chunks_total: int, rows_total: int) -> table.Item:
        """Store how many chunks there are, once; then roll up and close what can be.

        Raises:
            errors.NotFound: No such task.
            errors.Conflict: It was not scanned (WRONG_STATUS) or sealed with another number (SEALED_OTHERWISE).
        """
        shards_total = -(-chunks_total // items.CHUNKS_PER_SHARD)
        task = await self._tasks.get(task_id)
        if "scanned_at" not in task:
            raise lifecycle.wrong_status(task, "A task is sealed after its scan")
        if not task["sealed"]:
            if shards_total:
                last = chunks_total - (shards_total - 1) * items.CHUNKS_PER_SHARD
                await self._shards.expect(task_id, shards_total - 1, last)
            task = await self._store_seal(task_id, chunks_total, shards_total, rows_total)
        if task["chunks_total"] != chunks_total:
            raise errors.Conflict(
                f"The task was sealed with {task['chunks_total']} chunks, not {chunks_total}: two splits differ.",
                reason="SEALED_OTHERWISE",
            )
        return await self._heal(task)

    async def heal(self, task_id: str) -> table.Item:
        """Do whatever a crash left undone: roll up full shards, close a finished task. Returns the task as it is."""
        return await self._heal(await self._tasks.get(task_id))

    async def _store_seal(self, task_id: str, chunks_total: int, shards_total: int, rows_total: int) -> table.Item:
        try:
            return await self._table.update(
                table.Update(
                    items.task_key(task_id),
                    set={
                        "sealed": True,
                        "chunks_total": chunks_total,
                        "shards_total": shards_total,
                        "rows_total": rows_total,
                    },
                    when=(table.Equals("sealed", False),),
                )
            )
        except table.ConditionFailed:
            return await self._tasks.get(task_id)

    async def _heal(self, task: table.Item) -> table.Item:
        task_id = str(task[table.KEY])
        opened = max(task["shards_opened"], task.get("shards_total", 0))
        missing = [number for number in range(opened) if str(number) not in task["s"]]
        keys = [items.shard_key(task_id, number) for number in missing]
        found = await self._table.get_many(keys, shards.WITHOUT_OUTCOMES)
        for number in missing:
            shard = found.get(items.shard_key(task_id, number))
            if shard is not None and shards.full(shard):
                task = await self._roll_up(task_id, shard)
        return await self.close(task)

    async def _roll_up(self, task_id: str, shard: table.Item) -> table.Item:
        """Add a full shard's sums to the task, once, and close the task if that was the last."""
        failpoints.hit("indexer.before_roll_up")
        sums = shards.sums(shard)
        number = str(shard["shard"])
        try:
            task = await self._table.update(
                table.Update(
                    items.task_key(task_id),
                    set={("s", number): sums},
                    add={"shards_settled": 1, **{name: sums[name] for name in ("indexed", "skipped", "failed")}},
                    when=(table.Equals("kind", "task"), table.Missing(("s", number))),
                )
            )
        except table.ConditionFailed as failed:
            if failed.item is None or not items.is_task(failed.item):
                raise items.unknown(task_id) from failed
            task = failed.item
        return await self.close(task)

    async def close(self, task: table.Item) -> table.Item:
        """Give a task its terminal status if it is open, sealed and all its shards are rolled up."""
        if not closable(task):
            return task
        failpoints.hit("indexer.before_close")
        # The sums are final now: every shard is in them, and none is added twice.
        status = verdict(task["indexed"], task["failed"])
        reasons: dict[table.Path, str] = {}
        if status == Status.FAILED:
            reasons = {
                "error_reason": "NO_ROW_INDEXED",
                "error": f"None of the rows could be indexed; {task['failed']} failed. The rejects name each and why.",
            }
        closed, won = await self._tasks.move(
            str(task[table.KEY]),
            status,
            since=items.OPEN,
            set=reasons,
            when=(table.Equals("sealed", True), table.Same("shards_settled", "shards_total")),
        )
        if won and closed["rows_total"] != closed["indexed"] + closed["skipped"] + closed["failed"]:
            log.error(
                "A closed task's rows do not add up.",
                action="task_miscounted",
                task_id=closed[table.KEY],
                rows_total=closed["rows_total"],
                counted=closed["indexed"] + closed["skipped"] + closed["failed"],
            )
        return closed


def closable(task: table.Item) -> bool:
    """Whether a task can be given its terminal status."""
    return bool(task["sealed"] and task["shards_settled"] == task["shards_total"] and task["status"] in items.OPEN)


def verdict(indexed: int, failed: int) -> Status:
    """The terminal status that follows from the counts."""
    if failed == 0:
        return Status.COMPLETED
    return Status.PARTIALLY_COMPLETED if indexed else Status.FAILED
