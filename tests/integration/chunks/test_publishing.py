"""Publishing: the splitting lease, the window, the byte budget, memory."""

import asyncio
import dataclasses
import os

import pytest
import redis.asyncio

from services.chunks import entry, inflight, keys, presence, publisher, settings, splitting, store, valkey_store
from tests.support import chunks

PUBLISHED, ALREADY, FULL, LEASE_LOST = (
    store.Outcome.PUBLISHED,
    store.Outcome.ALREADY,
    store.Outcome.FULL,
    store.Outcome.LEASE_LOST,
)


async def lease_of(queue: store.Store, task_id: str = "t") -> splitting.SplitLease:
    lease = await splitting.Splitting(queue).acquire(task_id)
    assert lease is not None
    return lease


async def test_the_first_two_chunks_of_every_task_go_ahead_the_rest_by_priority(queue) -> None:
    task_id = await chunks.publish(queue, 4, priority=keys.Lane.LOW)
    lanes = [ref.lane for _, ref in sorted((await queue.in_flight(task_id)).items())]
    assert lanes == ["first", "first", "low", "low"]


async def test_a_chunk_arrives_as_it_was_published(queue, embedder) -> None:
    lease = await lease_of(queue, "tâche")
    payload = os.urandom(3_000_000) + bytes(2_000_000)
    sent = entry.Header("tâche", 7, 71, 10, 2, 1, 9, keys.Lane.HIGH, "00-ab-cd-01")
    assert await publisher.Publisher(queue).publish(sent, payload, lease.token) is PUBLISHED
    (delivery,) = await embedder(queue).take(4)
    assert delivery.header == entry.Header("tâche", 7, 71, 10, 2, 1, 9, keys.Lane.HIGH, "00-ab-cd-01", 5_000_000)
    assert entry.unpack(delivery.payload) == payload
    assert (delivery.ref.lane, delivery.delivery_count, delivery.strikes) == (keys.Lane.HIGH, 1, 0)
    assert delivery.queued_seconds < 60


async def test_a_chunk_is_in_flight_once(queue) -> None:
    lease = await lease_of(queue)
    publish = publisher.Publisher(queue).publish
    assert await publish(chunks.header("t", 0), b"rows", lease.token) is PUBLISHED
    assert await publish(chunks.header("t", 0), b"rows", lease.token) is ALREADY
    assert sum(lane.entries for lane in (await queue.look()).lanes.values()) == 1


async def test_one_splitter_a_task_however_many_ask_at_once(queue) -> None:
    leases = await asyncio.gather(*(splitting.Splitting(queue).acquire("t") for _ in range(20)))
    assert sum(lease is not None for lease in leases) == 1


async def test_a_splitter_that_lost_its_lease_publishes_nothing_and_never_gets_it_back(make_store) -> None:
    queue = make_store(settings.Timing(split_seconds=0.1))
    old = await lease_of(queue)
    calm = make_store()
    new = await chunks.until(lambda: splitting.Splitting(calm).acquire("t"))
    publish = publisher.Publisher(queue).publish
    assert await publish(chunks.header("t", 0), b"rows", old.token) is LEASE_LOST
    assert not await old.renew()
    assert not await old.release()
    assert await calm.renew_split("t", new.token)
    assert await new.release()
    assert not await new.renew()
    assert await queue.in_flight("t") == {}


async def test_publishing_renews_the_lease_also_when_full(make_store, client: redis.asyncio.Redis) -> None:
    queue = make_store(limits=settings.QueueLimits(window_floor=1))
    lease = await lease_of(queue)
    split = queue.keys.split("t")
    for expected in (PUBLISHED, FULL):
        await client.pexpire(split, 10_000)
        chunk = 0 if expected is PUBLISHED else 1
        assert await publisher.Publisher(queue).publish(chunks.header("t", chunk), b"rows", lease.token) is expected
        assert await client.pttl(split) > 25_000


