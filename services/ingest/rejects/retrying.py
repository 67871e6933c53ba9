"""A new task over the rejected rows of a finished one: same pinned source, same plan, restricted to those rows."""

import collections
import dataclasses
from collections.abc import AsyncIterator

from vectorline.v1 import ledger_pb2

from services.ingest.planning import plan, selection
from services.ingest.splitting import task_source

# Reasons that are not the row's own: the same row may well go through next time.
RETRYABLE = frozenset({"embedding_refused", "index_refused", "poison"})


async def restricted(
    stored: AsyncIterator[ledger_pb2.ReadRejectsResponse], source: task_source.Opened, *, every: bool
) -> plan.Plan | None:
    """The parent's plan restricted to its rejected rows; None when there is nothing to retry.

    Args:
        stored: The parent's rejects.
        source: The parent's source and plan.
        every: Take rows rejected for any reason, not only the retryable ones.
    """
    rows: dict[int, list[int]] = collections.defaultdict(list)
    async for part in stored:
        chunk = source.source_chunk(part.chunk)
        if part.reason and (every or part.reason in RETRYABLE):
            rows[chunk] += source.rows_of_chunk(part.chunk, part.first_row, part.rows)
        rows[chunk] += [reject.row_number for reject in part.rejects if every or reject.reason in RETRYABLE]
    wanted = {chunk: numbers for chunk, numbers in rows.items() if numbers}
    if not wanted:
        return None
    return dataclasses.replace(source.plan, selected=selection.Selection.of(wanted))
