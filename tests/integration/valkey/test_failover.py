"""Two servers, and a name that leads to one of them: whoever is promoted is found within seconds, without a restart."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import redis.asyncio

from services.chunks import errors as queue_errors
from services.chunks import settings, splitting, valkey_store
from services.chunks.consumer import Consumer
from services.embedder.limiter import promise
from services.embedder.limiter import valkey as valkey_limiter
from services.valkey import connection, errors, health
from tests.support import chunks, proxy
from tests.support import valkey as valkey_server

BACK_SECONDS = 10.0
TIMING = settings.Timing(lease_seconds=20, heartbeat_seconds=0.3, reclaim_seconds=0.5, block_seconds=0.3)


class Pair:
    """A primary and its replica, and the name of the primary."""

    def __init__(self, primary: valkey_server.ValkeyServer, replica: valkey_server.ValkeyServer) -> None:
        self.primary = primary
        self.replica = replica
        self.name = proxy.Proxy(primary.port)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.name.port}/0"

    def follow(self) -> None:
        """The replica follows, and has everything."""
        with self.primary.client() as primary, self.replica.client() as replica:
            replica.replicaof("127.0.0.1", self.primary.port)
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                if replica.info("replication")["master_link_status"] == "up" and primary.wait(1, 1000):
                    return
                time.sleep(0.02)
        raise AssertionError("the replica does not follow")

    def demote(self) -> None:
        """Nobody takes writes: between the two steps of a failover."""
        with self.primary.client() as primary:
            primary.replicaof("127.0.0.1", self.replica.port)

    def promote(self) -> None:
        """The other one is the primary from now on, and the name leads to it; connections to the old one stay open."""
        with self.replica.client() as replica:
            replica.replicaof("NO", "ONE")
        self.primary, self.replica = self.replica, self.primary
        self.name.lead_to(self.primary.port)


@pytest.fixture
def pair() -> Iterator[Pair]:
    with valkey_server.running() as one, valkey_server.running() as other:
        made = Pair(one, other)
        made.follow()
        yield made
        made.name.close()


@pytest.fixture
async def client(pair: Pair) -> AsyncIterator[redis.asyncio.Redis]:
    client = connection.connect(pair.url)
    yield client
    await client.aclose()


def probed(client: redis.asyncio.Redis) -> health.Server:
    return health.Server(client, 1, lambda _: None)


async def back(*calls: object) -> float:
    """Seconds until each of these calls goes through."""
    began = time.monotonic()
    async with asyncio.timeout(BACK_SECONDS):
        for call in calls:
            while True:
                with contextlib.suppress(errors.NotNow, queue_errors.QueueUnavailable, promise.LimiterUnavailable):
                    await call()  # type: ignore[operator]  # each is a coroutine function
                    break
                await asyncio.sleep(0.1)
    return time.monotonic() - began


async def test_whoever_is_promoted_is_found_both_ways_and_health_tells_the_truth_meanwhile(
    pair: Pair, client: redis.asyncio.Redis
) -> None:
    limiter = valkey_limiter.ValkeyLimiter(client, "m", promise.Quota(0, 0, 300_000))
    queue = valkey_store.ValkeyStore(client, TIMING)
    server = probed(client)
    # As many connections as a busy process has, all of them to the first primary.
    await asyncio.gather(*(queue.look() for _ in range(20)), server.probe(), limiter.touch())

    for _ in range(2):
        await asyncio.to_thread(pair.demote)
        assert await client.ping()  # which is why health does not ask that
        with pytest.raises(errors.NotNow, match=r"[Rr]ead.?[Oo]nly"):
            await server.probe()
        with pytest.raises(queue_errors.QueueUnavailable):
            await queue.look()
        with pytest.raises(promise.LimiterUnavailable):
            await limiter.acquire(1)

        await asyncio.to_thread(pair.promote)
        await back(server.probe, limiter.touch, queue.look)

        assert (await limiter.acquire(1)).verdict is promise.Verdict.START
        await asyncio.gather(*(queue.look() for _ in range(20)))  # not one connection is left at the old one
        await asyncio.to_thread(pair.follow)


async def test_a_consumer_that_waits_and_one_that_works_go_on_at_the_new_primary(
    pair: Pair, client: redis.asyncio.Redis
) -> None:
    queue = valkey_store.ValkeyStore(client, TIMING)
    task_id = await chunks.publish(queue, 2)
    worker, waiter = Consumer(queue, slots=2), Consumer(queue, slots=2)
    for each in (worker, waiter):
        await each.start()
    held = await worker.take(2)
    waiting = asyncio.create_task(waiter.take(2))
    await asyncio.sleep(0.1)
    with pair.primary.client() as primary:
        await asyncio.to_thread(primary.wait, 1, 1000)

    await asyncio.to_thread(pair.demote)
    await asyncio.to_thread(pair.promote)

    async def acked() -> None:
        assert await worker.ack(held[0])

    await back(acked)
    await waiting
    await back(lambda: chunks.publish(queue, 1, task_id=task_id, first=7))
    async with asyncio.timeout(BACK_SECONDS):
        while not (got := await waiter.take(1)):
            pass
    assert got[0].header.chunk == 7
    assert not held[1].lost.is_set()
    assert await worker.ack(held[1])
    for each in (worker, waiter):
        await each.close()


async def test_a_primary_that_dies_is_left_for_its_replica(pair: Pair, client: redis.asyncio.Redis) -> None:
    queue, server = valkey_store.ValkeyStore(client, TIMING), probed(client)
    task_id = await chunks.publish(queue, 3)
    with pair.primary.client() as primary:
        await asyncio.to_thread(primary.wait, 1, 1000)
    await asyncio.to_thread(pair.primary.stop, kill=True)
    with pytest.raises(errors.NotNow):
        await server.probe()

    await asyncio.to_thread(pair.promote)
    await back(server.probe)

    assert len(await queue.in_flight(task_id)) == 3


async def test_a_replica_without_its_primary_is_left(pair: Pair) -> None:
    """MASTERDOWN: the name still leads to a replica whose primary is gone; then to the new primary."""
    with pair.replica.client() as replica:
        replica.config_set("replica-serve-stale-data", "no")
    await asyncio.to_thread(pair.primary.stop, kill=True)
    pair.name.lead_to(pair.replica.port)
    client = connection.connect(pair.url)
    queue = valkey_store.ValkeyStore(client, TIMING)

    async def refused() -> bool:
        try:
            await queue.in_flight("t")
        except queue_errors.QueueUnavailable as error:
            return "MasterDownError" in str(error)
        return False

    await chunks.until(refused)
    await asyncio.to_thread(pair.promote)
    await back(lambda: splitting.Splitting(queue).acquire("t"))
    await client.aclose()
