"""Consumer, publisher and strikes on the queue in memory: what an outage does to them."""

import asyncio
import dataclasses
from typing import Any

import pytest

from services.chunks import consumer as consumers
from services.chunks import errors, keeper, keys, memory_store, publisher, settings, splitting, store, strikes
from services.chunks.consumer import Consumer
from services.chunks.delivery import Delivery
from tests.support import chunks, virtual_time

TIMING = settings.Timing(lease_seconds=0.3, heartbeat_seconds=0.05, reclaim_seconds=0.05, block_seconds=0.05)


@pytest.fixture
def queue() -> memory_store.MemoryStore:
    return memory_store.MemoryStore(TIMING, settings.QueueLimits(window_floor=100))


async def test_the_line_in_memory(queue) -> None:
    """Given a task of 30 chunks, When one of two embedders dies, Then the other settles them all."""
    task_id = await chunks.publish(queue, 30)
    dead, worker = Consumer(queue, slots=4), Consumer(queue, slots=4)
    await worker.start()
    assert len(await dead.take(4)) == 4
    settled = set()
    async with asyncio.timeout(10):
        while len(settled) < 30:
            for delivery in await worker.take(4):
                assert await worker.ack(delivery)
                settled.add(delivery.header.chunk)
    assert await queue.in_flight(task_id) == {}
    assert (await queue.look()).bytes == 0
    await worker.close()
    assert await queue.live(keys.GROUP) == {}


async def held(queue: memory_store.MemoryStore) -> tuple[Consumer, Delivery]:
    """An embedder with a chunk in hand."""
    await chunks.publish(queue, 1, task_id="t")
    consumer = Consumer(queue, slots=1)
    (delivery,) = await consumer.take(1)
    return consumer, delivery


async def test_who_is_handed_its_chunk_anew_while_it_asks_strikes_as_that(queue, monkeypatch) -> None:
    """While the question was under way it looked for leases that ran out, and took its own."""
    consumer, delivery = await held(queue)
    asked = queue.strike

    async def late(*given: Any) -> list[int]:
        monkeypatch.undo()
        queue.timing = dataclasses.replace(queue.timing, lease_seconds=0.0)
        (row,) = (await queue.reclaim(store.Ask(consumer.name, 1, 1))).rows
        delivery.adopt(row)
        return await asked(*given)

    monkeypatch.setattr(queue, "strike", late)
    async with consumer.strikes.guard(delivery) as ours:
        assert (ours, delivery.delivery_count) == ([delivery], 2)
        assert await queue.strikes("t", 0) == 1


async def test_what_is_lost_is_not_decoded_and_its_neighbours_are(queue) -> None:
    await chunks.publish(queue, 2)
    consumer = Consumer(queue, slots=2)
    lost, kept = await consumer.take(2)
    assert await queue.hand_back(consumer.name, lost.claim, lost.header)
    async with consumer.strikes.guard(lost, kept) as ours:
        assert ours == [kept]
    assert (lost.lost_because, kept.lost_because) == ("not_owner", "")


async def test_a_strike_that_could_not_be_taken_back_is_taken_back_later(queue) -> None:
    consumer, delivery = await held(queue)
    book = consumer.strikes
    async with book.guard(delivery):
        queue.down = True
    with pytest.raises(errors.QueueUnavailable):
        await book.settle_debts()
    queue.down = False
    assert await queue.strikes("t", 0) == 1
    await book.settle_debts()
    assert await queue.strikes("t", 0) == 0


async def test_a_strike_that_is_owed_back_is_never_counted(queue) -> None:
    consumer, delivery = await held(queue)
    async with consumer.strikes.guard(delivery):
        queue.down = True
    queue.down = False

    assert await consumer.strikes.count(delivery.header) == 0


async def test_chunks_are_decoded_one_at_a_time(queue) -> None:
    await chunks.publish(queue, 10)
    consumer = Consumer(queue, slots=10)
    inside = 0

    async def decode(delivery: Delivery) -> None:
        nonlocal inside
        async with consumer.strikes.guard(delivery):
            inside += 1
            assert inside == 1
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(decode(delivery) for delivery in await consumer.take(10)))


async def test_an_outage_makes_take_wait_and_the_consumer_says_so(queue) -> None:
    await chunks.publish(queue, 1)
    consumer = Consumer(queue, slots=4)
    queue.down = True
    assert await consumer.take(4) == []
    assert not consumer.available
    queue.down = False
    assert len(await consumer.take(4)) == 1
    assert consumer.available


async def test_a_stop_ends_the_wait_of_an_outage(queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "_LONGEST_BACKOFF_SECONDS", 600)
    consumer = Consumer(queue, slots=4)
    consumer._failures = 20  # an outage that has lasted: the wait is a minute
    queue.down = True
    taking = asyncio.create_task(consumer.take(4))
    await asyncio.sleep(0.01)
    consumer.stop_taking()
    assert await asyncio.wait_for(taking, 20) == []
    await consumer.close()


