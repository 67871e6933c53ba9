"""Whatever happens to Valkey, no chunk is lost for good and no consumer dies."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
import redis.asyncio

from services.chunks import errors, inflight, keys, publisher, settings, splitting, store, valkey_store, views
from services.chunks.consumer import Consumer
from services.valkey import connection
from tests.support import chunks, valkey


@pytest.fixture(params=[False, True], ids=["no-aof", "aof"])
def own_server(request: pytest.FixtureRequest) -> Iterator[valkey.ValkeyServer]:
    """A server that this test may harm."""
    with valkey.running(append_only=request.param) as server:
        yield server


@contextlib.asynccontextmanager
async def queue_of(client: redis.asyncio.Redis) -> AsyncIterator[valkey_store.ValkeyStore]:
    async with contextlib.aclosing(client):
        yield valkey_store.ValkeyStore(client, chunks.QUICK, settings.QueueLimits(window_floor=1000))


@pytest_asyncio.fixture
async def own_queue(own_server: valkey.ValkeyServer) -> AsyncIterator[valkey_store.ValkeyStore]:
    async with queue_of(connection.connect(own_server.url)) as queue:
        yield queue


@pytest_asyncio.fixture
async def impatient_queue(own_server: valkey.ValkeyServer) -> AsyncIterator[valkey_store.ValkeyStore]:
    """Gives up an answer before a server that hangs goes on."""
    async with queue_of(connection.connect(own_server.url, answer_seconds=0.5)) as queue:
        yield queue


async def line(queue: store.Store, embedder, total: int, settled: set[int], disturb, workers: int = 2) -> None:
    """A whole line in small: splits what is neither settled nor in flight until all is settled; harmed in mid task."""
    done = asyncio.Event()

    async def resubmit() -> None:
        while not done.is_set():
            try:
                missing = set(range(total)) - set(await inflight.InFlight(queue).alive("t")) - settled
                lease = await splitting.Splitting(queue).acquire("t") if missing else None
                for chunk in sorted(missing) if lease else []:
                    if await queue.publish(chunks.header("t", chunk), b"x", lease.token) is store.Outcome.LEASE_LOST:
                        break
                if lease:
                    await lease.release()
            except errors.QueueUnavailable:
                pass
            await asyncio.sleep(0.05)

    async def work(consumer: Consumer) -> None:
        await consumer.start()
        while not done.is_set():
            for delivery in await consumer.take(3):
                await asyncio.sleep(0.01)
                if not delivery.lost.is_set():
                    settled.add(delivery.header.chunk)
                try:
                    await consumer.ack(delivery)
                except errors.QueueUnavailable:
                    consumer.drop(delivery)
            if len(settled) == total:
                done.set()

    consumers = [embedder(queue) for _ in range(workers)]
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(resubmit())
        for consumer in consumers:
            group.create_task(work(consumer))
        await chunks.eventually(lambda: len(settled) > total // 4, 30)
        await disturb()


async def test_a_restart_in_mid_task_loses_nothing(own_server, own_queue, embedder) -> None:
    settled: set[int] = set()
    await line(own_queue, embedder, 60, settled, lambda: asyncio.to_thread(own_server.restart))
    assert settled == set(range(60))


async def test_a_hung_valkey_is_waited_for(own_server, impatient_queue, embedder) -> None:
    async def hang() -> None:
        own_server.send_signal(signal.SIGSTOP)
        await asyncio.sleep(1.2)  # for so long it hangs: that is what is tried
        own_server.send_signal(signal.SIGCONT)

    settled: set[int] = set()
    await line(impatient_queue, embedder, 60, settled, hang)
    assert settled == set(range(60))


@pytest.mark.parametrize("harm", ["flush", "scripts", "groups", "readonly", "memory", "connections"])
async def test_whatever_is_done_to_valkey_in_mid_task_loses_nothing(quick, client, embedder, harm: str) -> None:
    async def disturb() -> None:
        match harm:
            case "flush":
                await client.flushall()
            case "scripts":
                await client.script_flush()
            case "groups":
                for lane in quick.keys.lanes:
                    if await client.exists(lane):
                        await client.xgroup_destroy(lane, keys.GROUP)
            case "readonly":
                await client.replicaof("127.0.0.1", 1)
                await asyncio.sleep(0.3)
                await client.replicaof("NO", "ONE")
            case "memory":
                await client.config_set("maxmemory", 1)
                await asyncio.sleep(0.3)
                await client.config_set("maxmemory", 0)
            case "connections":
                await client.client_kill_filter(_type="normal", skipme=True)

    settled: set[int] = set()
    await line(quick, embedder, 60, settled, disturb)
    assert settled == set(range(60))


async def test_a_consumer_removed_by_hand_while_it_works_strands_no_chunk(quick, client, embedder) -> None:
    """XGROUP DELCONSUMER drops its pending entries: in the stream, delivered, and nobody's."""
    task_id = await chunks.publish(quick, 3)
    worker, other = embedder(quick, name="removed"), embedder(quick)
    held = await worker.take(2)
    for lane in quick.keys.lanes:
        if await client.exists(lane):
            await client.xgroup_delconsumer(lane, keys.GROUP, "removed")
    assert not await worker.renew(held[0])
    assert not await worker.ack(held[1])
    book = inflight.InFlight(quick)
    lost = {delivery.header.chunk for delivery in held}
    assert set(await book.alive(task_id)) == {0, 1, 2} - lost
    for chunk in lost:
        await chunks.publish(quick, 1, task_id=task_id, first=chunk)
    assert {delivery.header.chunk for delivery in await other.take(4)} == {0, 1, 2}
    assert {delivery.delivery_count for delivery in other.held} == {1}


