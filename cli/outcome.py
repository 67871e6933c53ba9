"""What a task's status means to a person and to the shell."""

from __future__ import annotations

from typing import Final

from cli import failures
from vectorline_client import messages, outcome

NOT_WELL: Final = frozenset({"partially_completed", "failed", "cancelled", "blocked"})


def is_over(task: messages.Task) -> bool:
    """Nothing more happens to it by itself. A blocked task counts: it waits for a person's account or namespace."""
    return outcome.is_over(task)


def exit_code(task: messages.Task) -> failures.ExitCode:
    """1 for failed rows and for a failed, cancelled or blocked task, else 0."""
    not_well = task.status in NOT_WELL or task.progress.failed_records > 0
    return failures.ExitCode.FAILED if not_well else failures.ExitCode.OK


def rows_with_outcome(task: messages.Task) -> int:
    """Rows that are indexed, skipped or failed so far."""
    return outcome.Progress(task).rows
