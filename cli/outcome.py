"""What a task's status means to a person and to the shell."""

from __future__ import annotations

from typing import Final

from vectorline.v1 import task_pb2

from cli import failures

TERMINAL: Final = frozenset({"completed", "partially_completed", "failed", "cancelled"})
NOT_WELL: Final = frozenset({"partially_completed", "failed", "cancelled", "blocked"})


def is_over(task: task_pb2.Task) -> bool:
    """Nothing more happens to it by itself. A blocked task counts: it waits for a person's account or namespace."""
    return task.status in TERMINAL or task.status == "blocked"


def exit_code(task: task_pb2.Task) -> failures.ExitCode:
    """1 for failed rows and for a failed, cancelled or blocked task, else 0."""
    not_well = task.status in NOT_WELL or task.progress.failed_records > 0
    return failures.ExitCode.FAILED if not_well else failures.ExitCode.OK


def rows_with_outcome(task: task_pb2.Task) -> int:
    """Rows that are indexed, skipped or failed so far."""
    progress = task.progress
    return progress.processed_records + progress.skipped_records + progress.failed_records
