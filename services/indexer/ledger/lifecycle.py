"""A task's status: who may change it to what. Every change is one conditional update, so exactly one caller wins."""

import asyncio
import contextlib
import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import prometheus_client
import structlog

from services.indexer.ledger import items
from services.indexer.ledger.items import Status
from services.indexer.storage import clock, table
from services.runtime import errors

log = structlog.get_logger()

SECONDS = prometheus_client.Histogram(
    "vectorline_task_seconds",
    "Seconds from storing a task to its end, waiting included, by status and rows (to_10k: 1,001 to 10,000).",
    ["status", "size"],
    buckets=(1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 14_400, 86_400),
)
# What a task is counted as, by the most rows that it may have.
SIZES = {1_000: "to_1k", 10_000: "to_10k", 100_000: "to_100k", 1_000_000: "to_1m"}

# Within the margin of `turns.MARGIN_SECONDS`.
SLOW_WRITE_SECONDS = 0.5
MOST_WARNINGS = 100  # of a task; each is a sentence
WARNINGS_BYTES = 32 << 10  # all of them
ERROR_CHARACTERS = 4_000
WAIT_CHARACTERS = 500
# Why nothing is bought is told with every question of every embedder, and kept so often.
REFUSAL_NOTED_SECONDS = 15.0
# It is no reason to keep the question waiting.
NOTE_SECONDS = 0.5
# What never changes of a task: of so many it is remembered.
CLIENTS = 10_000


@dataclasses.dataclass(frozen=True)
class Scan:
    """What a scan found. `chunks` is 0 when the scan did not count them."""

    source: bytes
    plan_uri: str
    rows: int
    encoding: str
    delimiter: str
    columns: tuple[str, ...]
    chunks: int = 0
    # Serialised vectorline.v1.Warning.
    warnings: tuple[bytes, ...] = ()
    encoding_guessed: bool = False
    quoting: str = ""
    # By column; empty where metadata have no types.
    types: Mapping[str, str] = dataclasses.field(default_factory=dict)
    # Nothing of the task's question is in the namespace.
    replaces_nothing: bool = False
    # Of a task that is no load: ids that it has looked at itself, as they should be and, by reason, not so.
    indexed: int = 0
    failed: Mapping[str, int] = dataclasses.field(default_factory=dict)


