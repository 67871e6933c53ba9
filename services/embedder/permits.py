"""Permits of one process: it asks the limiter for one at a time, for a search before bulk.

Just in time and in order: the cost of a bulk request is looked up at the moment of asking, so that a request that
waits for quota goes on filling, and nothing but the front of the queue ever bounces off the limiter.
"""

import asyncio
import dataclasses
import heapq
import itertools
import random
from collections.abc import Callable

import structlog

from services.embedder import limiter as limiters

log = structlog.get_logger()

LIMITER_RETRY_SECONDS = 0.5
NOTHING_TO_START_SECONDS = 0.01
# The longest sleep between two questions; a pause may be cut short by an operator who clears it.
LONGEST_SLEEP_SECONDS = 5.0

SEARCH = 0
BULK = 1


class AccountBlocked(Exception):
    """The account refuses; nothing is bought until it is good again."""


@dataclasses.dataclass(order=True)
class _Waiter:
    rank: int
    number: int
    cost: Callable[[], int | None] = dataclasses.field(compare=False)
    granted: asyncio.Future[None] = dataclasses.field(compare=False)


class Permits:
    """The local queue in front of the global limiter."""

    def __init__(self, limiter: limiters.Limiter) -> None:
        self._limiter = limiter
        self._waiters: list[_Waiter] = []
        self._numbers = itertools.count()
        self._arrived = asyncio.Event()

    async def take(self, cost: Callable[[], int | None], *, search: bool = False) -> None:
        """Wait for a permit to start one request.

        `cost` answers the request's tokens and is asked at each attempt; None: nothing could start at this moment.

        Raises:
            AccountBlocked: The account refuses (bulk and search alike).
        """
        loop = asyncio.get_running_loop()
        waiter = _Waiter(SEARCH if search else BULK, next(self._numbers), cost, loop.create_future())
        heapq.heappush(self._waiters, waiter)
        self._arrived.set()
        try:
            await waiter.granted
        finally:
            if not waiter.granted.done() or waiter.granted.cancelled():
                self._forget(waiter)

    async def run(self) -> None:
        """Serve the queue for ever."""
        while True:
            self._arrived.clear()
            if not self._waiters:
                await self._arrived.wait()
                continue
            seconds = await self._ask(self._waiters[0])
            if seconds > 0:
                await self._sleep(seconds)

    async def _ask(self, waiter: _Waiter) -> float:
        """Ask for the first waiter; the seconds to wait before the next question."""
        tokens = waiter.cost()
        if tokens is None:
            return NOTHING_TO_START_SECONDS
        try:
            answer = await self._limiter.acquire(tokens, search=waiter.rank == SEARCH)
        except limiters.LimiterUnavailable as error:
            log.warning("The limiter does not answer, so nothing is bought.", action="limiter_down", error=str(error))
            return LIMITER_RETRY_SECONDS * random.uniform(0.5, 1.5)  # noqa: S311 (jitter)
        if answer.verdict is limiters.Verdict.WAIT:
            return max(answer.seconds, 0.001)
        self._forget(waiter)
        if not waiter.granted.done():
            if answer.verdict is limiters.Verdict.BLOCKED:
                waiter.granted.set_exception(AccountBlocked())
            else:
                waiter.granted.set_result(None)
        return 0.0

    async def _sleep(self, seconds: float) -> None:
        """Until it is worth asking again: the time has come, or somebody new (a search?) arrived."""
        try:
            async with asyncio.timeout(min(seconds, LONGEST_SLEEP_SECONDS)):
                await self._arrived.wait()
        except TimeoutError:
            pass

    def _forget(self, waiter: _Waiter) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)
            heapq.heapify(self._waiters)
