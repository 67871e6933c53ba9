"""Progress where nothing may move: a line at each change of status, and now and then one between."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from cli import outcome, pace
from vectorline_client import messages

LINE_SECONDS: Final = 5.0  # between two lines about the same status

_MEGABYTE: Final = 1_000_000


class PlainUpload:
    """Lines about an upload."""

    def __init__(
        self,
        say: Callable[[str], None],
        name: str,
        total_bytes: int | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._name = name
        self._total = total_bytes
        self._clock = clock
        self._last_line = clock()

    def sent(self, sent_bytes: int) -> None:
        """Note so many bytes in all."""
        if self._clock() - self._last_line >= LINE_SECONDS:
            self._last_line = self._clock()
            self._say(f"uploading {self._name}: {sent_bytes / _MEGABYTE:.1f}{self._share(sent_bytes)}")

    def _share(self, sent_bytes: int) -> str:
        if self._total is None:  # a pipe
            return " MB"
        percent = 100 * sent_bytes / max(self._total, 1)
        return f" of {self._total / _MEGABYTE:.1f} MB ({percent:.0f} %)"


class PlainTask:
    """Lines about a task."""

    def __init__(self, say: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._pace = pace.Pace(clock)
        self._last_line = float("-inf")
        self._last_status = ""

    def show(self, task: messages.Task) -> None:
        """The task as it is now."""
        if task.progress.total_records:
            self._pace.add(outcome.rows_with_outcome(task))
        due = self._clock() - self._last_line >= LINE_SECONDS
        if task.status != self._last_status or due:
            self._last_line, self._last_status = self._clock(), task.status
            self._say(self._sentence(task))

    def reconnecting(self) -> None:
        """The stream broke."""
        self._say("the connection broke; connecting again ...")

    def _sentence(self, task: messages.Task) -> str:
        progress = task.progress
        parts = [task.status]
        if progress.total_records:
            done = outcome.rows_with_outcome(task)
            percent = 100 * done / progress.total_records
            parts = [f"{task.status}: {done:,} of {progress.total_records:,} rows ({percent:.0f} %)"]
            left = self._pace.seconds_left(progress.total_records - done)
            if left is not None and not outcome.is_over(task):
                parts += [f"{self._pace.rows_per_second:,.0f} rows/s", f"{pace.clock_time(left)} left"]
        if progress.failed_records:
            parts.append(f"{progress.failed_records:,} failed")
        if task.stalled_since is not None:
            parts.append(f"no progress since {task.stalled_since:%H:%M:%S} UTC")
        return ", ".join(parts)
