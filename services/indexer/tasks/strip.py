"""The chunks of a task as a strip of squares: what became of the rows of each, in the order of the file."""

import asyncio
import math
from typing import Final

from vectorline.v1 import console_pb2

from services.indexer import ledger
from services.indexer.ledger import items
from services.indexer.ledger.items import Status
from services.indexer.storage import table
from services.indexer.tasks import messages

# Up to so many shards are read with the outcome of each chunk; of more, a square is at least a shard.
SHARDS_WITH_OUTCOMES: Final = 16
SQUARES: Final = 1_000


async def of(book: ledger.Ledger, task: table.Item, squares: int) -> console_pb2.ChunksView:
    """The strip of a task, of at most so many squares.

    Raises:
        errors.Unavailable: The table does not answer.
    """
    chunks = messages.chunks(task)
    opened = int(task["shards_opened"])
    view = console_pb2.ChunksView(task_id=task[table.KEY], chunks=chunks)
    view.timestamp.FromDatetime(book.clock.now())
    if not chunks:
        return view
    wide = math.ceil(chunks / squares)
    if math.ceil(chunks / items.CHUNKS_PER_SHARD) > SHARDS_WITH_OUTCOMES:
        wide = items.CHUNKS_PER_SHARD * math.ceil(wide / items.CHUNKS_PER_SHARD)
    count = math.ceil(chunks / wide)
    view.chunks_per_square = wide
    for field in (view.settled, view.indexed, view.skipped, view.failed):
        field.extend([0] * count)
    if wide % items.CHUNKS_PER_SHARD:
        await _add_outcomes(book, task, opened, view)
    else:
        await _add_shards(book, task, opened, view)
    under_way = task["status"] not in (Status.PENDING, Status.QUEUED, Status.PROCESSING)
    published = min(chunks, opened * items.CHUNKS_PER_SHARD) if under_way else 0
    view.published = math.ceil(published / wide)
    return view


async def _add_outcomes(book: ledger.Ledger, task: table.Item, opened: int, view: console_pb2.ChunksView) -> None:
    for shard in await asyncio.gather(*(book.shards.get(task[table.KEY], number) for number in range(opened))):
        for name, outcome in shard["c"].items() if shard else ():
            _add(view, int(name), (1, outcome["i"], outcome["s"], outcome["f"]))


async def _add_shards(book: ledger.Ledger, task: table.Item, opened: int, view: console_pb2.ChunksView) -> None:
    for number, shard in (await book.shards.without_outcomes(task[table.KEY], range(opened))).items():
        sums = (shard["settled"], shard["indexed"], shard["skipped"], shard["failed"])
        _add(view, number * items.CHUNKS_PER_SHARD, sums)


def _add(view: console_pb2.ChunksView, chunk: int, counts: tuple[int, int, int, int]) -> None:
    at = chunk // view.chunks_per_square
    if at >= len(view.settled):  # an outcome beyond the plan has no square
        return
    for field, count in zip((view.settled, view.indexed, view.skipped, view.failed), counts, strict=True):
        field[at] += count
