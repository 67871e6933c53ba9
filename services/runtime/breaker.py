"""A circuit breaker: after several failures in a row nobody tries for a while, ever longer."""

import asyncio
import math
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger()

FAILURES_TO_OPEN = 5
FIRST_SECONDS = 1.0
LONGEST_SECONDS = 30.0
# What was said so long ago says nothing of now: who failed may not have tried again.
NEWS_SECONDS = 120.0


class Breaker:
    """Closed: everybody passes. Open: callers wait for the next time to try; success closes it."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._failures = 0
        self._openings = 0
        self._open_until = 0.0
        self._why, self._said_at = "", -math.inf

    @property
    def open(self) -> bool:
        """Whether it is not yet time to try again."""
        return self._clock() < self._open_until

    @property
    def why(self) -> str:
        """The last failure, in a sentence; "" where none was told of late, or it answered since."""
        return self._why if self._clock() - self._said_at <= NEWS_SECONDS else ""

    async def passage(self) -> None:
        """Wait until trying is worth it. To be passed before a permit is taken: a permit does not keep."""
        await asyncio.sleep(max(0.0, self._open_until - self._clock()))

    def succeed(self) -> None:
        """It answered."""
        if self._failures >= FAILURES_TO_OPEN:
            log.info("A dependency answers again, and is used as before.", action="circuit_closed", circuit=self._name)
        self._failures = self._openings = 0
        self._open_until = 0.0
        self._why = ""

    def say(self, why: str) -> None:
        """It was of no use, without a failure; `why` is a sentence for people."""
        self._why, self._said_at = why, self._clock()

    def fail(self, why: str = "") -> None:
        """It failed; `why` is a sentence for people."""
        self._failures += 1
        self.say(why)
        if self._failures >= FAILURES_TO_OPEN and not self.open:
            # By openings, not by failures: calls under way at once fail together and are one sign, not many.
            seconds = min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** min(self._openings, 10))
            self._openings += 1
            self._open_until = self._clock() + seconds
            log.warning(
                "A dependency failed several times in a row: nobody tries it for some seconds.",
                action="circuit_open",
                circuit=self._name,
                seconds=seconds,
            )
