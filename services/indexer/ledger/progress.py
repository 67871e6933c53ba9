"""How far tasks are: their rolled-up sums and the books of the shards that are not rolled up yet."""

import dataclasses
from collections.abc import Sequence

from services.indexer.ledger import items, shards
from services.indexer.storage import table


@dataclasses.dataclass
class Progress:
    """Counts of one task; a chunk is in them from the moment it is settled, and once."""

    indexed: int = 0
    skipped: int = 0
    failed: int = 0
    chunks_settled: int = 0
    chunks_failed: int = 0
    # The highest settled chunk's number plus one.
    current_chunk: int = 0
    # RFC 3339; empty before the first settlement.
    settled_at: str = ""
    reasons: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows with an outcome."""
        return self.indexed + self.skipped + self.failed

    def add(self, sums: table.Item) -> None:
        """Take a shard's sums in."""
        self.indexed += sums["indexed"]
        self.skipped += sums["skipped"]
        self.failed += sums["failed"]
        self.chunks_settled += sums["settled"]
        self.chunks_failed += sums["chunks_failed"]
        self.settled_at = max(self.settled_at, sums.get("settled_at", ""))
        for reason, rows in sums["reasons"].items():
            self.reasons[reason] = self.reasons.get(reason, 0) + rows


async def read(storage: table.Table, tasks: Sequence[table.Item]) -> list[Progress]:
    """The progress of each task. Of every task the counts only ever grow from one reading to the next.

    The tasks come first and their shards after: a shard that is rolled up in between is counted from its book.
    """
    wanted = {str(task[table.KEY]): _not_rolled_up(task) for task in tasks}
    keys = [items.shard_key(task_id, number) for task_id, numbers in wanted.items() for number in numbers]
    books = await storage.get_many(keys) if keys else {}
    return [
        _of(task, [books.get(items.shard_key(task[table.KEY], n)) for n in wanted[task[table.KEY]]]) for task in tasks
    ]


def _not_rolled_up(task: table.Item) -> list[int]:
    return [number for number in range(task["shards_opened"]) if str(number) not in task["s"]]


def _of(task: table.Item, books: Sequence[table.Item | None]) -> Progress:
    progress = Progress()
    for number, sums in task["s"].items():
        progress.add(sums)
        last = int(number) * items.CHUNKS_PER_SHARD + sums["settled"]
        progress.current_chunk = max(progress.current_chunk, last)
    for book in books:
        if book is not None:
            progress.add(shards.sums(book))
            progress.current_chunk = max(
                [progress.current_chunk, *(chunk + 1 for chunk in shards.settled_chunks(book))]
            )
    return progress