async def test_what_was_published_while_there_was_no_group_is_read(queue, client, embedder) -> None:
    await chunks.publish(queue, 3)  # nobody has made the group yet
    consumer = embedder(queue)
    assert len(await consumer.take(4)) == 3
    await client.flushall()
    await chunks.publish(queue, 3)
    assert len(await consumer.take(4)) == 3


async def test_after_a_flush_a_worker_in_mid_chunk_is_told(quick, client, embedder) -> None:
    await chunks.publish(quick, 1)
    worker = embedder(quick)
    await worker.start()
    (delivery,) = await worker.take(1)
    await client.flushall()
    await asyncio.wait_for(delivery.lost.wait(), 10)
    assert delivery.lost_because == "not_owner"
    assert not await worker.ack(delivery)


async def test_a_group_lost_in_mid_chunk_does_not_bring_a_chunk_twice_to_its_holder(queue, client, embedder) -> None:
    await chunks.publish(queue, 1)
    worker = embedder(queue)
    (delivery,) = await worker.take(1)
    await client.xgroup_destroy(queue.keys.lane(delivery.ref.lane), keys.GROUP)
    assert await worker.take(3) == []
    assert worker.held == [delivery]
    assert await worker.renew(delivery)
    assert await worker.ack(delivery)


async def test_an_outage_is_one_error_and_marks_no_chunk_as_lost(own_server, own_queue, embedder) -> None:
    await chunks.publish(own_queue, 2)
    worker = embedder(own_queue)
    await worker.start()
    one, two = await worker.take(2)
    await asyncio.to_thread(own_server.stop)
    for call in (worker.ack(one), worker.hand_back(one), worker.renew(one), own_queue.look(), own_queue.prune("t")):
        with pytest.raises(errors.QueueUnavailable):
            await call
    assert await worker.take(1) == []
    assert not worker.available
    with pytest.raises(errors.QueueUnavailable):
        async with worker.strikes.guard(one):
            raise AssertionError("decoded without a strike")
    assert not one.lost.is_set()
    await asyncio.to_thread(own_server.start)
    async with asyncio.timeout(20):
        while not worker.available or worker.strikes._owed:
            await worker.take(1)
    if own_server.append_only:
        assert await worker.renew(two)
        assert await worker.ack(one)
    else:
        assert not await worker.ack(one)


async def test_publishing_survives_a_restart(own_server, own_queue) -> None:
    lease = await splitting.Splitting(own_queue).acquire("t")
    await asyncio.to_thread(own_server.stop)
    publish = publisher.Publisher(own_queue)
    with pytest.raises(errors.QueueUnavailable):
        await publish.publish(chunks.header("t", 0), b"x", lease.token)
    waiting = asyncio.create_task(publish.publish_waiting(chunks.header("t", 0), b"x", lease.token))
    await asyncio.sleep(0.1)
    await asyncio.to_thread(own_server.start)
    expected = store.Outcome.PUBLISHED if own_server.append_only else store.Outcome.LEASE_LOST
    assert await asyncio.wait_for(waiting, 20) is expected


async def test_dead_consumers_are_removed_and_never_one_with_chunks_or_a_live_one(quick, client, embedder) -> None:
    task_id = await chunks.publish(quick, 3)
    empty, holding, live = (embedder(quick, name=name) for name in ("empty", "holding", "live"))
    (done,) = await empty.take(1)
    await empty.ack(done)
    (worked,) = await live.take(1)
    await live.start()
    await live.ack(worked)
    (held,) = await holding.take(1)  # last: nobody else takes while its lease runs

    async def names() -> set[bytes]:
        lanes = [lane for lane in quick.keys.lanes if await client.exists(lane)]
        found = [await client.xinfo_consumers(lane, keys.GROUP) for lane in lanes]
        return {consumer["name"] for lane in found for consumer in lane}

    async def gone(name: bytes) -> bool:
        return name not in await names()

    await chunks.until(lambda: gone(b"empty"))
    assert {b"holding", b"live"} <= await names()
    await quick.reap("holding")
    assert b"holding" in await names()
    assert set(await inflight.InFlight(quick).alive(task_id)) == {held.header.chunk}
    assert await holding.ack(held)
    await chunks.until(lambda: gone(b"holding"))
    assert await empty.take(1) == []  # removed, it may still come back


async def test_the_overview_shows_workers_and_queue(queue, embedder) -> None:
    await chunks.publish(queue, 5)
    consumer = embedder(queue, slots=4, name="a")
    await consumer.start()
    held = await consumer.take(3)
    await consumer.hand_back(held[0])
    await chunks.until(lambda: queue.live(keys.GROUP))
    overview = await views.Views(queue).overview()
    assert overview.workers == [views.Worker("a", 2, 2)]
    assert (overview.active, overview.available, overview.queued, overview.pending) == (2, 2, 3, 2)
    assert 0 <= overview.oldest_seconds < 60
    assert overview.bytes > 5 * len(b"rows")


async def test_a_cancelled_call_is_cancelled(queue) -> None:
    """Until Python 3.12 asyncio.wait_for, which the client library sends with, loses a cancel now and then."""

    async def busy() -> None:
        while True:
            await queue.look()

    for n in range(200):
        task = asyncio.create_task(busy())
        await asyncio.sleep(n % 20 / 10_000)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=10)
        assert done
