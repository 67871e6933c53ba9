"""The loop that keeps as much in hand as the embedder wants: slots full of chunks, several small ones in one."""

import asyncio
import dataclasses

import structlog

from services.chunks import consumer as consumers
from services.chunks.delivery import Delivery
from services.embedder.buying import batching
from services.embedder.working import concurrency, worker
from services.runtime import background, failpoints

log = structlog.get_logger()

# A chunk that is in hand for so long waits for something; it is not what fills the processors.
LONG_SECONDS = 30.0


@dataclasses.dataclass(frozen=True)
class _InWork:
    """A chunk in work: when it was begun, of the loop's clock, and what it fills of a slot."""

    began: float
    share: float


class Consuming:
    """Takes as many chunks as fill the slots that are wanted, and works each in a task of its own."""

    def __init__(
        self,
        consumer: consumers.Consumer,
        work: worker.Worker,
        batcher: batching.Batcher,
        wanted: concurrency.Concurrency,
    ) -> None:
        self._consumer = consumer
        self._worker = work
        self._batcher = batcher
        self._concurrency = wanted
        self._tasks: dict[asyncio.Task[None], _InWork] = {}
        self._loop: asyncio.Task[None] | None = None
        self._draining = False

    async def start(self) -> None:
        """Begin."""
        await self._consumer.start()
        self._loop = asyncio.create_task(background.forever("consuming", self._run))

    async def _run(self) -> None:
        while not self._draining:
            free = self._free()
            filled = self._begin_all(await self._consumer.take(free))
            if free > 0:  # every slot filled: probably there are more where these came from
                self._batcher.expect(more=filled >= free)

    def _free(self) -> float:
        """How many more slots to fill. What is never settled holds its own, and keeps nobody else from the rest."""
        long_ago = asyncio.get_running_loop().time() - LONG_SECONDS
        held = sum(each.share for each in self._tasks.values())
        moving = sum(each.share for each in self._tasks.values() if each.began > long_ago)
        # In thousandths, as the queue counts them: a sum of tenths is not quite one.
        return round(min(self._consumer.slots - held, self._concurrency.wanted - moving), 3)

    def _begin_all(self, deliveries: list[Delivery]) -> float:
        """Begin them; the slots that they fill."""
        for delivery in deliveries:
            failpoints.hit("embedder.after_take")
            self._begin(delivery)
        return round(sum(self._consumer.share(delivery.header) for delivery in deliveries), 3)

    def _begin(self, delivery: Delivery) -> None:
        task = asyncio.create_task(self._worker.work(delivery))
        self._tasks[task] = _InWork(asyncio.get_running_loop().time(), self._consumer.share(delivery.header))
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        self._consumer.wake()  # its slot is free

    async def drain(self) -> None:
        """Take nothing more, hand back what is not bought, finish what is."""
        self._draining = True
        self._consumer.stop_taking()
        self._batcher.expect(more=False)
        if self._loop is not None:
            await self._loop
        self._worker.drain()
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Stop at once; what is still held goes back to the queue."""
        if self._loop is not None:
            self._loop.cancel()
            # What it was just handed out goes back while the consumer is still there.
            await asyncio.gather(self._loop, return_exceptions=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._consumer.close()