class Lifecycle:
    """Reads tasks and moves them between statuses. All methods raise errors.NotFound for an unknown task."""

    def __init__(self, storage: table.Table, watch: clock.Clock) -> None:
        self._table = storage
        self._clock = watch
        # Whose a task is, and whether it is a load.
        self._known: dict[str, tuple[str, bool]] = {}

    async def get(self, task_id: str) -> table.Item:
        """A task, read consistently."""
        item = await self._table.get(items.task_key(task_id))
        if item is None or not items.is_task(item):
            raise items.unknown(task_id)
        return item

    async def get_many(self, task_ids: Sequence[str]) -> list[table.Item]:
        """Tasks in this order, read consistently."""
        found = await self._table.get_many([items.task_key(task_id) for task_id in task_ids]) if task_ids else {}
        return [found[task_id] for task_id in task_ids if items.is_task(found.get(task_id))]

    async def begin_scan(self, task_id: str, source: bytes) -> table.Item:
        """From pending or queued to processing; a scan that died is begun again. No effect on any other task."""
        item, _ = await self.move(
            task_id,
            Status.PROCESSING,
            since=(Status.PENDING, Status.QUEUED, Status.PROCESSING),
            set={"source": source} if source else {},
            keep={"started_at": clock.text(self._clock.now())},
        )
        return item

    async def end_scan(self, task_id: str, scan: Scan) -> tuple[table.Item, bool]:
        """From processing to processing_chunks. The first scan that ends is the one that counts.

        Returns:
            The task as it is now, and whether this scan was the one.

        Raises:
            errors.Conflict: No scan was begun.
        """
        found: dict[table.Path, Any] = {
            **({"source": scan.source} if scan.source else {}),
            "plan_uri": scan.plan_uri,
            "rows_total": scan.rows,
            "encoding": scan.encoding,
            "delimiter": scan.delimiter,
            "columns": items.fitting(scan.columns),
            "warnings": items.fitting(scan.warnings[:MOST_WARNINGS], WARNINGS_BYTES),
            "encoding_guessed": scan.encoding_guessed,
            "quoting": scan.quoting,
            "chunks_planned": scan.chunks,
            "replaces_nothing": scan.replaces_nothing,
            "scanned_at": clock.text(self._clock.now()),
        }
        if scan.indexed or scan.failed:  # what chunks come to is added to it
            found |= {"indexed": scan.indexed, "failed": sum(scan.failed.values())}
            found |= {f"{items.REASON}{reason}": count for reason, count in scan.failed.items()}
        item, moved = await self.move(task_id, Status.PROCESSING_CHUNKS, since=(Status.PROCESSING,), set=found)
        if not moved and item["status"] in (Status.PENDING, Status.QUEUED):
            raise wrong_status(item, "A scan ends after it began")
        return item, moved

    async def fail(self, task_id: str, reason: str, message: str) -> table.Item:
        """An open task becomes failed. No effect on a terminal or blocked one."""
        item, _ = await self.move(
            task_id, Status.FAILED, since=items.OPEN, set={"error_reason": reason, "error": message[:ERROR_CHARACTERS]}
        )
        return item

    async def cancel(self, task_id: str) -> table.Item:
        """A task that is not finished becomes cancelled.

        Raises:
            errors.Conflict: It is finished; reason TASK_FINISHED.
        """
        item, moved = await self.move(task_id, Status.CANCELLED, since=(*items.OPEN, Status.BLOCKED))
        if not moved:
            raise errors.Conflict(
                f"The task is {item['status']} already; only an unfinished task can be cancelled.",
                reason="TASK_FINISHED",
                metadata={"task_id": task_id, "status": str(item["status"])},
            )
        return item

    async def block(self, task_id: str, reason: str, message: str) -> table.Item:
        """An open task becomes blocked. No effect on a terminal or blocked one."""
        item, _ = await self.move(
            task_id, Status.BLOCKED, since=items.OPEN, set={"error_reason": reason, "error": message[:ERROR_CHARACTERS]}
        )
        return item

    async def resume(self, task_id: str) -> table.Item:
        """From blocked to processing_chunks, or to queued if it was not scanned. No effect on any other task.

        Its fence is void: it queues for its turn again. What it replaces is not known any more: others had the turn.
        """
        item = await self.get(task_id)
        scanned = "scanned_at" in item
        resumed, _ = await self.move(
            task_id,
            Status.PROCESSING_CHUNKS if scanned else Status.QUEUED,
            since=(Status.BLOCKED,),
            remove=("fence", "error_reason", "error", "replaces_nothing"),
            # What a blocked task was scanned as never changes while it is blocked; this only makes it plain.
            when=(table.Exists("scanned_at") if scanned else table.Missing("scanned_at"),),
        )
        return resumed

    async def note_wait(self, task_id: str, why: str) -> None:
        """Keep why an open task's driver waits, and since when; empty: it does not any more."""
        now = clock.text(self._clock.now())
        changes: dict[table.Path, Any] = {"wait": why[:WAIT_CHARACTERS], "wait_at": now} if why else {"scan_at": now}
        noting = table.Update(
            items.task_key(task_id),
            set=changes,
            remove=() if why else ("wait", "wait_at"),
            when=(table.Equals("kind", "task"), table.OneOf("status", items.OPEN)),
            answer=table.Answer.WRITTEN,
        )
        with contextlib.suppress(table.ConditionFailed):
            await self._table.update(noting)

    async def note_refusal(self, task_id: str, why: str, task: table.Item) -> None:
        """Keep why nothing is bought for an open task now, if that is easily done.

        Args:
            task_id: The task.
            why: In a sentence.
            task: As it was just read.
        """
        now = self._clock.now()
        noted = task.get("refusal_at")
        if noted is not None and (now - clock.parse(str(noted))).total_seconds() < REFUSAL_NOTED_SECONDS:
            return
        noting = table.Update(
            items.task_key(task_id),
            set={"refusal": why[:WAIT_CHARACTERS], "refusal_at": clock.text(now)},
            when=(table.Equals("kind", "task"), table.OneOf("status", items.OPEN)),
            answer=table.Answer.WRITTEN,
        )
        with contextlib.suppress(table.ConditionFailed, table.Invalid, errors.Unavailable, TimeoutError):
            async with asyncio.timeout(NOTE_SECONDS):
                await self._table.update(noting)

    async def note_scan(self, task_id: str, done: int = 0, total: int = 0) -> None:
        """Keep that the scan of a task moves now; of one that is no load also how far, which never falls."""
        changes: dict[table.Path, Any] = {"scan_at": clock.text(self._clock.now())}
        scanning = (table.Equals("kind", "task"), table.Equals("status", Status.PROCESSING))
        further: Sequence[table.Condition] = ()
        if total:
            changes |= {"scan_done": done, "scan_total": total}
            item = await self.get(task_id)
            further = (table.Below("scan_done", done),) if "scan_done" in item else (table.Missing("scan_done"),)
        noting = table.Update(
            items.task_key(task_id), set=changes, when=(*scanning, *further), answer=table.Answer.WRITTEN
        )
        with contextlib.suppress(table.ConditionFailed):
            await self._table.update(noting)

    async def move(
        self,
        task_id: str,
        status: Status,
        *,
        since: Sequence[Status],
        set: Mapping[table.Path, Any] | None = None,  # noqa: A002 (the word of the update)
        keep: Mapping[table.Path, Any] | None = None,
        remove: Sequence[table.Path] = (),
        when: Sequence[table.Condition] = (),
    ) -> tuple[table.Item, bool]:
        """Change the status if it is one of `since`.

        Returns:
            The task as it is now, and whether this call changed it: also when its answer was lost and it was repeated.
        """
        token = uuid.uuid4().hex
        now = clock.text(self._clock.now())
        changes: dict[table.Path, Any] = {
            "status": status,
            "status_at": now,
            "status_token": token,
        }
        if status not in items.OPEN or not frozenset(since) <= frozenset(items.OPEN):
            changes.update(items.listed((await self._never_changing(task_id))[0], status))
        if status in items.STOPPED:
            changes["stopped_at"] = now  # its turn passes on some time after this
        if status in items.TERMINAL:
            changes["completed_at"] = now
        try:
            item = await self._table.update(
                table.Update(
                    items.task_key(task_id),
                    set={**changes, **(set or {})},
                    keep=keep or {},
                    remove=remove,
                    when=(table.Equals("kind", "task"), table.OneOf("status", since), *when),
                )
            )
        except table.ConditionFailed as failed:
            if failed.item is None or not items.is_task(failed.item):
                raise items.unknown(task_id) from failed
            own = bool(failed.item["status_token"] == token)  # made again, since the answer was lost
            if own:
                await self._stamp_anew(task_id, token, changes)
            return failed.item, own
        except errors.Unavailable:
            with contextlib.suppress(errors.Unavailable):  # it may have been written all the same, and late
                await self._stamp_anew(task_id, token, changes)
            raise
        if status in items.TERMINAL:
            lasted = clock.parse(now) - clock.parse(item["created_at"])
            SECONDS.labels(str(status), size_class(item.get("rows_total", 0))).observe(max(0.0, lasted.total_seconds()))
        log.info("A task changed its status.", action="task_status", task_id=task_id, status=str(status))
        await self._stamp_anew(task_id, token, changes)
        return item, True

    async def is_load(self, task_id: str) -> bool:
        """Whether a task writes rows of a source; of any other, chunks are compared with the index."""
        return (await self._never_changing(task_id))[1]

    async def _never_changing(self, task_id: str) -> tuple[str, bool]:
        if task_id not in self._known:
            if len(self._known) >= CLIENTS:
                self._known.clear()
            names = ("kind", "client", "job")
            found = (await self._table.get_many([items.task_key(task_id)], names)).get(task_id)
            if found is None or not items.is_task(found):
                raise items.unknown(task_id)
            self._known[task_id] = found["client"], "job" not in found
        return self._known[task_id]

    async def _stamp_anew(self, task_id: str, token: str, written: Mapping[table.Path, Any]) -> None:
        """Correct the time of a stop whose write was slow: until then the task could still begin an upsert."""
        now = self._clock.now()
        if (
            "stopped_at" not in written
            or (now - clock.parse(written["stopped_at"])).total_seconds() <= SLOW_WRITE_SECONDS
        ):
            return
        later = table.Update(task_id, set={"stopped_at": clock.text(now)}, when=(table.Equals("status_token", token),))
        with contextlib.suppress(table.ConditionFailed):  # it goes on already
            await self._table.update(later)


def size_class(rows: int) -> str:
    """What a task of so many rows is counted as: sizes are few, so that each is a series."""
    return next((name for most, name in SIZES.items() if rows <= most), "over_1m")


def wrong_status(item: table.Item, rule: str) -> errors.Conflict:
    """The error for a step that the task's status does not allow."""
    return errors.Conflict(
        f"{rule}; the task is {item['status']}.",
        reason="WRONG_STATUS",
        metadata={"task_id": str(item[table.KEY]), "status": str(item["status"])},
    )
