"""Leases: who owns a chunk, and who does not any more."""

import asyncio
import dataclasses

import pytest
import redis.asyncio

from services.chunks import entry, inflight, keys, settings
from tests.support import chunks

STEADY = settings.Timing(
    lease_seconds=1, heartbeat_seconds=0.1, reclaim_seconds=0.1, task_timeout_seconds=0.5, block_seconds=0.2
)
"""Ten heartbeats a lease: a slow machine does not lose one."""


async def taken(consumer, count: int = 1) -> list:
    """Take so many, in as many calls as it needs."""
    got: list = []
    async with asyncio.timeout(10):
        while len(got) < count:
            got += await consumer.take(count - len(got))
    return got


async def test_a_zombies_heartbeat_ack_and_hand_back_are_refused(quick, embedder) -> None:
    """A process is stopped for longer than its lease: its consumer sends no heartbeat (it was never started)."""
    task_id = await chunks.publish(quick, 1)
    zombie, heir = embedder(quick, name="zombie"), embedder(quick, name="heir")
    (old,) = await taken(zombie)
    (new,) = await taken(heir)
    assert new.reclaimed
    assert (new.header, new.delivery_count) == (old.header, 2)
    assert await quick.heartbeat("zombie", [old.claim]) == [False]
    assert not await zombie.renew(old)
    assert (old.lost.is_set(), old.lost_because) == (True, "not_owner")
    assert not await zombie.ack(old)
    assert not await zombie.hand_back(old)
    assert await heir.renew(new)
    assert set(await quick.in_flight(task_id)) == {0}
    assert await heir.ack(new)
    assert await quick.in_flight(task_id) == {}


async def test_the_delivery_count_is_part_of_the_owner(queue, client, embedder) -> None:
    """The name alone would let a late answer of an earlier delivery to the same process pass."""
    await chunks.publish(queue, 1)
    consumer = embedder(queue, name="a")
    (delivery,) = await taken(consumer)
    lane = queue.keys.lane(delivery.ref.lane)
    await client.xclaim(lane, keys.GROUP, "a", 0, [delivery.ref.entry_id])
    assert not await consumer.renew(delivery)
    assert not await consumer.ack(delivery)


async def test_heartbeats_keep_a_lease_whatever_the_work_does(make_store, embedder) -> None:
    queue = make_store(dataclasses.replace(STEADY, task_timeout_seconds=30))
    await chunks.publish(queue, 3)
    worker, other = embedder(queue), embedder(queue)
    await worker.start()
    held = await taken(worker, 3)
    loop = asyncio.get_running_loop()
    until = loop.time() + 3 * STEADY.lease_seconds
    while loop.time() < until:
        for delivery in held:
            delivery.progress()
        assert await other.take(4) == []
    assert all(not delivery.lost.is_set() and delivery.delivery_count == 1 for delivery in held)
    assert [await worker.ack(delivery) for delivery in held] == [True] * 3


async def test_work_without_progress_loses_its_lease_and_waiting_is_progress(make_store, embedder) -> None:
    queue = make_store(STEADY)
    await chunks.publish(queue, 2)
    worker, other = embedder(queue), embedder(queue)
    await worker.start()
    hung, waiting = await taken(worker, 2)

    async def wait_for_quota() -> None:
        while True:
            waiting.progress()
            await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as group:
        quota = group.create_task(wait_for_quota())
        await asyncio.wait_for(hung.lost.wait(), 10)
        assert hung.lost_because == "no_progress"
        (again,) = await taken(other)
        assert again.header == hung.header
        assert not waiting.lost.is_set()
        quota.cancel()


async def test_a_hung_worker_does_not_get_its_own_chunk_while_it_holds_it(make_store, embedder) -> None:
    timing = settings.Timing(
        lease_seconds=0.2, heartbeat_seconds=0.05, reclaim_seconds=0.05, task_timeout_seconds=0.2, block_seconds=0.05
    )
    queue = make_store(timing)
    await chunks.publish(queue, 1)
    worker = embedder(queue)
    await worker.start()
    (hung,) = await taken(worker)
    await asyncio.wait_for(hung.lost.wait(), 10)
    loop = asyncio.get_running_loop()
    until = loop.time() + 5 * timing.lease_seconds
    while loop.time() < until:
        assert await worker.take(3) == []
    worker.drop(hung)
    (again,) = await taken(worker)
    assert again.header == hung.header


