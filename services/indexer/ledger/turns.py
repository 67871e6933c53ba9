"""Whose turn it is to write one (index, namespace, question): first come, first served, one at a time.

Pinecone has no conditional upsert, so two tasks over the same vector ids must not overlap. A turn has a fence that
grows with every holder; a chunk published under an older fence is dropped at the gate.
"""

import dataclasses
import datetime
from collections.abc import Sequence

import structlog

from services.indexer.ledger import items, lifecycle, manifests
from services.indexer.ledger.items import Status
from services.indexer.storage import clock, table
from services.runtime import errors

log = structlog.get_logger()

# On top of the upsert's deadline: a status may be known for 2 s before an upsert begins, and clocks are apart.
MARGIN_SECONDS = 3.0
# So old a permission to write may be when a write begins; the ledger is asked again after that.
PERMITTED_SECONDS = 2.0
ATTEMPTS = 20
SUPERSEDED = "SUPERSEDED"
SUPERSEDED_WORDS = (
    "A later task over this question and namespace has written there since, or is about to: rows of the earlier file "
    "would replace newer ones. Retry the later task, or submit the file anew."
)
# Of those that wait, so many are looked at at once, from the head on.
STEP = 10
# A turn's item has room for twice as many. Whoever comes then waits outside: it joins when there is room.
MOST_WAITERS = 5_000


@dataclasses.dataclass(frozen=True)
class Turn:
    """Whether it is a task's turn.

    Attributes:
        held: It is.
        fence: Its fence; 0 when it is not.
        holder: Whose turn it is.
        status: The task's.
        position: Its place among those that wait; 1: it is the next. 0 when it does not wait.
        first: The task that is the next.
    """

    held: bool
    fence: int
    holder: str
    status: str
    position: int = 0
    first: str = ""


def grace(upsert_deadline_seconds: float) -> datetime.timedelta:
    """How long a write may still be under way after its task was stopped."""
    return datetime.timedelta(seconds=upsert_deadline_seconds + MARGIN_SECONDS)


