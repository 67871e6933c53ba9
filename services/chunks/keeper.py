"""Keeps what a process holds: heartbeats, presence and owed strikes, by a task that is independent of the work."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

import structlog

from services.chunks import entry, errors, presence, store, strikes
from services.chunks.delivery import Delivery

_log = structlog.get_logger(__name__)

_RETRY_SECONDS = 1.0


class Keeper:
    """Renews every lease of a consumer each ``timing.heartbeat_seconds``, in one script call.

    A delivery that the queue says is not ours, or that made no progress for ``timing.task_timeout_seconds``, is marked
    lost. An outage marks nothing: ownership is asked again when Valkey is back.
    """

    def __init__(
        self,
        queue: store.Store,
        name: str,
        slots: int,
        held: Mapping[entry.Ref, Delivery],
        book: strikes.Strikes,
    ) -> None:
        self._store = queue
        self._name = name
        self._slots = slots
        self._held = held
        self._book = book
        self._reap_at = 0.0
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        if not self._tasks:
            # Apart: four calls to a slow Valkey one after the other would make every heartbeat late.
            rounds = (self._beat_all, self._house)
            self._tasks = [asyncio.create_task(self._run(each), name="chunks-keeper") for each in rounds]

    async def stop(self) -> None:
        """End; leases are no longer renewed."""
        tasks, self._tasks = self._tasks, []
        self._stopping = True
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, work: Callable[[], Awaitable[None]]) -> None:
        while not self._stopping:  # a cancel alone may be lost in a client's depths
            pause_seconds = self._store.timing.heartbeat_seconds
            try:
                await work()
            except errors.QueueUnavailable:
                pause_seconds = min(pause_seconds / 4, _RETRY_SECONDS)
            except Exception:  # a heartbeat that ends silently would lose every chunk in hand
                _log.exception("A heartbeat failed.", action="heartbeat_failed", consumer=self._name)
                pause_seconds = min(pause_seconds / 4, _RETRY_SECONDS)
            await asyncio.sleep(pause_seconds)

    async def _beat_all(self) -> None:
        await self.beat(self._held.values())

    async def _house(self) -> None:
        await self._store.announce(presence.EMBEDDERS, self._name, self._slots)
        await self._book.settle_debts()
        now = asyncio.get_running_loop().time()
        if now >= self._reap_at:
            gone = await self._store.reap()
            self._reap_at = now + self._store.timing.reclaim_seconds
            if gone:
                _log.info("Dead consumers were removed.", action="consumers_removed", consumers=gone)

    async def beat(self, deliveries: Iterable[Delivery]) -> None:
        """Renew the leases of deliveries; mark those lost that are.

        Raises:
            errors.QueueUnavailable: Nothing is known, nothing is marked.
        """
        oldest = asyncio.get_running_loop().time() - self._store.timing.task_timeout_seconds
        asked = []
        for delivery in list(deliveries):
            if delivery.lost.is_set():
                continue
            if delivery.progressed_at < oldest:
                delivery.lose(Delivery.NO_PROGRESS)
            else:
                asked.append((delivery, delivery.claim))
        answers = await self._store.heartbeat(self._name, [claim for _, claim in asked])
        for (delivery, claim), owned in zip(asked, answers, strict=True):
            # In the meantime it may have ended, or been handed to this very process again.
            if not owned and delivery.claim == claim and self._held.get(delivery.ref) is delivery:
                delivery.lose(Delivery.NOT_OWNER)
