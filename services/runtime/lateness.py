"""How late the event loop comes to what is due: near nothing where it waits, milliseconds where processors are full.

The CPU that the process uses would not tell: beside others on a full machine it comes late with little to do.
"""

import asyncio
import time

from services.runtime import metrics

EVERY_SECONDS = 0.02
# Of the last half second or so.
WEIGHT = 0.05

SECONDS = metrics.gauge(
    "vectorline_loop_late_seconds", "How late the event loop lately was, on average.", over=metrics.Over.EACH
)


class Lateness:
    """Measures it, as long as `run` runs."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def run(self) -> None:
        """Measure for ever."""
        while True:
            due = time.monotonic() + EVERY_SECONDS
            await asyncio.sleep(EVERY_SECONDS)
            self.seconds += WEIGHT * (max(0.0, time.monotonic() - due) - self.seconds)
            SECONDS.set(self.seconds)
