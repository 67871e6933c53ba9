"""What a task's status means, and how far it is."""

import dataclasses
from typing import Final

from vectorline_messages import messages

from vectorline_client import errors

TERMINAL: Final = frozenset({"completed", "partially_completed", "failed", "cancelled"})
BLOCKED: Final = "blocked"


def is_over(task: messages.Task) -> bool:
    """Nothing more happens to it by itself. A blocked task counts: somebody has to mend what it waits for."""
    return task.status in TERMINAL or task.status == BLOCKED


def problem(task: messages.Task) -> errors.TaskError | None:
    """Why a task that is over is not what was wished; None: every row is indexed or was left out on purpose."""
    if task.status == BLOCKED:
        return errors.Blocked(task)
    if task.status == "cancelled":
        return errors.TaskCancelled(task)
    if task.status == "failed" and not task.progress.failed_records:
        return errors.TaskFailed(task)
    return errors.RowsRejected(task) if task.status in ("failed", "partially_completed") else None


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a task is; printed, it is a line for people.

    Attributes:
        task: The task as it is now.
    """

    task: messages.Task

    @property
    def rows(self) -> int:
        """Rows that are indexed, skipped or rejected."""
        counts = self.task.progress
        return counts.processed_records + counts.skipped_records + counts.failed_records

    @property
    def total(self) -> int:
        """Rows of the source; 0 before they were counted."""
        return self.task.progress.total_records

    @property
    def percentage(self) -> float:
        """Rows with an outcome in percent, 0 to 100."""
        return self.task.progress.percentage

    def __str__(self) -> str:
        """Such as: processing_chunks: 45,000 of 100,000 rows (45 %), 12 rejected."""
        counts = f"{self.rows:,} of {self.total:,} rows ({self.percentage:.0f} %)" if self.total else "not counted yet"
        failed = self.task.progress.failed_records
        rejected = f", {failed:,} rejected" if failed else ""
        still = f", stands still: {self.task.stalled_reason}" if self.task.stalled_reason else ""
        return f"{self.task.status}: {counts}{rejected}{still}"
