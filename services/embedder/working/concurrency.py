"""How many slots of chunks an embedder has in hand: as many as keep OpenAI and the index busy, and no more than needed.

A slot is a chunk of a thousand rows or more, or as many small ones (`chunks.settings.QueueLimits`): requests are filled
with rows, and memory with bytes, whatever a task's chunk_size is.

Where the quota, OpenAI or the index is what chunks wait for, many are wanted, so that requests are full and follow each
other without a gap. Where the processors are, more chunks hardly go through them any faster (two, four and eight at a
time: 13,300, 15,100 and 14,800 rows/s on two cores): each holds its vectors for longer (6 MB), and a small task waits
behind all of them.
"""

from collections.abc import Callable

from services.runtime import metrics

# One is worked while the other is bought.
LEAST = 2
# A chunk that waited for others for less of its time than this waited for our own work, or behind other chunks.
OTHERS_SHARE = 0.75
# An event loop with nothing to do is 0.4 ms late, one of a full machine 2 to 6.
LATE_SECONDS = 0.0015

CHUNKS = metrics.gauge(
    "vectorline_chunks_wanted", "Slots of chunks that this embedder wants filled at once.", over=metrics.Over.SUM
)


class Concurrency:
    """A number of slots, which follows what the last ones waited for.

    Args:
        most: The number at the beginning, and the largest.
        late: How late the event loop is, in seconds.
    """

    def __init__(self, most: int, late: Callable[[], float]) -> None:
        self._late = late
        self._most = most
        # Slots to have filled now.
        self.wanted: float = most
        CHUNKS.set(most)

    def learn(self, *, seconds: float, others_seconds: float, rationed: bool, share: float = 1.0) -> None:
        """A chunk is settled.

        Args:
            share: What it filled of a slot: many small ones tell no more than a large one.
            seconds: From its coming to its end.
            others_seconds: How long of that it waited for a permit, for OpenAI and for its settlement.
            rationed: The quota held it up, or would have taken more with it.
        """
        if rationed:  # a request that is missed is quota that nobody can use any more
            self.wanted = self._most
        else:
            good = others_seconds >= OTHERS_SHARE * seconds or self._late() < LATE_SECONDS
            self.wanted = min(self._most, max(LEAST, self.wanted + (share if good else -share)))
        CHUNKS.set(self.wanted)
