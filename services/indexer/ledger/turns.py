"""Whose turn it is to write one (index, namespace, question): first come, first served, one at a time.

Pinecone has no conditional upsert, so two tasks over the same vector ids must not overlap. A turn has a fence that
grows with every holder; a chunk published under an older fence is dropped at the gate.
"""

import dataclasses
import datetime

import structlog

from services.indexer.ledger import items, lifecycle
from services.indexer.ledger.items import Status
from services.indexer.storage import clock, table
from services.runtime import errors

log = structlog.get_logger()

# On top of the upsert's deadline: a status may be known for 2 s before an upsert begins, and clocks are apart.
MARGIN_SECONDS = 3.0
ATTEMPTS = 20


@dataclasses.dataclass(frozen=True)
class Turn:
    """Whether it is a task's turn. `fence` is 0 and `holder` another task when it is not; `status` is the task's."""

    held: bool
    fence: int
    holder: str
    status: str


class Turns:
    """Hands turns out.

    Args:
        storage: The table.
        watch: The ledger's clock.
        tasks: Where tasks are read.
        index: The Pinecone index.
        upsert_deadline_seconds: How long a write of a stopped holder may still be under way.
    """

    def __init__(
        self,
        storage: table.Table,
        watch: clock.Clock,
        tasks: lifecycle.Lifecycle,
        *,
        index: str,
        upsert_deadline_seconds: float,
    ) -> None:
        self._table = storage
        self._clock = watch
        self._tasks = tasks
        self._index = index
        self._grace = datetime.timedelta(seconds=upsert_deadline_seconds + MARGIN_SECONDS)

    async def acquire(self, task_id: str) -> Turn:
        """Take the turn, or join the queue for it. Asking again is harmless; a holder gets its fence again.

        Raises:
            errors.NotFound: No such task.
            errors.Unavailable: Too many ask at once.
        """
        for _ in range(ATTEMPTS):
            task = await self._tasks.get(task_id)
            key = items.turn_key(self._index, task["namespace"], task.get("question_id"))
            turn = await self._table.get(key)
            if task["status"] in items.STOPPED:
                return _refused(task, turn)
            if turn is not None and _holds(task, turn):
                return Turn(held=True, fence=turn["fence"], holder=task_id, status=task["status"])
            try:
                answer = await self._advance(key, task, turn)
            except (table.Cancelled, table.ConditionFailed):
                continue  # the task or the turn changed since it was read
            if answer is not None:
                return answer
        raise errors.Unavailable("Too many tasks ask for this turn at once; try again.", retry_seconds=1.0)

    async def check_latest(self, task_id: str) -> None:
        """Refuse when another task has had the turn since: what that wrote is newer.

        Raises:
            errors.NotFound: No such task.
            errors.Conflict: SUPERSEDED.
        """
        task = await self._tasks.get(task_id)
        turn = await self._table.get(items.turn_key(self._index, task["namespace"], task.get("question_id")))
        if turn is not None and not _holds(task, turn):
            raise errors.Conflict(
                f"Task {turn['holder']} wrote the same source later; retry that one, or submit the file anew.",
                reason="SUPERSEDED",
                metadata={"task_id": task_id, "later_task_id": str(turn["holder"])},
            )

    async def _advance(self, key: str, task: table.Item, turn: table.Item | None) -> Turn | None:
        """Take the turn or wait for it; None: read anew."""
        task_id = str(task[table.KEY])
        if turn is None:
            return await self._take(key, task, None, [])
        alive = await self._alive(turn, task_id)
        first = alive[0] if alive else task_id
        if first == task_id and await self._free(turn, task_id):
            return await self._take(key, task, turn, alive[1:])
        if task_id not in turn["waiters"]:
            await self._table.update(
                table.Update(
                    key,
                    append={"waiters": task_id},
                    # A turn that passed on meanwhile may be free for this task.
                    when=(table.Equals("fence", turn["fence"]), table.Lacks("waiters", task_id)),
                )
            )
        status = task["status"]
        if status == Status.PENDING:
            queued, moved = await self._tasks.move(task_id, Status.QUEUED, since=(Status.PENDING,))
            if not moved and queued["status"] != Status.QUEUED:
                return None
            status = queued["status"]
        return Turn(held=False, fence=0, holder=turn["holder"], status=status)

    async def _alive(self, turn: table.Item, task_id: str) -> list[str]:
        """Those that wait, in their order, without the ones that cannot go on now.

        A blocked one queues anew when it is resumed; keeping its place would hold up everybody behind it.
        """
        others = [waiter for waiter in turn["waiters"] if waiter != task_id]
        found = await self._table.get_many(others, ("status",))
        return [
            waiter
            for waiter in turn["waiters"]
            if waiter == task_id or (waiter in found and found[waiter].get("status") not in items.STOPPED)
        ]

    async def _free(self, turn: table.Item, task_id: str) -> bool:
        """Whether the holder wrote its last vector for certain."""
        if turn["holder"] == task_id:
            return True  # resumed, and nobody else wants it: what it still writes are its own values
        holder = await self._table.get(turn["holder"])
        if holder is None:
            return True
        if holder["status"] not in items.STOPPED and _holds(holder, turn):
            return False
        stopped = clock.parse(holder["stopped_at"])
        return self._clock.now() - stopped > self._grace

    async def _take(self, key: str, task: table.Item, turn: table.Item | None, waiters: list[str]) -> Turn:
        task_id = str(task[table.KEY])
        fence = 1 if turn is None else turn["fence"] + 1
        taken: table.Put | table.Update
        if turn is None:
            item = {table.KEY: key, "kind": "turn", "holder": task_id, "fence": fence, "waiters": waiters}
            taken = table.Put(item, when=(table.Missing(table.KEY),))
        else:
            taken = table.Update(
                key,
                set={"holder": task_id, "fence": fence, "waiters": waiters},
                when=(table.Equals("fence", turn["fence"]), table.Equals("waiters", turn["waiters"])),
            )
        status = Status.QUEUED if task["status"] == Status.PENDING else Status(task["status"])
        held = table.Update(
            task_id,
            set={"fence": fence, "status": status, "status_at": clock.text(self._clock.now())},
            # The very task that was read: one that was blocked or cancelled meanwhile gets no turn, and one that got
            # its turn meanwhile by another call keeps the fence of that.
            when=(
                table.Equals("status_token", task["status_token"]),
                table.Equals("status", task["status"]),
                table.Equals("fence", task["fence"]) if "fence" in task else table.Missing("fence"),
            ),
        )
        await self._table.transact((taken, held))
        log.info("A task got its turn.", action="turn_taken", task_id=task_id, fence=fence)
        return Turn(held=True, fence=fence, holder=task_id, status=status)


def _holds(task: table.Item, turn: table.Item) -> bool:
    return bool(turn["holder"] == task[table.KEY] and turn["fence"] == task.get("fence"))


def _refused(task: table.Item, turn: table.Item | None) -> Turn:
    return Turn(held=False, fence=0, holder=turn["holder"] if turn else "", status=task["status"])
