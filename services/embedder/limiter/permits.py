"""Permits of one process: it asks the limiter for one at a time, for a search before bulk.

Just in time and in order: the cost of a bulk request is looked up at the moment of asking, so that a request that
waits for quota goes on filling, and nothing but the front of each line ever bounces off the limiter. Whoever has
nothing to start at the moment is passed over and blocks nobody.
"""

import asyncio
import bisect
import collections
import dataclasses
import itertools
import math
import random
import time
from collections.abc import Callable

import prometheus_client
import structlog

from services.embedder.limiter import promise

log = structlog.get_logger()

SECONDS = prometheus_client.Histogram(
    "vectorline_permit_seconds",
    "Seconds until a request might start, by who asked.",
    ["asker"],
    buckets=(0.005, 0.02, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60, 300),
)
WAITED = {rank: SECONDS.labels(asker.value) for rank, asker in enumerate((promise.Asker.SEARCH, promise.Asker.BULK))}

LIMITER_RETRY_SECONDS = 0.5
# When nobody can start anything, they are asked again so soon even if nobody calls `nudge`.
IDLE_SECONDS = 0.05
# The longest sleep between two questions; a pause may be cut short by an operator who clears it.
LONGEST_SLEEP_SECONDS = 5.0

# How long a search waits at the head of the line is known from so many of the last.
PACE_OF = 16

SEARCH = 0
BULK = 1


class AccountBlocked(Exception):
    """The account refuses; nothing is bought until it is good again."""


@dataclasses.dataclass(eq=False)
class _Waiter:
    rank: int
    number: int
    cost: Callable[[], int | None]
    # True: granted. False: the account is blocked. Or what `cost` raised.
    granted: asyncio.Future[bool | Exception]
    # Of the loop's clock.
    came: float
    # The limiter said once that it has to wait.
    rationed: bool = False
    # When it was granted, of the loop's clock.
    at: float = math.inf

    @property
    def place(self) -> tuple[int, int]:
        """Searches first, then first come, first served."""
        return self.rank, self.number


