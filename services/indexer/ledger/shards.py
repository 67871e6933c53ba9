"""The books of a task's chunks, 256 a shard: each chunk gets one outcome, once."""

import collections
import contextlib
import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.billing import spend
from services.indexer.ledger import items
from services.indexer.storage import clock, objects, table
from services.runtime import errors, grouping

_COUNTS: Final = ("settled", "indexed", "skipped", "failed", "unchanged", "removed", "chunks_failed")
# Outcomes that one transaction adds to a shard: the expressions of an item have 4 KB.
_AT_ONCE: Final = 64
_ATTEMPTS: Final = 10
# A shard but for its outcomes, which are most of its bytes.
WITHOUT_OUTCOMES: Final = ("kind", "task", "shard", "exp", "reasons", "settled_at", "lsn", *_COUNTS, *spend.NAMES)

# Chunks that one write settles: an expression of DynamoDB's has 4 KB at most.
MOST_SETTLED: Final = 25


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a chunk's rows: indexed + skipped + failed are all of them.

    Args:
        indexed: Rows whose vector is in the index.
        skipped: Rows left out on purpose.
        failed: Rows rejected.
        reasons: Failed rows by reject reason; they add up to `failed`.
        rejects_key: The S3 object that holds the rejects, written before; empty: none.
        reason: Set when the chunk failed by its header alone; then nobody decoded its rows.
        first_row: Of such a chunk, the number of its first row.
        spent: What the delivery that settles it has cost; added to the shard's sums.
        unchanged: Of the skipped rows, those that are in the index just so.
        fence: Under which the chunk was published; 0: by an older release.
        removed: Of a chunk that deletes, which has no rows: ids that were deleted.
        lsn: The highest place in the namespace's log of what was written or deleted for it; 0: the index told none.
    """

    indexed: int
    skipped: int
    failed: int
    reasons: Mapping[str, int] = dataclasses.field(default_factory=dict)
    rejects_key: str = ""
    reason: str = ""
    first_row: int = 0
    spent: spend.Spend = spend.NOTHING
    unchanged: int = 0
    fence: int = 0
    removed: int = 0
    lsn: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that do not add up: what is settled can never be corrected."""
        if (
            min(self.indexed, self.skipped - self.unchanged, self.failed, self.unchanged, self.removed) < 0
            or sum(self.reasons.values()) != self.failed
        ):
            raise ValueError(f"The outcome does not add up: {self}")

    def stored(self, task_id: str, chunk: int) -> dict[str, Any]:
        """As it lies in the shard: short, since DynamoDB counts the bytes of the whole shard on each settle."""
        kept: dict[str, Any] = {"i": self.indexed, "s": self.skipped, "f": self.failed}
        if self.rejects_key:
            kept["rejects"] = objects.token(self.rejects_key, task_id, chunk)
        if self.reason:
            kept["reason"] = self.reason
            kept["first_row"] = self.first_row
        if self.unchanged:
            kept["u"] = self.unchanged
        if self.fence:
            kept["n"] = self.fence
        if self.removed:
            kept["d"] = self.removed
        return kept

    def added(self) -> dict[table.Path, int]:
        """By how much it raises its shard's counts."""
        return {
            "settled": 1,
            "indexed": self.indexed,
            "skipped": self.skipped,
            "failed": self.failed,
            "unchanged": self.unchanged,
            "removed": self.removed,
            "chunks_failed": int(self.failed > 0 and self.indexed == 0),
            **{("reasons", reason): rows for reason, rows in self.reasons.items()},
            **self.spent.stored(),
        }


@dataclasses.dataclass(frozen=True)
class Settled:
    """A chunk's outcome as the ledger holds it. `already`: another call had settled it; this one changed nothing."""

    indexed: int
    skipped: int
    failed: int
    already: bool
    # Every chunk of its shard is settled.
    full: bool


