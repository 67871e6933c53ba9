"""The loop that keeps an embedder's slots full of chunks."""

import asyncio

import structlog

from services.chunks import consumer as consumers
from services.chunks.delivery import Delivery
from services.embedder import appetite, purchasing, worker
from services.runtime import background, failpoints

log = structlog.get_logger()


class Consuming:
    """Takes as many chunks as there are free slots and works each in a task of its own."""

    def __init__(
        self,
        consumer: consumers.Consumer,
        work: worker.Worker,
        purchases: purchasing.Purchasing,
        hunger: appetite.Appetite,
    ) -> None:
        self._consumer = consumer
        self._worker = work
        self._purchases = purchases
        self._appetite = hunger
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None
        self._draining = False

    async def start(self) -> None:
        """Begin."""
        await self._consumer.start()
        self._loop = asyncio.create_task(background.forever("consuming", self._run))

    async def _run(self) -> None:
        while not self._draining:
            free = self._appetite.wanted - len(self._tasks)
            taken = self._begin_all(await self._consumer.take(free))
            if free > 0:  # every slot filled: probably there are more where these came from
                self._purchases.expect(more=taken == free)

    def _begin_all(self, deliveries: list[Delivery]) -> int:
        for delivery in deliveries:
            failpoints.hit("embedder.after_take")
            self._begin(delivery)
        return len(deliveries)

    def _begin(self, delivery: Delivery) -> None:
        task = asyncio.create_task(self._worker.work(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Take nothing more, hand back what is not bought, finish what is."""
        self._draining = True
        self._consumer.stop_taking()
        self._purchases.expect(more=False)
        if self._loop is not None:
            await self._loop
        self._worker.drain()
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Stop at once; what is still held goes back to the queue."""
        if self._loop is not None:
            self._loop.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._consumer.close()
