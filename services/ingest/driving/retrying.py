"""A new task over the rejected rows of a finished one: same pinned source, same plan, restricted to those rows.

The task is stored at once; which rows it takes is read from the ledger where other tasks are scanned.
"""

import dataclasses
from collections.abc import AsyncIterator, Mapping

from vectorline.v1 import ledger_pb2

from services.ingest import failures
from services.ingest.planning import plan, selection
from services.ingest.splitting import task_source
from services.reasons import rows as rejected_rows

NOTHING = "NOTHING_TO_RETRY"
_ONE, _ALL = "retry:", "retry:all:"


def request_id(parent_task_id: str, *, every: bool) -> str:
    """The idempotency key of a retry: one of each kind for a task. It also tells the driver which kind it is."""
    return f"{_ALL if every else _ONE}{parent_task_id}"


def takes_all(key: str) -> bool:
    """Whether a retry takes rows rejected for any reason."""
    return key.startswith(_ALL)


def rows_in(rejected: Mapping[str, int], *, every: bool) -> int:
    """How many of some rejected rows, counted by reason, would be taken."""
    return sum(rows for reason, rows in rejected.items() if every or reason in rejected_rows.RETRYABLE)


def nothing(*, every: bool) -> failures.Failure:
    """Why there is no retry."""
    words = "none of the rejected rows may go through as they are; all=true takes them nevertheless"
    return failures.Failure(
        NOTHING, f"There is nothing to retry: {'the task has no rejected rows' if every else words}."
    )


def expired() -> failures.Failure:
    """The parent is not known any more."""
    return failures.Failure(
        "PARENT_EXPIRED", "The task that this one retries is too old to be known; submit its source."
    )


async def restricted(
    stored: AsyncIterator[ledger_pb2.ReadRejectsResponse], parent: task_source.Opened, *, every: bool
) -> plan.Plan:
    """The parent's plan restricted to its rejected rows. In memory are those of one chunk, and 8 bytes for each other.

    Args:
        stored: The parent's rejects, chunk by chunk, ascending.
        parent: The parent's source and plan.
        every: Take rows rejected for any reason, not only the retryable ones.

    Raises:
        failures.Failure: NOTHING_TO_RETRY.
    """
    chosen: list[selection.Chosen] = []
    chunk, rows = -1, list[int]()
    async for part in stored:
        number = parent.source_chunk(part.chunk)
        if number != chunk:
            if rows:
                chosen.append(selection.chosen(chunk, rows))
            chunk, rows = number, []
        if part.reason and (every or part.reason in rejected_rows.RETRYABLE):
            rows += parent.rows_of_chunk(part.chunk, part.first_row, part.rows)
        rows += [reject.row_number for reject in part.rejects if every or reject.reason in rejected_rows.RETRYABLE]
    if rows:
        chosen.append(selection.chosen(chunk, rows))
    if not chosen:
        raise nothing(every=every)
    return dataclasses.replace(parent.plan, selected=selection.Selection(tuple(chosen)))
