"""Drives that failed inside, counted for each task over all processes: what fails five times in a row is given up."""

import secrets

import structlog

from services.chunks import splitting, store
from services.ingest import failures

log = structlog.get_logger()

# Drives in a row that failed inside without getting on, before the task fails.
MOST = 5


class Defects:
    """Counts; every method may raise the queue's QueueUnavailable, and the drive is then not counted."""

    def __init__(self, queue: store.Store) -> None:
        self._store = queue

    async def count(self, task_id: str, lease: splitting.SplitLease | None, *, got_on: bool) -> failures.Failure | None:
        """Log the exception at hand and count it; what the task fails with when that was once too often.

        Args:
            task_id: The task whose drive failed.
            lease: Under which it was; a drive that has lost it is of no account: the task is another's, or over.
            got_on: This drive scanned or published something first: what was counted before does not matter any more.
        """
        incident = secrets.token_hex(8)
        log.exception("Driving a task failed inside.", action="drive_defect", incident=incident)
        if got_on:
            await self._store.forgive(task_id)
        if await self._store.defect(task_id, lease.token if lease else "", incident) < MOST:
            return None
        return failures.Failure(
            "DRIVE_DEFECT",
            f"Reading or splitting the source failed inside {MOST} times; the log holds the last under incident "
            f"{incident}. Report it with the file; a task over the file without what provokes it may go through.",
        )

    async def clear(self, task_id: str) -> None:
        """The task is published."""
        await self._store.forgive(task_id)
