"""How many chunks an embedder has in hand: as many as keep OpenAI and the index busy, and no more than that needs.

Where the quota, OpenAI or the index is what chunks wait for, many are wanted, so that requests are full and follow each
other without a gap. Where the processors are, more chunks hardly go through them any faster (two, four and eight at a
time: 13,300, 15,100 and 14,800 rows/s on two cores): each holds its vectors for longer (6 MB), and a small task waits
behind all of them. So it is where OpenAI or the index is busy with our own other chunks (a model of one's own, on one
machine): what comes on top of what it takes with few in hand is waiting in a line that we make ourselves.
"""

import asyncio
import math
from collections.abc import Callable

import prometheus_client

# One is worked while the other is bought.
LEAST = 2
# A chunk that waited for others for less of its time than this waited for our own work, or behind other chunks.
OTHERS_SHARE = 0.75
# Others who take so much longer than with few chunks in hand have others of ours to do first.
QUEUED = 1.5
# An event loop with nothing to do is 0.4 ms late, one of a full machine 2 to 6.
LATE_SECONDS = 0.0015

CHUNKS = prometheus_client.Gauge("vectorline_chunks_wanted", "Chunks that this embedder wants in hand at once.")


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


class Appetite:
    """A number of chunks, which follows what the last ones waited for.

    Args:
        most: The number at the beginning, and the largest.
        late: How late the event loop is, in seconds.
        clock: Seconds; the running loop's time unless given.
    """

    def __init__(self, most: int, late: Callable[[], float], clock: Callable[[], float] = _loop_time) -> None:
        self._late = late
        self._clock = clock
        self._most = most
        # Seconds that others took of a chunk when few were in hand.
        self._unqueued = math.inf
        self._changed_at = -math.inf
        # Chunks to have in hand now.
        self.wanted = most
        CHUNKS.set(most)

    def learn(self, *, seconds: float, others_seconds: float, rationed: bool) -> None:
        """A chunk is settled.

        Args:
            seconds: From its coming to its end.
            others_seconds: How long of that it waited for a permit, for OpenAI and for its settlement.
            rationed: The quota held it up, or would have taken more with it.
        """
        # Of others it tells what the present number does to them only if it came after the number was changed.
        present = self._clock() - seconds >= self._changed_at
        queued = present and self._queued(others_seconds)
        if rationed:  # a request that is missed is quota that nobody can use any more
            self._want(self._most)
        elif self._late() < LATE_SECONDS:
            self._want(self.wanted + 1)
        elif queued or others_seconds < OTHERS_SHARE * seconds:
            self._want(self.wanted - 1)
        elif present:
            self._want(self.wanted + 1)

    def _queued(self, others_seconds: float) -> bool:
        """Whether others were so slow only because of our other chunks."""
        if self.wanted <= LEAST:
            self._unqueued = others_seconds
        self._unqueued = min(self._unqueued, others_seconds)
        return others_seconds > QUEUED * self._unqueued

    def _want(self, chunks: int) -> None:
        bounded = min(self._most, max(LEAST, chunks))
        if bounded != self.wanted:
            self.wanted, self._changed_at = bounded, self._clock()
        CHUNKS.set(self.wanted)
