"""The queue on the real Valkey."""

from collections.abc import AsyncIterator, Callable

import pytest_asyncio
import redis.asyncio

from services.chunks import settings, valkey_store
from services.chunks.consumer import Consumer
from services.valkey import connection
from tests.support import chunks
from tests.support.valkey import ValkeyServer

MakeStore = Callable[..., valkey_store.ValkeyStore]
MakeConsumer = Callable[..., Consumer]

WIDE = settings.QueueLimits(window_floor=1000)


@pytest_asyncio.fixture
async def client(valkey: ValkeyServer) -> AsyncIterator[redis.asyncio.Redis]:
    client = connection.connect(valkey.url)
    yield client
    await client.aclose()


@pytest_asyncio.fixture
async def make_store(client: redis.asyncio.Redis) -> MakeStore:
    """Stores on the same server: as if each were in a process of its own."""

    def make(timing: settings.Timing = chunks.CALM, limits: settings.QueueLimits = WIDE) -> valkey_store.ValkeyStore:
        return valkey_store.ValkeyStore(client, timing, limits)

    return make


@pytest_asyncio.fixture
async def queue(make_store: MakeStore) -> valkey_store.ValkeyStore:
    """Production's times."""
    return make_store()


@pytest_asyncio.fixture
async def quick(make_store: MakeStore) -> valkey_store.ValkeyStore:
    """Leases of 0.4 s."""
    return make_store(chunks.QUICK)


@pytest_asyncio.fixture
async def embedder() -> AsyncIterator[MakeConsumer]:
    """Consumers, closed at the end."""
    made: list[Consumer] = []

    def make(store: valkey_store.ValkeyStore, slots: int = 4, name: str = "") -> Consumer:
        made.append(Consumer(store, slots=slots, name=name))
        return made[-1]

    yield make
    for consumer in made:
        await consumer.close()