async def test_a_heartbeat_that_fails_for_any_reason_goes_on(queue, monkeypatch: pytest.MonkeyPatch) -> None:
    await chunks.publish(queue, 1)
    consumer = Consumer(queue, slots=1)
    (delivery,) = await consumer.take(1)
    calls = 0
    beat = queue.heartbeat

    async def fails_first(name: str, claims: list[store.Claim]) -> list[bool]:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise RuntimeError("a bug")
        return await beat(name, claims)

    monkeypatch.setattr(queue, "heartbeat", fails_first)
    await consumer.start()
    await chunks.eventually(lambda: calls > 5)
    assert not delivery.lost.is_set()
    await consumer.close()


async def test_a_late_answer_to_a_heartbeat_does_not_lose_what_was_handed_out_again(queue) -> None:
    """The heartbeat asked for the old delivery; meanwhile this process was handed the chunk again."""
    await chunks.publish(queue, 1)
    consumer = Consumer(queue, slots=1)
    (delivery,) = await consumer.take(1)
    row = (await queue.reclaim(store.Ask(consumer.name, 1, 1))).rows
    assert row == []

    async def late(name: str, claims: list[store.Claim]) -> list[bool]:
        delivery.adopt(store.Row(store.Claim(delivery.ref, 2), delivery.header, b"", 0))
        return [False for _ in claims]

    queue.heartbeat = late
    await keeper.Keeper(queue, consumer.name, 1, {delivery.ref: delivery}, consumer.strikes).beat([delivery])
    assert not delivery.lost.is_set()


async def test_publishing_waits_through_an_outage(queue) -> None:
    lease = await splitting.Splitting(queue).acquire("t")
    assert lease is not None
    queue.down = True
    waiting = asyncio.create_task(publisher.Publisher(queue).publish_waiting(chunks.header("t", 0), b"x", lease.token))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    queue.down = False
    assert await asyncio.wait_for(waiting, 10) is store.Outcome.PUBLISHED


def test_the_verdict_on_a_chunk() -> None:
    limits = settings.QueueLimits()
    assert [strikes.judge(count, limits, alone=False).value for count in range(6)] == [
        *("work", "work", "yield", "yield", "yield", "poison")
    ]
    assert [strikes.judge(count, limits, alone=True).value for count in range(6)] == [*["work"] * 5, "poison"]


class Counting(memory_store.MemoryStore):
    """Counts payloads sent, looks for lost entries and questions for room."""

    def __init__(self, *arguments, **named) -> None:
        super().__init__(*arguments, **named)
        self.sent = self.pruned = self.asked = 0

    async def publish(self, header, payload, token) -> store.Outcome:
        self.sent += 1
        outcome = await super().publish(header, payload, token)
        self.asked -= 1  # the fake asks itself
        return outcome

    async def has_room(self, header, payload, token) -> store.Outcome:
        self.asked += 1
        return await super().has_room(header, payload, token)

    async def prune(self, task_id) -> store.Pruned:
        self.pruned += 1
        return await super().prune(task_id)


def test_a_task_that_its_window_holds_up_sends_each_chunk_once_and_looks_for_lost_ones_seldom() -> None:
    """Each chunk was sent twice, and all that was in flight was read in Lua before each."""

    async def scenario() -> Counting:
        queue = Counting(settings.Timing(), settings.QueueLimits(window_floor=4))
        lease = await splitting.Splitting(queue).acquire("t")
        assert lease is not None
        publishing = publisher.Publisher(queue)
        consumer = Consumer(queue, slots=1)

        async def work() -> None:
            while True:
                for delivery in await consumer.take(1):
                    await asyncio.sleep(0.5)
                    await consumer.ack(delivery)

        working = asyncio.create_task(work())
        for chunk in range(60):
            assert await publishing.publish_waiting(chunks.header("t", chunk), b"x", lease.token) == "published"
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        return queue

    queue = virtual_time.run(scenario())
    assert queue.sent <= 62
    assert queue.pruned <= 30 / settings.Timing().reclaim_seconds + 1


async def test_an_entry_that_was_lost_is_missed_after_a_reclaim_at_the_latest() -> None:
    queue = Counting(TIMING, settings.QueueLimits(window_floor=2))
    lease = await splitting.Splitting(queue).acquire("t")
    assert lease is not None
    publishing = publisher.Publisher(queue)
    for chunk in range(2):
        await publishing.publish_waiting(chunks.header("t", chunk), b"x", lease.token)
    queue.delete((await queue.in_flight("t"))[0])
    third = publishing.publish_waiting(chunks.header("t", 2), b"x", lease.token)
    assert await asyncio.wait_for(third, 5) is store.Outcome.PUBLISHED


async def test_a_cancelled_publisher_leaves_nothing_behind() -> None:
    queue = memory_store.MemoryStore(TIMING, settings.QueueLimits(window_floor=1))
    lease = await splitting.Splitting(queue).acquire("t")
    assert lease is not None
    publishing = publisher.Publisher(queue)
    await publishing.publish_waiting(chunks.header("t", 0), b"x", lease.token)
    waiting = asyncio.create_task(publishing.publish_waiting(chunks.header("t", 1), b"x", lease.token))
    await asyncio.sleep(0.1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert publishing._full == {}