class Turns:
    """Hands turns out.

    Args:
        storage: The table.
        watch: The ledger's clock.
        tasks: Where tasks are read.
        known: What is known to be in the index; opened with each turn.
        index: The Pinecone index.
        grace: So long a write of a stopped holder may still be under way, see `grace`.
    """

    def __init__(
        self,
        storage: table.Table,
        watch: clock.Clock,
        tasks: lifecycle.Lifecycle,
        known: manifests.Manifests,
        *,
        index: str,
        grace: datetime.timedelta,
    ) -> None:
        self._table = storage
        self._clock = watch
        self._tasks = tasks
        self._manifests = known
        self._index = index
        self.grace = grace

    async def acquire(self, task_id: str, *, marks: bool = True) -> Turn:
        """Take the turn, or join the queue for it. Asking again is harmless; a holder gets its fence again.

        Args:
            task_id: The task.
            marks: Whoever drives it marks what it writes (manifests); an older release does not.

        Raises:
            errors.NotFound: No such task.
            errors.Unavailable: Too many ask at once.
        """
        for _ in range(ATTEMPTS):
            task = await self._tasks.get(task_id)
            key = self._key(task)
            turn = await self._table.get(key)
            if task["status"] in items.STOPPED:
                return _refused(task, turn)
            if turn is not None and _holds(task, turn):
                if not marks:
                    await self._manifests.close_gap(task)
                return Turn(held=True, fence=turn["fence"], holder=task_id, status=task["status"])
            try:
                answer = await self._advance(key, task, turn, marks=marks)
            except (table.Cancelled, table.ConditionFailed):
                continue  # the task or the turn changed since it was read
            if answer is not None:
                return answer
        raise errors.Unavailable("Too many tasks ask for this turn at once; try again.", retry_seconds=1.0)

    async def check_latest(self, parent_task_id: str) -> int:
        """Refuse to retry a task when a later one has written the same source, or is about to: its rows are newer.

        Returns:
            How new the parent's rows are: to be kept with the retry, and compared again when it gets its turn.

        Raises:
            errors.NotFound: No such task.
            errors.Conflict: SUPERSEDED.
        """
        parent = await self._tasks.get(parent_task_id)
        turn = await self._table.get(self._key(parent))
        recency: int = parent["recency"] if "recency" in parent else parent.get("fence", 0)
        if turn is None:
            return recency
        holder = await self._table.get(turn["holder"])
        writing = (
            holder is not None
            and holder["status"] not in items.STOPPED
            and holder["task_type"] not in items.READING
            and _recency(holder, turn) > recency
        )
        if writing or _newest(turn, holder) > recency:
            # Another key's task is nobody else's business.
            own = holder is not None and holder["client"] == parent["client"] and turn["holder"] != parent_task_id
            later = {"later_task_id": str(turn["holder"])} if own else {}
            raise errors.Conflict(SUPERSEDED_WORDS, reason=SUPERSEDED, metadata={"task_id": parent_task_id, **later})
        return recency

    async def doubted(self, task_id: str, fence: int) -> tuple[str, int] | None:
        """A write under this fence ended late: the manifest, and its version, that may be wrong since; None: none is.

        The index has no conditional write, so nothing can keep such a one out; all that is left is to void what is
        known where the turn has passed on, and to buy again.
        """
        task = await self._tasks.get(task_id)
        turn = await self._table.get(self._key(task))
        if turn is None or (turn["holder"] == task_id and turn["fence"] == fence):
            return None
        found = await self._manifests.of_task(task_id)
        return (found.key, found.item["version"]) if found is not None else None

    async def ahead(self, tasks: Sequence[table.Item]) -> dict[str, str]:
        """Of tasks that wait for their turn, whom they wait for, in words; another key's task is not named."""
        keys = {str(task[table.KEY]): self._key(task) for task in tasks}
        found = await self._table.get_many(list(keys.values()), ("holder", "fence")) if keys else {}
        waiting = [task for task in tasks if (turn := found.get(keys[task[table.KEY]])) and not _holds(task, turn)]
        holders = await self._table.get_many([found[keys[task[table.KEY]]]["holder"] for task in waiting], ("client",))
        words: dict[str, str] = {}
        for task in waiting:
            holder = found[keys[task[table.KEY]]]["holder"]
            own = holders.get(holder, {}).get("client") == task["client"]
            words[str(task[table.KEY])] = f"task {holder}" if own else "a task of another key"
        return words

    def _key(self, task: table.Item) -> str:
        return items.turn_key(self._index, task["namespace"], task.get("question_id"))

    async def _advance(self, key: str, task: table.Item, turn: table.Item | None, *, marks: bool) -> Turn | None:
        """Take the turn or wait for it; None: read anew."""
        task_id = str(task[table.KEY])
        if turn is None:
            return await self._take(key, task, None, None, [], marks=marks)
        waiters: list[str] = turn["waiters"]
        ahead = await self._first(waiters, task_id)
        first = waiters[ahead] if ahead < len(waiters) else task_id
        if first == task_id:
            holder = await self._table.get(turn["holder"])
            if self._free(turn, task_id, holder):
                if "recency" in task and _newest(turn, holder) > task["recency"]:
                    failed = await self._tasks.fail(task_id, SUPERSEDED, SUPERSEDED_WORDS)
                    return _refused(failed, turn)
                return await self._take(key, task, turn, holder, waiters[ahead + 1 :], marks=marks)
        if task_id not in waiters and len(waiters) < MOST_WAITERS:
            await self._table.update(
                table.Update(
                    key,
                    append={"waiters": task_id},
                    # A turn that passed on meanwhile may be free for this task.
                    when=(table.Equals("fence", turn["fence"]), table.Lacks("waiters", task_id)),
                    answer=table.Answer.WRITTEN,
                )
            )
        status = task["status"]
        if status == Status.PENDING:
            queued, moved = await self._tasks.move(task_id, Status.QUEUED, since=(Status.PENDING,))
            if not moved and queued["status"] != Status.QUEUED:
                return None
            status = queued["status"]
        place = waiters.index(task_id) if task_id in waiters else len(waiters)
        return Turn(held=False, fence=0, holder=turn["holder"], status=status, position=place - ahead + 1, first=first)

    async def _first(self, waiters: list[str], task_id: str) -> int:
        """The place of the first that may go on now: nobody behind it need be looked at.

        A blocked one is passed over: it would hold up everybody behind it.
        """
        for start in range(0, len(waiters), STEP):
            step = waiters[start : start + STEP]
            others = step[: step.index(task_id)] if task_id in step else step
            found = await self._table.get_many(others, ("status",)) if others else {}
            for place, waiter in enumerate(step, start):
                if waiter == task_id or (waiter in found and found[waiter].get("status") not in items.STOPPED):
                    return place
        return len(waiters)

    def _free(self, turn: table.Item, task_id: str, holder: table.Item | None) -> bool:
        """Whether the holder wrote its last vector for certain."""
        if turn["holder"] == task_id:
            return True  # resumed, and nobody else wants it: what it still writes are its own values
        if holder is None:
            return True
        if holder["status"] not in items.STOPPED and _holds(holder, turn):
            return False
        stopped = clock.parse(holder["stopped_at"])
        return self._clock.now() - stopped > self.grace

    async def _take(
        self,
        key: str,
        task: table.Item,
        turn: table.Item | None,
        holder: table.Item | None,
        waiters: list[str],
        *,
        marks: bool,
    ) -> Turn:
        task_id = str(task[table.KEY])
        fence = 1 if turn is None else turn["fence"] + 1
        taken: table.Put | table.Update
        if turn is None:
            item = {table.KEY: key, "kind": "turn", "holder": task_id, "fence": fence, "waiters": waiters, "wrote": 0}
            taken = table.Put(item, when=(table.Missing(table.KEY),))
        else:
            taken = table.Update(
                key,
                set={"holder": task_id, "fence": fence, "waiters": waiters, "wrote": _newest(turn, holder)},
                when=(table.Equals("fence", turn["fence"]), table.Equals("waiters", turn["waiters"])),
            )
        status = Status.QUEUED if task["status"] == Status.PENDING else Status(task["status"])
        held = table.Update(
            task_id,
            set={
                "fence": fence,
                "status": status,
                "status_at": clock.text(self._clock.now()),
                **_after(task, holder),
                **({"overtaken": True} if _overtaken(task, turn) else {}),
            },
            # The very task that was read: one that was blocked or cancelled meanwhile gets no turn, and one that got
            # its turn meanwhile by another call keeps the fence of that.
            when=(
                table.Equals("status_token", task["status_token"]),
                table.Equals("status", task["status"]),
                table.Equals("fence", task["fence"]) if "fence" in task else table.Missing("fence"),
            ),
        )
        opened = await self._manifests.opening(task, turn, fence) if marks else ()
        await self._table.transact((taken, held, *opened))
        log.info("A task got its turn.", action="turn_taken", task_id=task_id, fence=fence)
        return Turn(held=True, fence=fence, holder=task_id, status=status)