async def test_the_window_is_two_chunks_a_live_slot_and_never_under_its_floor(make_store) -> None:
    queue = make_store(dataclasses.replace(chunks.QUICK, presence_seconds=30), settings.QueueLimits())
    lease = await lease_of(queue)
    publish = publisher.Publisher(queue).publish
    book = presence.Presence(queue)

    async def published(limit: int) -> int:
        for chunk in range(limit):
            outcome = await publish(chunks.header("t", chunk), b"rows", lease.token)
            if outcome is FULL:
                return chunk
            assert outcome in (PUBLISHED, ALREADY)
        return limit

    assert await published(50) == 4
    await book.announce("a", 3)
    await book.announce("b", 5)
    assert await published(50) == 16
    assert await book.live() == {"a": 3, "b": 5}
    await book.withdraw("a")
    await presence.Presence(make_store(chunks.QUICK)).announce("b", 5)

    async def nobody_lives() -> bool:
        return not await book.live()

    await chunks.until(nobody_lives)  # the other one died: its announcement runs out
    assert await publish(chunks.header("t", 16), b"rows", lease.token) is FULL


async def test_a_full_window_of_one_task_leaves_room_for_another(make_store) -> None:
    queue = make_store(limits=settings.QueueLimits(window_floor=1))
    await chunks.publish(queue, 1)
    await chunks.publish(queue, 1)


async def test_the_byte_budget_holds_exactly_and_one_larger_entry_goes_into_an_empty_queue(
    make_store, embedder
) -> None:
    queue = make_store(limits=settings.QueueLimits(queue_bytes=10_000, window_floor=100))
    lease = await lease_of(queue)

    async def publish(chunk: int, size: int) -> store.Outcome:
        return await queue.publish(chunks.header("t", chunk), bytes(size), lease.token)

    overhead = entry.size_of(chunks.header("t", 1), b"")
    assert await publish(0, 50_000) is PUBLISHED
    assert await publish(1, 1) is FULL
    consumer = embedder(queue)
    (large,) = await consumer.take(4)
    assert await publish(1, 1) is FULL  # taken is not gone
    assert await consumer.ack(large)
    assert await publish(1, 5000 - overhead) is PUBLISHED
    assert await publish(2, 5001 - overhead) is FULL
    assert await publish(2, 5000 - overhead) is PUBLISHED
    assert (await queue.look()).bytes == 10_000
    assert await publish(3, 0) is FULL


@pytest.mark.parametrize("harm", ["entries deleted", "lane deleted", "book deleted", "entry added"])
async def test_the_byte_budget_is_computed_so_it_cannot_drift(queue, client: redis.asyncio.Redis, harm: str) -> None:
    task_id = await chunks.publish(queue, 6)
    refs = await queue.in_flight(task_id)
    size = entry.size_of(chunks.header(task_id, 0), entry.pack(b"rows"))
    match harm:
        case "entries deleted":
            await client.xdel(queue.keys.lane(keys.Lane.NORMAL), refs[2].entry_id, refs[3].entry_id)
            left = 4
        case "lane deleted":
            await client.delete(queue.keys.lane(keys.Lane.FIRST))
            left = 4
        case "book deleted":
            await client.delete(queue.keys.bytes)
            left = 6
        case _:
            fields = chunks.header("x", 0).to_fields()
            await client.xadd(queue.keys.lane(keys.Lane.LOW), {**fields, "payload": entry.pack(b"rows")})
            left = 7
    assert (await queue.look()).bytes == pytest.approx(left * size, abs=4 * len(task_id))


