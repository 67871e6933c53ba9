"""From the last settled chunk to the terminal status.

Closing is a predicate on what is stored, not an event: every step may be repeated by anyone at any time, exactly one
caller wins each, and a crash between two of them is healed by the next call.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import prometheus_client
import structlog

from services.billing import spend
from services.indexer.ledger import items, lifecycle, shards
from services.indexer.ledger.items import Status
from services.indexer.storage import clock, table
from services.runtime import errors, failpoints, metrics

log = structlog.get_logger()

ROWS = prometheus_client.Counter("vectorline_rows", "Rows settled, by what became of them.", ["outcome"])
REJECTED = prometheus_client.Counter("vectorline_rows_rejected", "Rows settled as failed, by reason.", ["reason"])
SETTLED = prometheus_client.Counter("vectorline_chunks_settled", "Chunks settled, each once in its life.")
DEAD = prometheus_client.Counter(
    "vectorline_dead_letters", "Chunks that failed by their header alone, by reason.", ["reason"]
)
for _outcome in ("indexed", "skipped", "failed"):
    ROWS.labels(_outcome)
DEAD.labels("poison")  # shown from 0 on: what is first seen at 1 has not grown, for an alarm


class Closing:
    """Settles, rolls up, seals and closes."""

    def __init__(
        self, storage: table.Table, watch: clock.Clock, tasks: lifecycle.Lifecycle, books: shards.Shards
    ) -> None:
        self._table = storage
        self._clock = watch
        self._tasks = tasks
        self._shards = books

    async def settle(self, task_id: str, chunk: int, outcome: shards.Outcome) -> shards.Settled:
        """Settle a chunk, also of a cancelled task; then roll up and close what can be.

        Raises:
            errors.Conflict: The shard was never opened.
        """
        settled = await self._shards.settle(task_id, chunk, outcome)
        failpoints.hit("indexer.after_settle")
        if not settled.already:
            _count(outcome)
        if settled.full:  # also when settled before: whoever did it may have died here
            number = items.shard_of(chunk)
            await self._roll_up(task_id, (await self._shards.without_outcomes(task_id, [number]))[number])
        return settled

    async def settle_quiet(
        self, task_id: str, shard: int, fence: int, comparison: str, outcomes: Mapping[int, shards.Outcome]
    ) -> None:
        """Settle chunks of which nothing travels; see `Shards.settle_quiet`. Then roll up and close what can be."""
        settled = await self._shards.settle_quiet(task_id, shard, fence, comparison, outcomes)
        failpoints.hit("indexer.after_settle")
        if shards.full(settled):
            await self._roll_up(task_id, settled)

    async def seal(
        self,
        task_id: str,
        chunks_total: int,
        rows_total: int,
        result: bytes = b"",
        warnings: Sequence[bytes] = (),
    ) -> table.Item:
        """Store how many chunks there are, once, and what was found out since the scan; then roll up and close.

        Args:
            task_id: The task.
            chunks_total: Its chunks.
            rows_total: Its rows.
            result: Of one that is no load, the serialised TaskResult that is shown with its counts.
            warnings: Serialised Warnings: what was found out since its scan.

        Raises:
            errors.NotFound: No such task.
            errors.Conflict: It was not scanned (WRONG_STATUS) or sealed with another number (SEALED_OTHERWISE).
        """
        shards_total = -(-chunks_total // items.CHUNKS_PER_SHARD)
        task = await self._tasks.get(task_id)
        if "scanned_at" not in task:
            raise lifecycle.wrong_status(task, "A task is sealed after its scan")
        if not task["sealed"]:
            told: dict[table.Path, Any] = {"result": result} if result else {}
            if warnings:
                every = (*task.get("warnings", ()), *warnings)
                told["warnings"] = items.fitting(every, lifecycle.WARNINGS_BYTES)
            task = await self._store_seal(task_id, chunks_total, shards_total, rows_total, told)
        if task["chunks_total"] != chunks_total:
            raise errors.Conflict(
                f"The task was sealed with {task['chunks_total']} chunks, not {chunks_total}: two splits differ.",
                reason="SEALED_OTHERWISE",
            )
        return await self._heal(task)

    async def heal(self, task_id: str) -> table.Item:
        """Do whatever a crash left undone: roll up full shards, close a finished task. Returns the task as it is."""
        return await self._heal(await self._tasks.get(task_id))

    async def _store_seal(
        self,
        task_id: str,
        chunks_total: int,
        shards_total: int,
        rows_total: int,
        told: Mapping[table.Path, Any] | None = None,
    ) -> table.Item:
        try:
            return await self._table.update(
                table.Update(
                    items.task_key(task_id),
                    set={
                        "sealed": True,
                        "chunks_total": chunks_total,
                        "shards_total": shards_total,
                        "rows_total": rows_total,
                        **(told or {}),
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
        found = await self._shards.without_outcomes(task_id, missing)
        last = task["shards_total"] - 1 if task["sealed"] else -1
        if (
            last in missing
        ):  # how many chunks it has is known from the seal on, and only then: it is the first that counts
            left = task["chunks_total"] - last * items.CHUNKS_PER_SHARD
            if last not in found or found[last]["exp"] != left:
                found[last] = await self._shards.expect(task_id, last, left)
        for number in missing:
            if number in found and shards.full(found[number]):
                task = await self._roll_up(task_id, found[number])
        return await self.close(task)

    async def _roll_up(self, task_id: str, shard: table.Item) -> table.Item:
        """Add a full shard's sums to the task, once, and close the task if that was the last."""
        failpoints.hit("indexer.before_roll_up")
        number = str(shard["shard"])
        try:
            task = await self._table.update(
                table.Update(
                    items.task_key(task_id),
                    # Of a shard the task keeps one number: its item has room for those of millions of chunks.
                    set={("s", number): shard["settled"], "settled_at": clock.text(self._clock.now())},
                    add={
                        "shards_settled": 1,
                        **{name: shard[name] for name in ("indexed", "skipped", "failed", "chunks_failed")},
                        **{name: shard.get(name, 0) for name in ("unchanged", "removed")},
                        **{f"{items.REASON}{reason}": rows for reason, rows in shard["reasons"].items()},
                        **spend.of_stored(shard).stored(),
                    },
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
        counted = task["indexed"] + task["skipped"] + task["failed"]
        if counted != task["rows_total"]:
            return await self._block_miscounted(task, counted)
        # What is no load has done what was asked, whatever it found.
        status = (
            Status.COMPLETED if "job" in task else verdict(task["indexed"] + task.get("unchanged", 0), task["failed"])
        )
        reasons: dict[table.Path, str] = {}
        if status == Status.FAILED:
            reasons = {
                "error_reason": "NO_ROW_INDEXED",
                "error": f"None of the rows could be indexed; {task['failed']} failed. The rejects name each and why.",
            }
        closed, _ = await self._tasks.move(
            str(task[table.KEY]),
            status,
            since=items.OPEN,
            set=reasons,
            when=(table.Equals("sealed", True), table.Same("shards_settled", "shards_total")),
        )
        return closed

    async def _block_miscounted(self, task: table.Item, counted: int) -> table.Item:
        """It adds up, or it is never completed: what is terminal could not be put right any more."""
        task_id, total = str(task[table.KEY]), task["rows_total"]
        log.error(
            "A task's rows do not add up.",
            action="task_miscounted",
            task_id=task_id,
            rows_total=total,
            counted=counted,
        )
        return await self._tasks.block(
            task_id,
            "ROWS_UNACCOUNTED",
            f"All its chunks are settled and account for {counted} rows, but its source has {total}. That is a defect "
            f"of ours: report it with this task's id. Cancel the task and submit its source again.",
        )


def _count(outcome: shards.Outcome) -> None:
    SETTLED.inc()
    for name in ("indexed", "skipped", "failed"):
        metrics.child(ROWS, name).inc(getattr(outcome, name))
    for reason, rows in outcome.reasons.items():
        REJECTED.labels(reason).inc(rows)
    if outcome.reason:
        DEAD.labels(outcome.reason).inc()


def closable(task: table.Item) -> bool:
    """Whether a task can be given its terminal status."""
    return bool(task["sealed"] and task["shards_settled"] == task["shards_total"] and task["status"] in items.OPEN)


def verdict(indexed: int, failed: int) -> Status:
    """The terminal status that follows from the counts; rows that were in the index just so count as indexed."""
    if failed == 0:
        return Status.COMPLETED
    return Status.PARTIALLY_COMPLETED if indexed else Status.FAILED
