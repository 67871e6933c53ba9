"""A namespace is dropped whole, where nothing else is in it: while that is found out and done, nobody else writes.

`dropping` in the namespace's item names the task and the fence of its turn. It is set while no other run is pending;
under it no mark is made and no upsert of another task permitted. It stays after the drop, for a request that was given
up may still arrive, and is cleared by whoever finds its task over for as long as that can take.
"""

import contextlib
import dataclasses
import datetime
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from services.indexer.ledger import items, lifecycle
from services.indexer.storage import clock, table
from services.runtime import errors

log = structlog.get_logger()

ATTEMPTS: Final = 10
# Of a step of a removal that is not where its driver thought.
REFUSED: Final = "REMOVAL_REFUSED"


@dataclasses.dataclass(frozen=True)
class Answer:
    """Whether a namespace may be dropped. With neither: it may, as long as the turn lasts.

    Args:
        wait_seconds: Ask again after so long: writes may be under way that were permitted before.
        why: It may not; a sentence without its end.
    """

    wait_seconds: float = 0.0
    why: str = ""


class Drops:
    """Keeps everybody else out of a namespace that is dropped.

    Args:
        storage: The table.
        watch: The ledger's clock.
        tasks: Where tasks are read.
        index: The Pinecone index.
        grace: So long a write may still be under way after its task was stopped, or its permission taken away.
    """

    def __init__(
        self,
        storage: table.Table,
        watch: clock.Clock,
        tasks: lifecycle.Lifecycle,
        *,
        index: str,
        grace: datetime.timedelta,
    ) -> None:
        self._table = storage
        self._clock = watch
        self._tasks = tasks
        self._index = index
        self._grace = grace

    async def begin(self, task_id: str, fence: int, there: int, count: Callable[[], Awaitable[int]]) -> Answer:
        """Keep others out of a task's namespace, and say whether it may be dropped; asked again after the wait.

        Args:
            task_id: The task, whose run is marked.
            fence: Of its turn.
            there: Vectors of its question that are in the namespace for certain.
            count: Vectors in the namespace, as the index counts them.

        Raises:
            errors.Conflict: The turn is not the task's any more, or its run is not marked.
            errors.Unavailable: Others write to these items all the time, or the index does not count.
        """
        for _ in range(ATTEMPTS):
            task = await self._tasks.get(task_id)
            if task["status"] in items.STOPPED or task.get("fence") != fence:
                raise errors.Conflict("The turn is not the task's any more.", reason="STALE")
            namespace = await self._table.get(self._key(task["namespace"])) or {}
            mine = await self._table.get(self._manifest_key(task)) or {}
            if (mine.get("pending_task"), mine.get("opened_fence")) != (task_id, fence):
                raise errors.Conflict("The task's run is not marked.", reason=REFUSED)
            held, why = namespace.get("dropping"), _others(namespace, mine)
            if not why and (held is None or not _of(held, task_id, fence)):
                held = await self._hold(task, namespace, fence)
            if why or held is not None:
                break
        else:
            raise errors.Unavailable("The namespace is written to by others; try again.", retry_seconds=1.0)
        if not why and held is not None:
            left = clock.parse(held["since"]) + self._grace - self._clock.now()
            if left > datetime.timedelta():
                return Answer(wait_seconds=left.total_seconds())
            counted = await count()
            if counted > there:
                why = f"{counted:,} vectors are in it, and only {there:,} are certainly of this question"
        if why:
            await self._let_go(task, fence)
        return Answer(why=why)

    async def check(self, namespace: str, task_id: str, fence: int) -> None:
        """Before the drop is sent: the namespace is still held for it.

        An indexer of an older release marks runs whoever holds it; that of a moment ago is seen here.

        Raises:
            errors.Conflict: It is not (REMOVAL_REFUSED).
        """
        found = await self._table.get(self._key(namespace)) or {}
        if not _of(found.get("dropping"), task_id, fence) or found.get("pending", 0) > 1:
            raise errors.Conflict("The namespace is not held for this task any more.", reason=REFUSED)

    async def late(self, namespace: str) -> None:
        """A drop ended late: what others wrote since may be gone. Nobody relies on counts; ids are listed instead."""
        await self._table.update(table.Update(self._key(namespace), add={"doubts": 1}))

    async def keep_out(self, namespace: str, task_id: str, held: dict[str, Any] | None) -> None:
        """Let a task write to a namespace only if no other drops it; what one left behind that is over is cleared.

        Args:
            namespace: Its name.
            task_id: Who wants to write.
            held: `dropping` of the namespace, read a moment ago.

        Raises:
            errors.Unavailable: It is being dropped.
        """
        if held is None or held["task"] == task_id:
            return
        if self._over(await self._table.get(held["task"])):
            await self._clear(namespace, held)
            return
        raise errors.Unavailable(
            f"Namespace {namespace!r} is being dropped by a removal; nothing is written to it until that is done.",
            retry_seconds=5.0,
        )

    async def keep_out_of(self, namespace: str, task_id: str) -> None:
        """See `keep_out`: of a namespace that was not read yet."""
        found = await self._table.get(self._key(namespace)) or {}
        await self.keep_out(namespace, task_id, found.get("dropping"))

    async def _hold(self, task: table.Item, namespace: table.Item, fence: int) -> dict[str, Any] | None:
        """Set `dropping` on what was read; None: it changed."""
        task_id = str(task[table.KEY])
        held = {"task": task_id, "fence": fence, "since": clock.text(self._clock.now())}
        before = namespace.get("dropping")
        same = table.Missing("dropping") if before is None else table.Equals("dropping", before)
        # No other run is pending, so whoever left it is through with its own; but a request may be on its way.
        if before is not None and before["task"] != task_id and not self._over(await self._table.get(before["task"])):
            return None
        writes: list[table.Write] = [
            table.Check(task_id, when=(table.OneOf("status", items.OPEN), table.Equals("fence", fence))),
            table.Check(self._manifest_key(task), when=(table.Equals("pending_task", task_id),)),
            table.Update(self._key(task["namespace"]), set={"dropping": held}, when=(table.Equals("pending", 1), same)),
        ]
        try:
            await self._table.transact(writes)
        except table.Cancelled:
            return None
        log.warning("A namespace is held, to be dropped.", action="namespace_held", task_id=task_id)
        return held

    async def _let_go(self, task: table.Item, fence: int) -> None:
        """Nothing is dropped: others may write again, unless a drop was begun before, whose request may arrive yet."""
        if not task.get("removal", {}).get("drop"):
            namespace = str(task["namespace"])
            found = await self._table.get(self._key(namespace)) or {}
            if _of(found.get("dropping"), str(task[table.KEY]), fence):
                await self._clear(namespace, found["dropping"])

    async def _clear(self, namespace: str, held: dict[str, Any]) -> None:
        """Take `dropping` away, if it still is this one: a task that is resumed holds it anew, under another fence."""
        with contextlib.suppress(table.ConditionFailed):
            await self._table.update(
                table.Update(self._key(namespace), remove=("dropping",), when=(table.Equals("dropping", held),))
            )

    def _over(self, task: table.Item | None) -> bool:
        """Whether a task sends nothing any more, and what it sent has arrived or never will."""
        if task is None:
            return True
        stopped = task["status"] in items.STOPPED
        return stopped and self._clock.now() - clock.parse(task["stopped_at"]) > self._grace

    def _key(self, namespace: str) -> str:
        return items.namespace_key(self._index, namespace)

    def _manifest_key(self, task: table.Item) -> str:
        return items.manifest_key(self._index, task["namespace"], task.get("question_id"))


def _of(held: dict[str, Any] | None, task_id: str, fence: int) -> bool:
    return held is not None and (held["task"], held["fence"]) == (task_id, fence)


def _others(namespace: table.Item, mine: table.Item) -> str:
    """Who else has, or writes, something in a namespace by what the ledger knows; empty: nobody."""
    if namespace.get("pending", 0) != 1:
        return "other loads write to it"
    known = namespace.get("known", 0) - mine["known"]
    if known > 0:
        return f"{known:,} vectors of other questions are in it"
    if known or namespace.get("unknown", 0) != mine["unknown"]:
        return "vectors of other questions may be in it"
    return ""
