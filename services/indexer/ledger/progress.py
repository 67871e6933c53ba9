"""How far tasks are: their rolled-up sums and the books of the shards that are not rolled up yet."""

import dataclasses
from collections.abc import Sequence

from services.billing import spend
from services.indexer.ledger import items, shards
from services.indexer.storage import table


@dataclasses.dataclass
class Progress:
    """Counts of one task; a chunk is in them from the moment it is settled, and once."""

    indexed: int = 0
    skipped: int = 0
    failed: int = 0
    # Of the skipped rows.
    unchanged: int = 0
    # Ids deleted; no rows.
    removed: int = 0
    chunks_settled: int = 0
    chunks_failed: int = 0
    # How far the shards are: of the last in which any is settled, its first chunk plus its settled ones.
    current_chunk: int = 0
    # RFC 3339; empty before the first settlement.
    settled_at: str = ""
    reasons: dict[str, int] = dataclasses.field(default_factory=dict)
    # By the settlements, and besides them.
    spent: spend.Spend = spend.NOTHING

    @property
    def rows(self) -> int:
        """Rows with an outcome."""
        return self.indexed + self.skipped + self.failed

    def add(self, book: table.Item) -> None:
        """Take in a shard that is not rolled up."""
        self.indexed += book["indexed"]
        self.skipped += book["skipped"]
        self.failed += book["failed"]
        self.chunks_settled += book["settled"]
        if book["settled"]:
            last = book["shard"] * items.CHUNKS_PER_SHARD + book["settled"]
            self.current_chunk = max(self.current_chunk, last)
        self._add_rest(book)

    def add_older(self, sums: table.Item) -> int:
        """Take in what only the sums of a shard say that was rolled up when tasks kept them; its settled chunks."""
        self._add_rest(sums)
        return int(sums["settled"])

    def _add_rest(self, sums: table.Item) -> None:
        self.chunks_failed += sums["chunks_failed"]
        self.spent += spend.of_stored(sums)
        self.unchanged += sums.get("unchanged", 0)
        self.removed += sums.get("removed", 0)
        self.settled_at = max(self.settled_at, sums.get("settled_at", ""))
        for reason, rows in sums["reasons"].items():
            self.reasons[reason] = self.reasons.get(reason, 0) + rows


async def read(storage: table.Table, tasks: Sequence[table.Item]) -> list[Progress]:
    """The progress of each task. Of every task the counts only ever grow from one reading to the next.

    The tasks come first and their shards after: a shard that is rolled up in between is counted from its book.
    """
    wanted = {str(task[table.KEY]): _not_rolled_up(task) for task in tasks}
    keys = [items.shard_key(task_id, number) for task_id, numbers in wanted.items() for number in numbers]
    books = await storage.get_many(keys, shards.WITHOUT_OUTCOMES) if keys else {}
    return [
        _of(task, [books.get(items.shard_key(task[table.KEY], n)) for n in wanted[task[table.KEY]]]) for task in tasks
    ]


def rolled_up(task: table.Item) -> Progress:
    """What the rolled-up shards of a task come to; of a finished one this is all."""
    progress = Progress(
        indexed=task["indexed"],
        skipped=task["skipped"],
        failed=task["failed"],
        chunks_failed=task.get("chunks_failed", 0),
        unchanged=task.get("unchanged", 0),
        removed=task.get("removed", 0),
        settled_at=task.get("settled_at", ""),
        reasons={name.removeprefix(items.REASON): task[name] for name in task if name.startswith(items.REASON)},
        spent=spend.of_stored(task),
    )
    for number, sums in task["s"].items():
        settled = sums if isinstance(sums, int) else progress.add_older(sums)
        progress.chunks_settled += settled
        progress.current_chunk = max(progress.current_chunk, int(number) * items.CHUNKS_PER_SHARD + settled)
    return progress


def _not_rolled_up(task: table.Item) -> list[int]:
    return [number for number in range(task["shards_opened"]) if str(number) not in task["s"]]


def _of(task: table.Item, books: Sequence[table.Item | None]) -> Progress:
    progress = rolled_up(task)
    for book in books:
        if book is not None:
            progress.add(book)
    return progress
