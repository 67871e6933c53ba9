"""How fast rows get their outcome, and how long the rest will take."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable
from typing import Final

WINDOW_SECONDS: Final = 30.0


class Pace:
    """Rows per second over the last half minute.

    The first count only starts the clock: rows that were done before somebody looked are no pace of ours.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: collections.deque[tuple[float, int]] = collections.deque()

    def add(self, rows: int) -> None:
        """Note that `rows` rows have an outcome by now."""
        now = self._clock()
        self._counts.append((now, rows))
        while len(self._counts) > 2 and self._counts[1][0] <= now - WINDOW_SECONDS:
            self._counts.popleft()

    @property
    def rows_per_second(self) -> float:
        """0.0 while there is no pace yet."""
        if len(self._counts) < 2:
            return 0.0
        (since, before), (_, rows) = self._counts[0], self._counts[-1]
        return max(0, rows - before) / max(self._clock() - since, 0.001)

    def seconds_left(self, rows_left: int) -> float | None:
        """Seconds until `rows_left` rows are done, None while there is no pace."""
        rate = self.rows_per_second
        return rows_left / rate if rate > 0 else None


def clock_time(seconds: float) -> str:
    """Minutes and seconds, ``1:05``; from an hour on ``1:00:05``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
