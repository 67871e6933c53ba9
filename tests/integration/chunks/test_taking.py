"""Taking: turns, waking, handing back, stopping."""

import asyncio
import collections

from services.chunks import consumer as consumers
from services.chunks import entry, keys, settings, splitting, store, turns, valkey_store
from services.valkey import connection
from tests.support import chunks

PATIENT = settings.Timing(block_seconds=60, reclaim_seconds=60)
"""Takes that wait long: what ends them sooner is what was rung."""
AT_ONCE_SECONDS = 30


async def test_lanes_are_read_in_weighted_turns_and_low_is_never_starved(queue, embedder) -> None:
    await asyncio.gather(*(chunks.publish(queue, 2) for _ in range(30)))
    for priority in (keys.Lane.HIGH, keys.Lane.NORMAL, keys.Lane.LOW):
        await chunks.publish(queue, 60, first=2, priority=priority)
    consumer = embedder(queue, slots=60)
    for _ in range(2):  # each round of fifteen turns has every lane's share, however it is cut into calls
        seen: collections.Counter[str] = collections.Counter()
        while seen.total() < 15:
            for delivery in await consumer.take(min(4, 15 - seen.total())):
                seen[delivery.ref.lane] += 1
        assert seen == {lane.value: weight for lane, weight in turns.WEIGHTS.items()}


async def test_a_lane_alone_is_read_in_order_without_waiting_for_the_others(queue, embedder) -> None:
    await chunks.publish(queue, 20, first=2, priority=keys.Lane.LOW)
    got = await embedder(queue, slots=20).take(20)
    assert [delivery.header.chunk for delivery in got] == list(range(2, 22))


async def test_never_more_than_the_free_slots_over_all_lanes(queue, embedder) -> None:
    await chunks.publish(queue, 4)
    await chunks.publish(queue, 4, priority=keys.Lane.LOW)
    consumer = embedder(queue)
    assert len(await consumer.take(1)) == 1
    assert len(await consumer.take(3)) == 3
    assert len(consumer.held) == 4


async def test_many_consumers_share_without_two_having_the_same(queue, embedder) -> None:
    await asyncio.gather(*(chunks.publish(queue, 10) for _ in range(5)))
    consumers = [embedder(queue) for _ in range(5)]
    got: list = []

    async def work(consumer) -> None:
        while len(got) < 50:
            for delivery in await consumer.take(3):
                got.append(delivery.ref)
                assert await consumer.ack(delivery)

    await asyncio.wait_for(asyncio.gather(*(work(consumer) for consumer in consumers)), 30)
    assert len(set(got)) == 50


async def test_an_idle_consumer_wakes_at_once(make_store, embedder) -> None:
    queue = make_store(PATIENT)
    consumer = embedder(queue)
    await consumer.take(4)
    loop = asyncio.get_running_loop()
    for _ in range(5):
        taking = asyncio.create_task(consumer.take(4))
        await asyncio.sleep(0.05)
        assert not taking.done()
        published = loop.time()
        await chunks.publish(queue, 1)
        assert len(await taking) == 1
        assert loop.time() - published < AT_ONCE_SECONDS


async def test_nothing_rung_between_looking_and_waiting_is_missed(queue) -> None:
    wakeup = (await queue.take(ask("a"), 0)).wakeup
    await chunks.publish(queue, 1)
    async with asyncio.timeout(AT_ONCE_SECONDS):
        await queue.wait(wakeup, 60)


def ask(name: str, want: int = 4, held: int = 0) -> store.Ask:
    return store.Ask(name, want, held)


async def test_a_chunk_handed_back_is_taken_at_once_and_its_count_is_as_before(make_store, embedder) -> None:
    queue = make_store(PATIENT)
    await chunks.publish(queue, 3)
    leaving, other = embedder(queue), embedder(queue)
    held = await leaving.take(3)
    await other.take(4)
    for _ in range(3):
        taking = asyncio.create_task(other.take(4))
        await asyncio.sleep(0.05)
        loop = asyncio.get_running_loop()
        then = loop.time()
        mine = held.pop()
        assert await leaving.hand_back(mine)
        (got,) = await taking
        assert loop.time() - then < AT_ONCE_SECONDS
        assert (got.header, got.delivery_count, got.reclaimed) == (mine.header, 1, False)
        assert not await leaving.renew(mine)
    assert leaving.held == []


async def test_a_chunk_is_handed_back_any_number_of_times_without_counting(queue, embedder) -> None:
    await chunks.publish(queue, 1)
    one, two = embedder(queue), embedder(queue)
    for _ in range(10):
        for consumer in (one, two):
            (delivery,) = await consumer.take(1)
            assert delivery.delivery_count == 1
            assert await consumer.hand_back(delivery)


