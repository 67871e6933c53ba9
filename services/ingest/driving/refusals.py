"""Drives that the ledger answers with what is neither an outage nor a change of the task: given up after a while."""

import time
from collections.abc import Callable

from services.ingest import failures, ledger_client

# In a row, and over so long: one indexer that is broken for a moment fails nobody's task.
TRIES = 5
SECONDS = 60.0


class Refusals:
    """Counts them in this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[int, float]] = {}

    def count(self, task_id: str, defect: ledger_client.LedgerDefect) -> failures.Failure | None:
        """Count one; what the task fails with when that was once too often."""
        tries, since = self._seen.get(task_id, (0, self._clock()))
        self._seen[task_id] = tries + 1, since
        if tries + 1 < TRIES or self._clock() - since < SECONDS:
            return None
        return failures.Failure(
            "LEDGER_REFUSED",
            f"The ledger refused a step of this task {tries + 1} times: {defect}. Report it with these words; nothing "
            f"more of the task is bought.",
        )

    def forget(self, task_id: str) -> None:
        """The task got on, or is over."""
        self._seen.pop(task_id, None)