async def test_a_process_goes_on_with_a_chunk_that_it_is_handed_again(quick, embedder) -> None:
    """Its loop stood still for longer than the lease and nobody else came: it reclaims its own chunk."""
    await chunks.publish(quick, 1)
    worker = embedder(quick)
    (delivery,) = await taken(worker)
    async with asyncio.timeout(10):
        while delivery.delivery_count == 1:
            assert await worker.take(3) == []
    assert worker.held == [delivery]
    assert not delivery.lost.is_set()
    assert await worker.ack(delivery)


async def test_ten_deliveries_of_one_chunk_at_once_have_one_owner(quick, client: redis.asyncio.Redis, embedder) -> None:
    task_id = await chunks.publish(quick, 1)
    workers = [embedder(quick, name=f"w{n}") for n in range(10)]
    held = []
    for worker in workers:
        (delivery,) = await taken(worker)
        held.append(delivery)
        lane = quick.keys.lane(delivery.ref.lane)
        # Its lease runs out now.
        await client.xclaim(lane, keys.GROUP, worker.name, 0, [delivery.ref.entry_id], idle=60_000, justid=True)
        worker._reclaim_at = 0
    assert [delivery.delivery_count for delivery in held] == list(range(1, 11))
    acks = await asyncio.gather(*(worker.ack(delivery) for worker, delivery in zip(workers, held, strict=True)))
    assert acks == [False] * 9 + [True]
    assert await quick.in_flight(task_id) == {}


async def test_reclaiming_takes_no_more_than_the_free_slots(quick, embedder) -> None:
    await chunks.publish(quick, 12)
    dead = embedder(quick)
    await taken(dead, 12)
    heir = embedder(quick, slots=5)
    await heir.start()
    got = await heir.take(5)
    async with asyncio.timeout(10):
        while len(got) < 5:
            more = await heir.take(5 - len(got))
            assert len(more) <= 5 - len(got)
            got += more
    assert await heir.take(0) == []
    for delivery in got:
        await heir.ack(delivery)
    rest = await taken(heir, 7)
    assert {delivery.header.chunk for delivery in got + rest} == set(range(12))


async def test_an_entry_deleted_while_pending_is_noticed_and_its_chunk_is_missing(quick, client, embedder) -> None:
    task_id = await chunks.publish(quick, 2)
    worker, other = embedder(quick), embedder(quick)
    one, two = await taken(worker, 2)
    await client.xdel(quick.keys.lane(one.ref.lane), one.ref.entry_id)
    assert not await worker.renew(one)
    await client.xdel(quick.keys.lane(two.ref.lane), two.ref.entry_id)
    assert await other.take(4) == []
    assert (await client.xpending(quick.keys.lane(two.ref.lane), keys.GROUP))["pending"] == 0
    assert await inflight.InFlight(quick).alive(task_id) == {}
    await chunks.publish(quick, 2, task_id=task_id)
    assert len(await taken(other, 2)) == 2


@pytest.mark.parametrize("deleted", [False, True])
async def test_an_ack_leaves_a_newer_entry_of_the_same_chunk_in_flight(queue, client, embedder, deleted: bool) -> None:
    task_id = await chunks.publish(queue, 1)
    worker = embedder(queue)
    (old,) = await taken(worker)
    if deleted:
        await client.xdel(queue.keys.lane(old.ref.lane), old.ref.entry_id)
    else:
        await client.hdel(queue.keys.inflight(task_id), "0")
    await chunks.publish(queue, 1, task_id=task_id)
    assert await worker.ack(old)
    (ref,) = (await inflight.InFlight(queue).alive(task_id)).values()
    assert ref != old.ref
    assert isinstance(ref, entry.Ref)
