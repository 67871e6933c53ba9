"""How many chunks an embedder has in hand: as many as keep OpenAI and the index busy, and no more than that needs.

Where the quota, OpenAI or the index is what chunks wait for, many are wanted, so that requests are full and follow each
other without a gap. Where the processors are, more chunks do not go through them any faster: each would only hold its
vectors for longer (6 MB), and a small task wait behind all of them.
"""

from collections.abc import Callable

import prometheus_client

# One is worked while the other is bought.
LEAST = 2
# A chunk that waits less for OpenAI than for everything else was taken too early, if the processors are what it waits
# for: an event loop with nothing to do is 0.4 ms late, one of a full machine 2 to 6.
FAIR_SHARE = 0.5
LATE_SECONDS = 0.0015

CHUNKS = prometheus_client.Gauge("vectorline_chunks_wanted", "Chunks that this embedder wants in hand at once.")


class Appetite:
    """A number of chunks, which follows what the last ones waited for.

    Args:
        most: The number at the beginning, and the largest.
        late: How late the event loop is, in seconds.
    """

    def __init__(self, most: int, late: Callable[[], float]) -> None:
        self._late = late
        self._most = most
        self._least = min(LEAST, most)
        # Chunks to have in hand now.
        self.wanted = most
        CHUNKS.set(most)

    def learn(self, *, seconds: float, openai_seconds: float, rationed: bool) -> None:
        """A chunk is settled.

        Args:
            seconds: From its coming to its end.
            openai_seconds: How long of that it stood in the line or was with OpenAI.
            rationed: The limiter held it up.
        """
        if rationed:  # a request that is missed is quota that nobody can use any more
            self.wanted = self._most
        elif openai_seconds >= FAIR_SHARE * seconds or self._late() < LATE_SECONDS:
            self.wanted = min(self._most, self.wanted + 1)
        else:
            self.wanted = max(self._least, self.wanted - 1)
        CHUNKS.set(self.wanted)
