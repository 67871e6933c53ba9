"""How late the event loop comes to what is due: near nothing where it waits, milliseconds where processors are full.

The CPU that the process uses would not tell: beside others on a full machine it comes late with little to do.
"""

import asyncio
import time

from services.runtime import metrics

# How often it looks: often where the work follows it; elsewhere people do, and each look is a step of the loop.
OFTEN_SECONDS = 0.02
SELDOM_SECONDS = 0.1
# The average is of the last half second or so.
AVERAGE_SECONDS = 0.4

SECONDS = metrics.gauge(
    "vectorline_loop_late_seconds", "How late the event loop lately was, on average.", over=metrics.Over.EACH
)


class Lateness:
    """Measures it, as long as `run` runs."""

    def __init__(self, every_seconds: float = SELDOM_SECONDS) -> None:
        self.seconds = 0.0
        self._every_seconds = every_seconds
        SECONDS.set_function(lambda: self.seconds)

    async def run(self) -> None:
        """Measure for ever."""
        while True:
            due = time.monotonic() + self._every_seconds
            await asyncio.sleep(self._every_seconds)
            weight = self._every_seconds / AVERAGE_SECONDS
            self.seconds += weight * (max(0.0, time.monotonic() - due) - self.seconds)