class Permits:
    """The local queue in front of the global limiter.

    Args:
        tokens_per_second: The token rate until the limiter is asked for the first time; 0: none.
    """

    def __init__(self, limiter: promise.Limiter, tokens_per_second: float = 0.0) -> None:
        self._limiter = limiter
        self._waiters: list[_Waiter] = []
        self._numbers = itertools.count()
        self._changed = asyncio.Event()
        self._search_came = asyncio.Event()
        # For searches: when the last one began, how long each of the last stood at the head of the line, and when the
        # one at its head may ask again.
        self._search_began = -math.inf
        self._paces: collections.deque[float] = collections.deque(maxlen=PACE_OF)
        self._search_due = -math.inf
        self.limiter_down = False
        # The token rate in force when the limiter was last asked; 0: none.
        self.tokens_per_second = tokens_per_second

    async def take(self, cost: Callable[[], int | None], *, search: bool = False) -> bool:
        """Wait for a permit to start one request.

        `cost` answers the request's tokens and is asked at each attempt; None: nothing could start at this moment.
        What it raises ends the wait. Answers whether the quota held it up.

        Raises:
            AccountBlocked: The account refuses (bulk and search alike).
        """
        loop = asyncio.get_running_loop()
        began = time.monotonic()
        waiter = _Waiter(SEARCH if search else BULK, next(self._numbers), cost, loop.create_future(), loop.time())
        self._line_up(waiter)
        try:
            while (outcome := await waiter.granted) is True and loop.time() - waiter.at > promise.STALE_GRANT_SECONDS:
                # This process stood still between the grant and here: others may start by now.
                waiter.granted = loop.create_future()
                self._line_up(waiter)
        finally:
            # A grant for one who has just been cancelled is lost: one request fewer, never one too many.
            self._forget(waiter)
        if isinstance(outcome, Exception):
            raise outcome
        if not outcome:
            raise AccountBlocked
        WAITED[waiter.rank].observe(time.monotonic() - began)
        return waiter.rationed

    def _line_up(self, waiter: _Waiter) -> None:
        bisect.insort(self._waiters, waiter, key=lambda each: each.place)
        if waiter.rank == SEARCH:
            self._search_came.set()
        self.nudge()

    def search_seconds(self) -> float:
        """How long a search that came now would probably wait: behind those that do, each at the pace of the last."""
        waiting = sum(each.rank == SEARCH for each in self._waiters)
        if not waiting:
            return 0.0
        pace = sum(self._paces) / len(self._paces) if self._paces else 0.0
        return max(self._search_due - asyncio.get_running_loop().time(), 0.0) + waiting * pace

    def nudge(self) -> None:
        """Somebody's cost may have changed from None to something."""
        self._changed.set()

    async def run(self) -> None:
        """Serve the queue for ever."""
        while True:
            self._changed.clear()
            self._search_came.clear()
            # Bulk asks beside a search that has to wait, so that the limiter knows of both: each has its share.
            asked: dict[int, float] = {}
            for rank in (SEARCH, BULK):
                if (front := self._front(rank)) is not None:
                    asked[rank] = await self._ask(*front)
                    if asked[rank] <= 0:
                        break
            if not asked:
                await _until(self._changed, IDLE_SECONDS if self._waiters else None)
                continue
            if (seconds := min(asked.values())) > 0:
                if SEARCH in asked:
                    self._search_due = asyncio.get_running_loop().time() + asked[SEARCH]
                # A search that comes meanwhile asks at once: its question keeps bulk from overtaking it elsewhere.
                newcomer = asyncio.Event() if SEARCH in asked else self._search_came
                await _until(newcomer, min(seconds, LONGEST_SLEEP_SECONDS))

    def _front(self, rank: int) -> tuple[_Waiter, int] | None:
        """The first of a rank who could start something now, and what it costs."""
        for waiter in [each for each in self._waiters if each.rank == rank]:
            try:
                tokens = waiter.cost()
            except Exception as error:  # whatever it is, it is the taker's to handle, and must not end this loop
                self._end(waiter, error)
                continue
            if tokens is not None:
                return waiter, tokens
        return None

    async def _ask(self, waiter: _Waiter, tokens: int) -> float:
        """Ask for a waiter; the seconds to wait before the next question."""
        asker = promise.Asker.SEARCH if waiter.rank == SEARCH else promise.Asker.BULK
        try:
            answer = await self._limiter.acquire(tokens, asker)
        except promise.LimiterUnavailable as error:
            self._tell(error)
            return LIMITER_RETRY_SECONDS * random.uniform(0.5, 1.5)  # noqa: S311 (jitter)
        self._tell(None)
        if answer.verdict is not promise.Verdict.BLOCKED:
            self.tokens_per_second = answer.tokens_per_second
        if answer.verdict is promise.Verdict.WAIT:
            waiter.rationed = True
            return max(answer.seconds, 0.001)
        started = answer.verdict is promise.Verdict.START
        if started and waiter.rank == SEARCH:
            now = asyncio.get_running_loop().time()
            self._paces.append(now - max(waiter.came, self._search_began))
            self._search_began = now
        self._end(waiter, started)
        return 0.0

    def _end(self, waiter: _Waiter, outcome: bool | Exception) -> None:
        self._forget(waiter)
        waiter.at = asyncio.get_running_loop().time()
        if not waiter.granted.done():
            waiter.granted.set_result(outcome)

    def _forget(self, waiter: _Waiter) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    def _tell(self, error: Exception | None) -> None:
        """Say once that the limiter went away, and once that it is back."""
        if error is not None and not self.limiter_down:
            log.warning("The limiter does not answer, so nothing is bought.", action="limiter_down", error=str(error))
        elif error is None and self.limiter_down:
            log.info("The limiter answers again.", action="limiter_back")
        self.limiter_down = error is not None


async def _until(event: asyncio.Event, seconds: float | None) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