class Shards:
    """Opens and reads shards and settles chunks in them."""

    def __init__(self, storage: table.Table, watch: clock.Clock) -> None:
        self._table = storage
        self._clock = watch
        self._settling = grouping.Groups(self._settle, MOST_SETTLED)

    async def open(self, task_id: str, shard: int, fence: int | None = None) -> None:
        """Open a shard's book, once a turn. To be called before the first of its chunks is published in it.

        Args:
            task_id: The task.
            shard: Its number.
            fence: Under which its chunks are about to be published; 0: none are. None: an older release does not say.

        Raises:
            errors.NotFound: No such task.
        """
        # The task learns of it first: a shard that progress looks for and does not find counts as empty, but one
        # that nobody looks for would hide its chunks.
        opened = table.Update(
            items.task_key(task_id),
            set={"shards_opened": shard + 1},
            when=(table.Equals("kind", "task"), table.Below("shards_opened", shard + 1)),
        )
        try:
            await self._table.update(opened)
        except table.ConditionFailed as failed:
            if not items.is_task(failed.item):
                raise items.unknown(task_id) from failed
        fresh = _empty(task_id, shard) | ({} if fence is None else {"opened": fence})
        try:
            await self._table.put(table.Put(fresh, when=(table.Missing(table.KEY),)))
        except table.ConditionFailed as failed:  # opened before
            if fence and failed.item is not None and failed.item.get("opened", 0) < fence:
                await self._open_again(task_id, shard, fence)

    async def _open_again(self, task_id: str, shard: int, fence: int) -> None:
        known = table.Exists("opened")
        for when in ((known, table.Below("opened", fence)), (table.Missing("opened"),)):
            again = table.Update(items.shard_key(task_id, shard), set={"opened": fence}, when=when)
            with contextlib.suppress(table.ConditionFailed):
                await self._table.update(again)

    async def settle_quiet(
        self, task_id: str, shard: int, fence: int, comparison: str, outcomes: Mapping[int, Outcome]
    ) -> table.Item:
        """Settle chunks of which nothing travels, where they have no outcome yet; the shard as it is then.

        In the same transaction the task is open, its turn is that of `fence` and its comparison the one that says so:
        a driver that was left behind must not settle a skip in another's turn, nor by another comparison.

        Raises:
            errors.Conflict: One of these is not so.
            errors.NotFound: No such task.
        """
        mine = table.Check(
            items.task_key(task_id),
            when=(
                table.OneOf("status", items.OPEN),
                table.Equals("fence", fence),
                table.Equals(("comparison", "uri"), comparison),
            ),
        )
        await self.open(task_id, shard, 0)
        key = items.shard_key(task_id, shard)
        for _ in range(_ATTEMPTS + items.CHUNKS_PER_SHARD // _AT_ONCE):
            found = await self._table.get(key)
            if found is None:
                raise errors.Unavailable("The shard is being opened; try again.", retry_seconds=1.0)
            absent = [chunk for chunk in sorted(outcomes) if str(chunk) not in found["c"]][:_AT_ONCE]
            if not absent:
                return found
            try:
                await self._table.transact((mine, self._quiet(found, {chunk: outcomes[chunk] for chunk in absent})))
            except table.Cancelled:
                await self._check_mine(task_id, fence, comparison)
        raise errors.Unavailable("Others settle chunks of this shard; try again.", retry_seconds=1.0)

    async def _check_mine(self, task_id: str, fence: int, comparison: str) -> None:
        task = await self._table.get(task_id)
        if task is None or task["status"] not in items.OPEN or task.get("fence") != fence:
            raise errors.Conflict("The turn is not the task's any more.", reason="STALE")
        if task.get("comparison", {}).get("uri") != comparison:
            raise errors.Conflict("The task has another comparison.", reason="STALE")

    def _quiet(self, shard: table.Item, outcomes: Mapping[int, Outcome]) -> table.Update:
        key = (str(shard["task"]), int(shard["shard"]))
        # As many were settled when it was read: so none of these was since.
        when = (table.Equals("settled", shard["settled"]),)
        return dataclasses.replace(_outcomes(key, list(outcomes.items()), self._clock.now()), when=when, told=())

    async def get(self, task_id: str, shard: int) -> table.Item | None:
        """A shard, read consistently; None if it was never opened. Its outcomes name the rejects' objects in full."""
        found = await self._table.get(items.shard_key(task_id, shard))
        for name, outcome in found["c"].items() if found else ():
            if "rejects" in outcome:
                outcome["rejects"] = objects.key(outcome["rejects"], task_id, int(name))
        return found

    async def without_outcomes(self, task_id: str, numbers: Sequence[int]) -> dict[int, table.Item]:
        """Shards but for their outcomes, read consistently; those that were never opened are left out."""
        keys = {number: items.shard_key(task_id, number) for number in numbers}
        found = await self._table.get_many(list(keys.values()), WITHOUT_OUTCOMES) if keys else {}
        return {number: found[key] for number, key in keys.items() if key in found}

    async def settle(self, task_id: str, chunk: int, outcome: Outcome) -> Settled:
        """Write a chunk's outcome if it has none: in one update, counted exactly once whoever repeats it.

        Raises:
            errors.Conflict: The shard was never opened (SHARD_NOT_OPEN): nothing is settled.
        """
        return await self._settling.call((task_id, items.shard_of(chunk)), (chunk, outcome))

    async def _settle(
        self, key: tuple[str, int], asked: Sequence[tuple[int, Outcome]]
    ) -> Sequence[Settled | errors.Conflict]:
        """Settle chunks of a shard, in as few writes as can be: one, if none of them was settled before."""
        task_id, number = key
        answers: dict[int, Settled] = {}
        while left := [position for position in range(len(asked)) if position not in answers]:
            fresh: dict[int, int] = {}  # one of each chunk: who settles it too finds its outcome in the next round
            for position in left:
                fresh.setdefault(asked[position][0], position)
            together = list(fresh.values())
            try:
                shard = await self._table.update(_outcomes(key, [asked[p] for p in together], self._clock.now()))
                if "exp" not in shard:
                    shard |= (await self.without_outcomes(task_id, [number]))[number]
                answers |= {p: _kept(shard, asked[p][0], already=False) for p in together}
                # Whoever fills the shard rolls it up: one of those that were settled together is enough.
                answers |= {p: dataclasses.replace(answers[p], full=False) for p in together[:-1]}
            except table.ConditionFailed as failed:
                if failed.item is None:
                    # Not "settled before": believing so would lose the chunks.
                    return [_not_open(task_id, number)] * len(asked)
                before = [position for position in left if str(asked[position][0]) in failed.item["c"]]
                answers |= {p: _kept(failed.item, asked[p][0], already=True) for p in before}
        return [answers[position] for position in range(len(asked))]

    async def expect(self, task_id: str, shard: int, chunks: int) -> table.Item:
        """Say how many chunks the last shard has, and return the shard."""
        changes = table.Update(items.shard_key(task_id, shard), set={"exp": chunks}, when=(table.Exists(table.KEY),))
        try:
            return await self._table.update(changes)
        except table.ConditionFailed:
            await self.open(task_id, shard)
            return await self._table.update(changes)


def settled_chunks(shard: table.Item) -> list[int]:
    """Numbers of a shard's settled chunks, ascending."""
    return sorted(int(name) for name in shard["c"])


def full(shard: table.Item) -> bool:
    """Whether every chunk of a shard is settled."""
    return bool(shard["settled"] == shard["exp"])


def _outcomes(key: tuple[str, int], asked: Sequence[tuple[int, Outcome]], now: datetime.datetime) -> table.Update:
    """The write of outcomes of chunks that have none yet; it fails if one of them has."""
    task_id, number = key
    adding: collections.Counter[table.Path] = collections.Counter()
    for _, outcome in asked:
        adding.update(outcome.added())
    # Of the last that were settled, which costs nothing: an outcome with a number of its own would make each settlement
    # dearer, and the highest is a few writes further at most.
    lsn = max(outcome.lsn for _, outcome in asked)
    return table.Update(
        items.shard_key(task_id, number),
        set={
            **{("c", str(chunk)): outcome.stored(task_id, chunk) for chunk, outcome in asked},
            "settled_at": clock.text(now),
            **({"lsn": lsn} if lsn else {}),
        },
        add=adding,
        when=(table.Exists(table.KEY), *(table.Missing(("c", str(chunk))) for chunk, _ in asked)),
        answer=table.Answer.WRITTEN,
        told=("exp",),
    )


def _kept(shard: table.Item, chunk: int, *, already: bool) -> Settled:
    kept = shard["c"][str(chunk)]
    return Settled(indexed=kept["i"], skipped=kept["s"], failed=kept["f"], already=already, full=full(shard))


def _not_open(task_id: str, shard: int) -> errors.Conflict:
    return errors.Conflict(
        f"Shard {shard} of task {task_id} was not opened; the chunk stays unsettled.", reason="SHARD_NOT_OPEN"
    )


def _empty(task_id: str, shard: int) -> table.Item:
    return {
        table.KEY: items.shard_key(task_id, shard),
        "kind": "shard",
        "task": task_id,
        "shard": shard,
        "exp": items.CHUNKS_PER_SHARD,
        "c": {},
        "reasons": {},
        **dict.fromkeys(_COUNTS, 0),
    }
