"""Purchasing over fakes: a provider and a limiter in memory, orders with gates that are kept fresh."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from services.embedder.buying import packing, purchasing
from services.embedder.buying.order import Order
from services.embedder.limiter import permits
from services.embedder.limiter.memory import MemoryLimiter
from services.embedder.limiter.promise import Quota
from tests.support import embeddings


class Shop:
    """Purchasing over fakes."""

    def __init__(
        self,
        source: embeddings.FakeEmbeddings,
        *,
        rate: float = 0.0,
        pack: packing.RequestSize | None = None,
        in_flight: int = 8,
    ) -> None:
        self.source = source
        self.limiter = MemoryLimiter(Quota(rate, 0, 300_000))
        self.permits = permits.Permits(self.limiter)
        self.purchases = purchasing.Purchasing(
            source,
            self.permits,
            self.limiter,
            pack or packing.RequestSize(),
            requests_in_flight=in_flight,
            request_limited=rate > 0,
        )
        self.guards: dict[Order, asyncio.Task[None]] = {}

    def order(self, texts: list[str], *, gate: bool = True, first: bool = False) -> Order:
        """An order in the line, its gate kept fresh as a worker does."""
        order = Order(texts, [1] * len(texts), lambda: None, first=first)
        if gate:
            self.open(order)
        self.purchases.place(order)
        return order

    def open(self, order: Order) -> None:
        async def keep() -> None:
            while True:
                order.admit(asyncio.get_running_loop().time())
                await asyncio.sleep(1.0)

        order.admit(asyncio.get_running_loop().time())
        self.guards[order] = asyncio.create_task(keep())

    def close(self, order: Order) -> None:
        self.guards.pop(order).cancel()


@contextlib.asynccontextmanager
async def opened(source: embeddings.FakeEmbeddings | None = None, **options: Any) -> AsyncIterator[Shop]:
    shop = Shop(source or embeddings.FakeEmbeddings(), **options)
    loops = [asyncio.create_task(shop.permits.run()), asyncio.create_task(shop.purchases.run())]
    try:
        yield shop
    finally:
        tasks = [*loops, *shop.guards.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def complete(*orders: Order, seconds: float = 600) -> None:
    async with asyncio.timeout(seconds):
        for order in orders:
            while not order.finished and order.dropped is None:
                await order.change()


def assert_delivered(order: Order) -> None:
    for index, text in enumerate(order.texts):
        if index not in order.refusals:
            assert order.vectors[index] == embeddings.vector(text)