async def test_stopping_wakes_take(make_store, embedder) -> None:
    queue = make_store(PATIENT)
    consumer = embedder(queue)
    await consumer.take(4)
    taking = asyncio.create_task(consumer.take(4))
    await asyncio.sleep(0.05)
    consumer.stop_taking()
    assert await asyncio.wait_for(taking, AT_ONCE_SECONDS) == []
    await chunks.publish(queue, 1)
    assert await consumer.take(4) == []


async def test_without_a_free_slot_take_waits_for_the_end_of_a_delivery(make_store, embedder) -> None:
    queue = make_store(PATIENT)
    await chunks.publish(queue, 2)
    consumer = embedder(queue, slots=1)
    (delivery,) = await consumer.take(1)
    taking = asyncio.create_task(consumer.take(0))
    await asyncio.sleep(0.05)
    assert not taking.done()
    await consumer.ack(delivery)
    assert await asyncio.wait_for(taking, AT_ONCE_SECONDS) == []


async def test_closing_hands_back_what_is_held_and_leaves_no_trace(queue, client, embedder) -> None:
    await chunks.publish(queue, 5)
    leaving, other = embedder(queue, name="leaving"), embedder(queue, slots=8)
    await leaving.start()
    await leaving.take(4)
    await leaving.close()
    assert len(await other.take(8)) == 5
    assert "leaving" not in await queue.live(keys.GROUP)
    for lane in queue.keys.lanes:
        if await client.exists(lane):
            assert b"leaving" not in {consumer["name"] for consumer in await client.xinfo_consumers(lane, keys.GROUP)}


async def test_a_cancelled_take_loses_nothing(queue, embedder) -> None:
    await chunks.publish(queue, 30)
    victim, other = embedder(queue, slots=30), embedder(queue, slots=30)
    for delay in range(40):
        taking = asyncio.create_task(victim.take(3))
        for _ in range(delay % 20):
            await asyncio.sleep(0)
        taking.cancel()
        try:
            for delivery in await taking:
                assert await victim.hand_back(delivery)
        except asyncio.CancelledError:
            pass
        assert victim.held == []
    got = await other.take(30)
    assert sorted(delivery.header.chunk for delivery in got) == list(range(30))
    assert {delivery.delivery_count for delivery in got} == {1}


async def test_an_entry_that_nobody_can_read_is_dropped_and_harms_no_other(queue, client, embedder) -> None:
    good = await chunks.publish(queue, 1)
    lane = queue.keys.lane(keys.Lane.FIRST)
    await client.xadd(lane, {"nonsense": "1"})
    newer = {**chunks.header("t", 0).to_fields(), "schema_version": "2", "payload": "x"}
    await client.xadd(lane, newer)
    consumer = embedder(queue)
    (delivery,) = await consumer.take(4)
    assert delivery.header.task_id == good
    assert await client.xlen(lane) == 1
    assert await consumer.ack(delivery)
    assert (await queue.look()).bytes == 0


async def test_an_idle_consumer_keeps_its_connection(valkey) -> None:
    """Each wait ended here a moment before it did in Valkey, and a read that is given up costs its connection."""
    client = connection.connect(valkey.url)
    timing = settings.Timing(block_seconds=0.05, reclaim_seconds=0.2)
    consumer = consumers.Consumer(valkey_store.ValkeyStore(client, timing), slots=4)
    await consumer.take(4)
    before = (await client.info("stats"))["total_connections_received"]

    for _ in range(20):
        assert await consumer.take(4) == []

    assert (await client.info("stats"))["total_connections_received"] == before
    await consumer.close()
    await client.aclose()


async def test_small_chunks_share_a_slot(queue, embedder) -> None:
    lease = await splitting.Splitting(queue).acquire("small")
    sizes = [100] * 25 + [1_000] * 3 + [100] * 4
    for chunk, rows in enumerate(sizes):
        header = entry.Header("small", chunk, 1, rows)
        assert await queue.publish(header, entry.pack(b"rows"), lease.token) is store.Outcome.PUBLISHED
    consumer = embedder(queue, slots=8)

    assert len(await consumer.take(2)) == 20
    assert [each.header.rows for each in await consumer.take(1)] == [100] * 5 + [1_000]
    assert len(await consumer.take(0.25)) == 1
    assert [each.header.rows for each in await consumer.take(4)] == [1_000] + [100] * 4


async def test_all_small_chunks_of_a_dead_embedder_are_reclaimed_at_once(quick, embedder) -> None:
    lease = await splitting.Splitting(quick).acquire("small")
    for chunk in range(60):
        await quick.publish(entry.Header("small", chunk, 1, 100), entry.pack(b"rows"), lease.token)
    dead, heir = embedder(quick, name="dead"), embedder(quick)
    assert len(await dead.take(6)) == 60
    await asyncio.sleep(quick.timing.lease_seconds + 0.1)

    assert len((await quick.reclaim(store.Ask(heir.name, 8, 0))).rows) == 60
