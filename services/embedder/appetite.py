"""How many chunks an embedder has in hand: as many as go through faster for it, and no more.

Where the quota is what chunks wait for, all are wanted, so that requests are full and follow each other without a gap.
Where the processors are, or an OpenAI or an index that is busy with our own other chunks, more of them hardly go
through any faster (two, four and eight at a time on two full cores: 13,300, 15,100 and 14,800 rows/s): each holds its
vectors for longer (6 MB), and a small task waits behind all of them. Which it is, is tried out: on a full machine half
as many are in hand for a while, or twice as many, and what went through in both cases is compared.
"""

import asyncio
import dataclasses
import math
from collections.abc import Callable

import prometheus_client

# One is worked while the other is bought.
LEAST = 2
# Twice as many chunks are worth it if so many times as many go through. If others are waited for it is twice as many,
# if the processors are it is 1.1 times.
WORTH = 1.5
# Chunks by which a number is judged: twice the number, or so many. One answer of OpenAI may take several times another.
SAMPLE = 12
# Judgements between two trials: an unlucky one costs half of the speed while it lasts.
REST = 16
# An event loop with nothing to do is 0.4 ms late, one of a full machine 2 to 6.
LATE_SECONDS = 0.0015

CHUNKS = prometheus_client.Gauge("vectorline_chunks_wanted", "Chunks that this embedder wants in hand at once.")


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


@dataclasses.dataclass(frozen=True, order=True)
class _Speed:
    """What went through with so many chunks in hand."""

    chunks: int
    a_second: float


class Appetite:
    """A number of chunks, which follows how fast they go through.

    Args:
        most: The number at the beginning, and the largest.
        late: How late the event loop is, in seconds.
        clock: Seconds; the running loop's time unless given.
    """

    def __init__(self, most: int, late: Callable[[], float], clock: Callable[[], float] = _loop_time) -> None:
        self._late = late
        self._clock = clock
        self._most = most
        self._changed_at = -math.inf
        # Of the chunks that came and were settled since.
        self._seconds: list[float] = []
        # Before the trial that runs; None: none does.
        self._before: _Speed | None = None
        self._upwards = False
        self._resting = 0
        # Chunks to have in hand now.
        self.wanted = most
        CHUNKS.set(most)

    def learn(self, *, seconds: float, rationed: bool) -> None:
        """A chunk is settled.

        Args:
            seconds: From its coming to its end.
            rationed: The quota held it up, or would have taken more with it.
        """
        if rationed:  # a request that is missed is quota that nobody can use any more
            self._want(self._most)
        elif self._late() < LATE_SECONDS:
            self._want(self.wanted + 1)
        elif self._clock() - seconds >= self._changed_at:
            self._seconds.append(seconds)
            sample = max(SAMPLE, 2 * self.wanted)
            if len(self._seconds) == self.wanted + sample:  # the first went beside such as came before the change
                self._judge(_Speed(self.wanted, self.wanted * sample / sum(self._seconds[-sample:])))

    def _judge(self, speed: _Speed) -> None:
        self._seconds.clear()
        before, self._before = self._before, None
        if before is None:
            self._resting -= 1
            if self._resting <= 0:
                self._try(speed)
            return
        few, many = sorted((before, speed))
        better = many if many.a_second >= WORTH * few.a_second else few
        self._resting = REST
        if better is before:
            self._want(before.chunks)
        elif speed.chunks not in (LEAST, self._most):
            self._upwards = speed.chunks > before.chunks  # on in the same direction
            self._try(speed)

    def _try(self, speed: _Speed) -> None:
        """Half as many, or twice as many; by turns, where both are possible."""
        upwards = speed.chunks <= LEAST or (self._upwards and speed.chunks < self._most)
        self._upwards = not upwards
        self._want(2 * speed.chunks if upwards else speed.chunks // 2)
        if self.wanted != speed.chunks:
            self._before = speed

    def _want(self, chunks: int) -> None:
        self._before = None
        bounded = min(self._most, max(LEAST, chunks))
        if bounded != self.wanted:
            self.wanted, self._changed_at = bounded, self._clock()
            self._seconds.clear()
        CHUNKS.set(self.wanted)