def _holds(task: table.Item, turn: table.Item) -> bool:
    return bool(turn["holder"] == task[table.KEY] and turn["fence"] == task.get("fence"))


def _after(task: table.Item, holder: table.Item | None) -> dict[table.Path, str]:
    """The last task that may have written before this one, as far as that is known."""
    if holder is None or holder[table.KEY] == task[table.KEY]:
        return {}
    before = holder.get("after", "") if holder["task_type"] in items.READING else holder[table.KEY]
    return {"after": str(before)} if before else {}


def _overtaken(task: table.Item, turn: table.Item | None) -> bool:
    """Whether another has had the turn since a task's rows were compared: it removes nothing by that any more."""
    return "comparison" in task and (turn is None or turn["holder"] != task[table.KEY])


def _recency(holder: table.Item, turn: table.Item) -> int:
    """How new the rows of the present holder are: by its fence, but a retry's are as old as its parent's."""
    return int(holder["recency"] if "recency" in holder else turn["fence"])


def _newest(turn: table.Item, holder: table.Item | None) -> int:
    """The recency of the newest rows that may have been written so far. Who never opened a shard wrote nothing."""
    before = int(turn.get("wrote", turn["fence"] - 1))  # of an earlier version: all may have
    wrote = holder is not None and holder["shards_opened"] and holder["task_type"] not in items.READING
    return max(before, _recency(holder, turn)) if holder is not None and wrote else before


def _refused(task: table.Item, turn: table.Item | None) -> Turn:
    return Turn(held=False, fence=0, holder=turn["holder"] if turn else "", status=task["status"])
