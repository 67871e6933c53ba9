"""What a task removes from the index: begun once, held until a person confirms, and never in another's turn.

Rows are settled first; deletes are chunks behind theirs, settled alike, with `removed` in place of rows.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

import structlog

from services.indexer.ledger import items, lifecycle, manifests
from services.indexer.ledger.items import Status
from services.indexer.storage import table
from services.runtime import errors

log = structlog.get_logger()

HELD: Final = "MIRROR_HELD"
REFUSED: Final = "REMOVAL_REFUSED"


@dataclasses.dataclass(frozen=True)
class Removal:
    """Deletes that have begun.

    Args:
        comparison: That says which ids.
        first: The first chunk that deletes.
        chunks: How many.
        drop: It is one, which drops the namespace whole.
        why_by_ids: Why it deletes by ids what might have been dropped.
    """

    comparison: str
    first: int
    chunks: int
    drop: bool = False
    why_by_ids: str = ""

    def __contains__(self, chunk: int) -> bool:
        return self.first <= chunk < self.first + self.chunks


@dataclasses.dataclass(frozen=True)
class Held:
    """What a mirror would remove: ids, of how many that are there, the checksum of their list, and why it is held."""

    gone: int
    entries: int
    checksum: str
    why: str


class Removals:
    """Begins removals and lets held ones go on.

    Args:
        storage: The table.
        tasks: Moves statuses.
        known: What is known to be in the index.
        index: The Pinecone index.
    """

    def __init__(
        self, storage: table.Table, tasks: lifecycle.Lifecycle, known: manifests.Manifests, *, index: str
    ) -> None:
        self._table = storage
        self._tasks = tasks
        self._manifests = known
        self._index = index

    async def begin(self, task_id: str, fence: int, removal: Removal) -> None:
        """Say that deletes begin: only in the turn that goes on since the comparison, and of a run that is marked.

        Raises:
            errors.Conflict: The turn is another's, or was meanwhile, or nothing is marked (REMOVAL_REFUSED).
        """
        task = await self._tasks.get(task_id)
        if of(task) == removal:
            return
        mine = table.Update(
            task_id,
            set={"removal": dataclasses.asdict(removal), "chunks_planned": removal.first + removal.chunks},
            when=(
                table.OneOf("status", items.OPEN),
                table.Equals("fence", fence),
                table.Equals(("comparison", "uri"), removal.comparison),
                table.Missing("overtaken"),
            ),
        )
        marked = table.Check(
            self._manifests.key(task),
            when=(
                table.Equals("opened_task", task_id),
                table.Equals("opened_fence", fence),
                table.Equals("pending_uri", removal.comparison),
            ),
        )
        try:
            await self._table.transact((mine, marked, *self._held(task, fence, removal)))
        except table.Cancelled:
            if of(await self._tasks.get(task_id)) != removal:  # or the answer of a call before was lost
                raise errors.Conflict("The task may not remove anything now.", reason=REFUSED) from None
        log.info("Removing begins.", action="removal_begun", task_id=task_id, chunks=removal.chunks)

    def _held(self, task: table.Item, fence: int, removal: Removal) -> Sequence[table.Check]:
        """That the namespace is still held for a drop."""
        if not removal.drop:
            return ()
        held = (("dropping", "task"), task[table.KEY]), (("dropping", "fence"), fence)
        key = items.namespace_key(self._index, task["namespace"])
        return (table.Check(key, when=tuple(table.Equals(path, value) for path, value in held)),)

    async def hold(self, task_id: str, message: str, held: Held) -> table.Item:
        """A mirror waits for a person: it is blocked. No effect on a task that is terminal or blocked."""
        task, _ = await self._tasks.move(
            task_id,
            Status.BLOCKED,
            since=items.OPEN,
            set={
                "error_reason": HELD,
                "error": message[: lifecycle.ERROR_CHARACTERS],
                "held": dataclasses.asdict(held),
            },
        )
        return task

    async def confirm(self, task_id: str, checksum: str) -> table.Item:
        """A held mirror goes on by the list of ids of this checksum. Again: no effect.

        Raises:
            errors.NotFound: No such task.
            errors.Conflict: It is not held (MIRROR_NOT_HELD), or for another list (MIRROR_CHANGED).
        """
        task = await self._tasks.get(task_id)
        held = task["status"] == Status.BLOCKED and task.get("error_reason") == HELD
        if not held and task.get("confirmed") == checksum:
            return task
        if not held:
            raise errors.Conflict(
                f"The task is {task['status']}, and no held mirror: there is nothing to confirm.",
                reason="MIRROR_NOT_HELD",
                metadata={"task_id": task_id, "status": str(task["status"])},
            )
        if task["held"]["checksum"] != checksum:
            raise errors.Conflict(
                f"The list of ids to be removed is another one now: {task['held']['gone']} ids, checksum "
                f"{task['held']['checksum']}. Look at it again, and confirm that.",
                reason="MIRROR_CHANGED",
                metadata={"task_id": task_id, "checksum": str(task["held"]["checksum"])},
            )
        confirmed = table.Update(
            items.task_key(task_id),
            set={"confirmed": checksum},
            when=(table.Equals(("held", "checksum"), checksum), table.Equals("error_reason", HELD)),
        )
        try:
            await self._table.update(confirmed)
        except table.ConditionFailed:
            return await self.confirm(task_id, checksum)  # it changed since it was read; the answer says how
        return await self._tasks.resume(task_id)

    async def overtaken(self, task_ids: list[str]) -> list[str]:
        """Of held mirrors those whose turn another task has taken: they remove nothing any more, and can end."""
        found = []
        for task in await self._tasks.get_many(task_ids):
            if task["status"] != Status.BLOCKED or task.get("error_reason") != HELD:
                continue
            turn = await self._table.get(items.turn_key(self._index, task["namespace"], task.get("question_id")))
            if turn is not None and turn["holder"] != task[table.KEY]:
                found.append(str(task[table.KEY]))
        return found


def of(task: table.Item) -> Removal | None:
    """What a task began to remove; None: nothing."""
    return Removal(**task["removal"]) if "removal" in task else None


def shown(task: table.Item) -> dict[str, Any] | None:
    """What a mirror is held for; None: it is not."""
    return task.get("held") if task["status"] == Status.BLOCKED and task.get("error_reason") == HELD else None
