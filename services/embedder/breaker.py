"""A circuit breaker: after several failures in a row only one caller at a time tries, ever more seldom."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import structlog

log = structlog.get_logger()

FAILURES_TO_OPEN = 5
FIRST_SECONDS = 1.0
LONGEST_SECONDS = 30.0


class Breaker:
    """Closed: everybody passes. Open: nobody until a time; then one tries, and closes it or opens it for longer."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._failures = 0
        self._open_until = 0.0
        self._trial = asyncio.Lock()

    @property
    def open(self) -> bool:
        """Whether callers have to wait."""
        return self._failures >= FAILURES_TO_OPEN

    @contextlib.asynccontextmanager
    async def passage(self) -> AsyncIterator[None]:
        """Wait for the right to try; hold it during the try when the circuit is open."""
        if not self.open:
            yield
            return
        async with self._trial:
            while self.open and (left := self._open_until - time.monotonic()) > 0:
                await asyncio.sleep(left)
            yield

    def succeed(self) -> None:
        """It answered."""
        if self.open:
            log.info("It answers again.", action="circuit_closed", circuit=self._name)
        self._failures = 0

    def fail(self) -> None:
        """It failed."""
        self._failures += 1
        if self.open:
            seconds = min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** (self._failures - FAILURES_TO_OPEN))
            self._open_until = time.monotonic() + seconds
            log.warning("It does not answer.", action="circuit_open", circuit=self._name, seconds=seconds)
