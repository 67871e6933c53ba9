"""The ledger: the truth about tasks and chunks, one noun a file.

`items` names what is stored · `creation` stores a task once · `lifecycle` moves its status · `turns` says whose turn it
is · `manifests` what is known to be in the index · `removals` begins and holds deletes · `drops` keeps others out of a
namespace that is dropped · `shards` holds the books of chunks · `closing` settles, rolls up, seals, closes · `gate`
answers before each purchase and write · `namespaces` keeps models apart · `column_types` remembers the types of the
last load · `allowance` counts what keys use · `spending` adds what was paid to tasks and to `days` · `progress` counts
· `listing` lists · `finding` filters · `records` puts items into the messages of LedgerService · `servicer` serves it
to ingest and embedder.

It keeps nothing in the process but what can never change: any indexer may answer any call, and may die in any.
"""

import dataclasses
from collections.abc import Awaitable, Callable, Sequence

from services.billing import spend
from services.indexer.ledger import (
    allowance,
    closing,
    column_types,
    creation,
    drops,
    finding,
    gate,
    items,
    lifecycle,
    listing,
    manifests,
    namespaces,
    progress,
    records,
    removals,
    shards,
    spending,
    turns,
)
from services.indexer.storage import clock, table
from services.runtime import errors


def _closed() -> bool:
    """Pinecone takes vectors."""
    return False


def _unknown() -> int:
    """The index was not described yet."""
    return 0


def _no_problem() -> errors.Conflict | None:
    """Nothing speaks against the index."""
    return None


async def _nothing() -> None:
    """There is nothing to learn."""


def _again(task: table.Item, scan: lifecycle.Scan) -> bool:
    """Whether a task that still runs goes by this scan."""
    return task["status"] in items.OPEN and task.get("plan_uri") == scan.plan_uri


async def _anything(_namespace: str, _question_id: int) -> tuple[bool, spend.Spend]:
    """Nobody can say what is in the index."""
    return True, spend.NOTHING