async def test_out_of_memory_means_wait_and_everything_that_frees_memory_still_works(
    queue: valkey_store.ValkeyStore, client: redis.asyncio.Redis, embedder
) -> None:
    task_id = await chunks.publish(queue, 3)
    lease = await lease_of(queue, task_id)
    consumer = embedder(queue)
    await consumer.start()
    (first,) = await consumer.take(1)
    await client.config_set("maxmemory", 1)
    await client.pexpire(queue.keys.split(task_id), 10_000)
    publish = publisher.Publisher(queue).publish
    assert await publish(chunks.header(task_id, 3), b"rows", lease.token) is FULL
    assert await client.pttl(queue.keys.split(task_id)) > 25_000
    assert await publish(chunks.header(task_id, 3), b"rows", "another token") is LEASE_LOST
    waiting = asyncio.create_task(
        publisher.Publisher(queue).publish_waiting(chunks.header(task_id, 3), b"rows", lease.token)
    )
    rest = await consumer.take(3)
    assert len(rest) == 2
    assert await consumer.renew(first)
    async with consumer.strikes.guard(first) as ours:
        assert ours == [first]
    assert await consumer.hand_back(rest[0])
    assert await consumer.ack(first)
    assert len(await queue.live(keys.GROUP)) == 1
    assert not waiting.done()
    await client.config_set("maxmemory", 0)
    assert await asyncio.wait_for(waiting, 10) is PUBLISHED


async def test_waiting_ends_with_an_ack_and_drops_chunks_whose_entry_is_gone(make_store, client, embedder) -> None:
    queue = make_store(settings.Timing(reclaim_seconds=0.3), settings.QueueLimits(window_floor=2))
    lease = await lease_of(queue)
    waiting = publisher.Publisher(queue).publish_waiting
    assert await waiting(chunks.header("t", 0), b"rows", lease.token) is PUBLISHED
    assert await waiting(chunks.header("t", 1), b"rows", lease.token) is PUBLISHED
    third = asyncio.create_task(waiting(chunks.header("t", 2), b"rows", lease.token))
    consumer = embedder(queue)
    (delivery,) = await consumer.take(1)
    assert not third.done()
    await consumer.ack(delivery)
    assert await asyncio.wait_for(third, 10) is PUBLISHED
    fourth = asyncio.create_task(waiting(chunks.header("t", 3), b"rows", lease.token))
    await client.xdel(queue.keys.lane(keys.Lane.NORMAL), (await queue.in_flight("t"))[2].entry_id)
    assert await asyncio.wait_for(fourth, 10) is PUBLISHED
    assert set(await inflight.InFlight(queue).alive("t")) == {1, 3}
    fifth = asyncio.create_task(waiting(chunks.header("t", 4), b"rows", lease.token))
    await lease.release()
    assert await asyncio.wait_for(fifth, 10) is LEASE_LOST


async def test_a_chunk_whose_entry_is_gone_is_published_again(queue, client: redis.asyncio.Redis) -> None:
    task_id = await chunks.publish(queue, 1)
    (gone,) = (await queue.in_flight(task_id)).values()
    await client.xdel(queue.keys.lane(gone.lane), gone.entry_id)
    await chunks.publish(queue, 1, task_id=task_id)
    (new,) = (await inflight.InFlight(queue).alive(task_id)).values()
    assert new != gone


async def test_clearing_a_terminal_task_leaves_only_what_is_in_work(queue, client, embedder) -> None:
    task_id = await chunks.publish(queue, 6)
    consumer = embedder(queue)
    working, returned = await consumer.take(2)
    await consumer.hand_back(returned)
    await client.xdel(queue.keys.lane(keys.Lane.NORMAL), (await queue.in_flight(task_id))[5].entry_id)
    book = inflight.InFlight(queue)
    assert await book.tasks() == {task_id}
    assert await book.clear(task_id) == 5
    assert set(await book.read(task_id)) == {working.header.chunk}
    assert await book.count(task_id) == 1
    view = await queue.look()
    assert sum(lane.entries for lane in view.lanes.values()) == 1
    assert await consumer.ack(working)
    assert (await queue.look()).bytes == 0
    assert await book.tasks() == set()
