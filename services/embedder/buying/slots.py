"""Slots for requests: so many new ones are under way at once, and so many that are tried again.

What waits between two attempts holds none: requests that cannot succeed keep nobody from buying, and new ones, whose
chunks may wait for the indexer, keep none of the others from being tried again.
"""

import asyncio

from services.runtime import breaker


class Slot:
    """A place for one request, held until it is given back."""

    def __init__(self, new: asyncio.Semaphore, again: asyncio.Semaphore, circuit: breaker.Breaker) -> None:
        self._held: asyncio.Semaphore | None = new
        self._again = again
        self._circuit = circuit

    def release(self) -> None:
        """Give it back; a second time changes nothing."""
        if self._held is not None:
            self._held.release()
            self._held = None

    async def rest(self, seconds: float) -> None:
        """Let others have it for so long, and until trying is worth it again; then take one of those for retries."""
        self.release()
        await asyncio.sleep(seconds)
        while True:
            await self._circuit.passage()
            await self._again.acquire()
            if not self._circuit.open:  # it may open for those that wait for a slot
                self._held = self._again
                return
            self._again.release()


class Slots:
    """Hands them out, first come first served."""

    def __init__(self, count: int, circuit: breaker.Breaker) -> None:
        self._new = asyncio.Semaphore(count)
        self._again = asyncio.Semaphore(count)
        self._circuit = circuit

    async def take(self) -> Slot:
        """Wait for one for a new request. To be taken before a permit is: a permit does not keep."""
        await self._new.acquire()
        return Slot(self._new, self._again, self._circuit)