class Ledger:
    """The ledger's parts over one table.

    Args:
        storage: The table.
        watch: The ledger's clock.
        index: The Pinecone index that turns and namespaces are about.
        upsert_deadline_seconds: Longest that one upsert may take.
        circuit_open: Whether Pinecone is known not to take vectors now.
        circuit_why: Its last words on that.
        index_dimension: Values a vector of the index; 0 while that is not known.
        index_problem: Why the index takes no vectors at all now, whatever is sent.
        look_again: Learns both anew.
        holds: Whether a namespace holds anything of a question, and what it cost to ask.
    """

    def __init__(
        self,
        storage: table.Table,
        watch: clock.Clock,
        *,
        index: str,
        upsert_deadline_seconds: float = 30.0,
        circuit_open: Callable[[], bool] = _closed,
        circuit_why: Callable[[], str] = str,
        index_dimension: Callable[[], int] = _unknown,
        index_problem: Callable[[], errors.Conflict | None] = _no_problem,
        look_again: Callable[[], Awaitable[None]] = _nothing,
        holds: Callable[[str, int], Awaitable[tuple[bool, spend.Spend]]] = _anything,
    ) -> None:
        self._table = storage
        self._holds = holds
        self.clock = watch
        self.circuit_open = circuit_open
        self.circuit_why = circuit_why
        self.creation = creation.Creation(storage, watch)
        self.allowance = allowance.Allowance(storage, watch)
        self.tasks = lifecycle.Lifecycle(storage, watch)
        self.shards = shards.Shards(storage, watch)
        self.closing = closing.Closing(storage, watch, self.tasks, self.shards)
        self.namespaces = namespaces.Namespaces(
            storage,
            watch,
            index=index,
            index_dimension=index_dimension,
            index_problem=index_problem,
            look_again=look_again,
            writes_seconds=upsert_deadline_seconds + turns.MARGIN_SECONDS,
        )
        grace = turns.grace(upsert_deadline_seconds)
        self.drops = drops.Drops(storage, watch, self.tasks, index=index, grace=grace)
        self.gate = gate.Gate(storage, self.tasks, self.closing, self.namespaces, self.drops, circuit_open=circuit_open)
        self.manifests = manifests.Manifests(storage, watch, self.tasks, self.drops, index=index)
        self.removals = removals.Removals(storage, self.tasks, self.manifests, index=index)
        self.turns = turns.Turns(storage, watch, self.tasks, self.manifests, index=index, grace=grace)
        self.listing = listing.Tasks(storage)
        self.finding = finding.Finder(storage, self.tasks, self.listing)
        self.spending = spending.Spending(storage, watch, self.tasks)
        self.types = column_types.ColumnTypes(storage, index=index)

    async def create(self, new: creation.NewTask) -> tuple[table.Item, bool]:
        """Store a task, if its client's limits leave room; see `Creation.create`.

        Raises:
            errors.ResourceExhausted: They do not.
        """
        if not new.limits.open_tasks and not new.limits.rows_per_day:
            return await self.creation.create(new)
        stored = await self.creation.find(new)
        if stored is not None:
            return stored, True
        await self.allowance.take(new.client, new.task_id, new.limits)
        try:
            task, existed = await self.creation.create(new)
        except (errors.AlreadyExists, errors.InvalidArgument):
            await self.allowance.give_back(new.client, new.task_id)
            raise
        if task[table.KEY] != new.task_id:  # a call with the same idempotency key was faster
            await self.allowance.give_back(new.client, new.task_id)
        return task, existed

    async def end_scan(self, task_id: str, scan: lifecycle.Scan) -> table.Item:
        """The scan ended; see `Lifecycle.end_scan`.

        Raises:
            errors.Conflict: The task is failed: it passes its client's rows of the day (ROWS_QUOTA_EXCEEDED), or has
                more chunks than the ledger holds (TOO_MANY_CHUNKS).
        """
        if scan.chunks > items.MOST_CHUNKS:
            words = (
                f"The source has {scan.chunks} chunks and a task may have {items.MOST_CHUNKS}. Nothing was bought; "
                f"submit it with a larger chunk_size, or in parts."
            )
            await self.tasks.fail(task_id, "TOO_MANY_CHUNKS", words)
            raise errors.Conflict(words, reason="TOO_MANY_CHUNKS", metadata={"task_id": task_id})
        task = await self.tasks.get(task_id)
        if "job" in task:  # no rows of a source, no columns, and nothing is written
            return (await self.tasks.end_scan(task_id, scan))[0]
        if task["status"] == items.Status.PROCESSING and not await self.allowance.count_rows(task, scan.rows):
            words = (
                f"The source has {scan.rows} rows, more than are left of the key's {task['rows_per_day']} a day (UTC)."
            )
            await self.tasks.fail(task_id, allowance.ROWS, f"{words} Nothing was bought; try again tomorrow.")
            raise errors.Conflict(words, reason=allowance.ROWS, metadata={"task_id": task_id})
        types = {name: scan.types[name] for name in items.fitting(scan.types)}
        changed = [records.types_changed(each) for each in await self.types.changes(task, types)]
        nothing, spent = await self._replaces_nothing(task)
        await self.spending.record(task_id, spent)
        scan = dataclasses.replace(scan, warnings=(*scan.warnings, *changed), replaces_nothing=nothing)
        task, first = await self.tasks.end_scan(task_id, scan)
        # A call that broke after the scan was written comes again, and is not the first any more.
        if (first or _again(task, scan)) and not task.get("parent_task_id"):
            await self.types.keep(task, types)
        return task

    async def _replaces_nothing(self, task: table.Item) -> tuple[bool, spend.Spend]:
        """Whether its question has nothing in the namespace, so that no upsert replaces anything, and its price."""
        question_id = task.get("question_id")
        if task["status"] != items.Status.PROCESSING or question_id is None:
            return False, spend.NOTHING
        try:
            holds, spent = await self._holds(task["namespace"], question_id)
        except errors.Unavailable:
            return False, spend.NOTHING
        return not holds, spent

    async def progress(self, tasks: Sequence[table.Item]) -> list[progress.Progress]:
        """How far each of these tasks is."""
        return await progress.read(self._table, tasks)

    async def resume(self, task_id: str) -> table.Item:
        """A blocked task goes on, or ends if all its chunks were settled before it was blocked."""
        await self.tasks.resume(task_id)
        return await self.closing.heal(task_id)

    async def confirm(self, task_id: str, checksum: str) -> table.Item:
        """A held mirror goes on; see `Removals.confirm`."""
        await self.removals.confirm(task_id, checksum)
        return await self.closing.heal(task_id)

    async def end_overtaken(self) -> None:
        """Held mirrors whose turn another task has taken go on, to end: they remove nothing any more."""
        for task_id in await self.removals.overtaken(await self.listing.blocked(removals.HELD)):
            await self.resume(task_id)

    async def refuse_whole(self, task_id: str, fence: int, refused: errors.Conflict) -> bool:
        """The index refuses every record of a batch: block the task if it never took one of it.

        Once: a task that is resumed after that has its rows rejected one by one, for then it is they.

        Returns:
            Whether it is blocked for this.
        """
        task = await self.tasks.get(task_id)
        (so_far,) = await self.progress([task])
        if so_far.indexed:
            return False
        first = table.Update(
            items.task_key(task_id), set={"refused_fence": fence}, when=(table.Missing("refused_fence"),)
        )
        try:
            await self._table.update(first)
        except table.ConditionFailed as failed:
            if failed.item is None or failed.item.get("refused_fence") != fence:
                return False
        await self.tasks.block(task_id, refused.reason, refused.message)
        return True

    async def claim(self, task_id: str, fence: int) -> None:
        """Claim a task's namespace for the model that its texts were bought with, though it wrote nothing.

        Raises:
            errors.Conflict: The turn is not the task's (STALE), nothing was bought for it, or the namespace holds
                another's vectors.
        """
        task = await self.tasks.get(task_id)
        if task["status"] in items.STOPPED or task.get("fence") != fence or "model" not in task:
            raise errors.Conflict("The turn is not the task's any more.", reason="STALE")
        await self.namespaces.claim(task["namespace"], task["model"], task["dimension"])

    @property
    def late_seconds(self) -> float:
        """A write that ends so long after it was permitted may have ended in another's turn."""
        # A permission may be two seconds old when it is used; the turn passes on after the deadline and the margin.
        return self.turns.grace.total_seconds() - turns.PERMITTED_SECONDS

    async def fail_chunk(self, task_id: str, chunk: int, fence: int, outcome: shards.Outcome) -> gate.Answer:
        """Settle a chunk by its header alone, if it may be; GO and SETTLED: it is settled now."""
        answer = await self.gate.check_chunk(task_id, chunk, fence)
        if answer == gate.Answer.GO:
            await self.closing.settle(task_id, chunk, outcome)
        return answer

    async def probe(self) -> None:
        """Ask the table something; raises errors.Unavailable when it does not answer."""
        await self._table.get("probe")
