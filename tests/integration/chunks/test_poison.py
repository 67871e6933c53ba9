"""Strikes: the chunk that kills its process is found, alone, and its neighbours go on."""

import asyncio

import pytest

from services.chunks import keys, settings, store, strikes
from tests.support import chunks

SHORT = settings.Timing(lease_seconds=3, heartbeat_seconds=0.3, reclaim_seconds=5, block_seconds=0.05)
"""A reservation ends while a test watches; a loaded machine still renews in time."""


async def strike(consumer, header, times: int) -> None:
    """So many processes died while they decoded this chunk."""
    for _ in range(times):
        await consumer.strikes.add(header)


async def test_a_strike_stands_only_while_the_work_does(queue, embedder) -> None:
    await chunks.publish(queue, 1)
    consumer = embedder(queue)
    (delivery,) = await consumer.take(1)
    async with consumer.strikes.guard(delivery.header) as count:
        assert count == 1
        assert await queue.strikes(delivery.header.task_id, 0) == 1
    with pytest.raises(ValueError, match="bad rows"):
        async with consumer.strikes.guard(delivery.header):
            raise ValueError("bad rows")

    async def hang() -> None:
        async with consumer.strikes.guard(delivery.header):
            await asyncio.Event().wait()

    hanging = asyncio.create_task(hang())
    await chunks.until(lambda: queue.strikes(delivery.header.task_id, 0))
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)
    assert await queue.strikes(delivery.header.task_id, 0) == 0


async def test_several_chunks_without_a_strike_are_guarded_at_once(queue, embedder) -> None:
    await chunks.publish(queue, 3)
    consumer = embedder(queue)
    held = await consumer.take(3)
    async with consumer.strikes.guard(*(each.header for each in held)) as most:
        assert most == 1
        assert [await queue.strikes(each.header.task_id, each.header.chunk) for each in held] == [1, 1, 1]
    assert [await queue.strikes(each.header.task_id, each.header.chunk) for each in held] == [0, 0, 0]


async def test_a_suspect_goes_only_to_who_holds_nothing_else(queue, embedder) -> None:
    await chunks.publish(queue, 3)
    busy, idle = embedder(queue), embedder(queue)
    first, suspect = await busy.take(2)
    await strike(busy, suspect.header, 2)
    assert await busy.verdict(suspect) is strikes.Verdict.YIELD
    assert await busy.verdict(first) is strikes.Verdict.WORK
    await busy.hand_back(suspect)
    assert await busy.take(2) == []  # it empties itself for the suspect
    (got,) = await idle.take(4)  # alone, though a third chunk waits
    assert got.header == suspect.header
    assert (got.suspect, got.poison, got.strikes, got.delivery_count) == (True, False, 2, 1)
    assert await idle.verdict(got) is strikes.Verdict.WORK
    assert await idle.take(4) == []
    (third,) = await busy.take(2)
    assert await idle.ack(got)
    assert await queue.strikes(got.header.task_id, got.header.chunk) == 0
    assert {first.header.chunk, third.header.chunk, got.header.chunk} == {0, 1, 2}


async def test_a_suspect_finds_somebody_alone_under_any_load(queue, embedder) -> None:
    """Three busy embedders, always refilled: one of them empties itself, the others go on."""
    await chunks.publish(queue, 150)
    workers = [embedder(queue) for _ in range(3)]
    done: list[tuple[int, int]] = []

    async def work(worker) -> None:
        async def finish(delivery) -> None:
            await asyncio.sleep(0.01)
            if await worker.verdict(delivery) is strikes.Verdict.YIELD:
                await worker.hand_back(delivery)
                return
            if delivery.suspect:
                assert worker.held == [delivery]
            assert await worker.ack(delivery)
            done.append((delivery.header.chunk, delivery.delivery_count))

        async with asyncio.TaskGroup() as group:
            while len(done) < 150:
                for delivery in await worker.take(4 - len(worker.held)):
                    if delivery.header.chunk in (5, 40, 41) and not await worker.strikes.count(delivery.header):
                        await strike(worker, delivery.header, 2)
                    group.create_task(finish(delivery))

    await asyncio.wait_for(asyncio.gather(*(work(worker) for worker in workers)), 60)
    assert sorted(chunk for chunk, _ in done) == list(range(150))
    assert {count for _, count in done} == {1}


async def test_one_embedder_alone_works_a_suspect_between_the_others(queue, embedder) -> None:
    task_id = await chunks.publish(queue, 6)
    consumer = embedder(queue, slots=3)
    for _ in range(2):
        await consumer.strikes.add(chunks.header(task_id, 1))
    order = []
    async with asyncio.timeout(20):
        while len(order) < 6:
            got = await consumer.take(3 - len(consumer.held))
            if any(delivery.suspect for delivery in got):
                assert len(consumer.held) == 1
            for delivery in consumer.held[:1]:
                assert await consumer.ack(delivery)
                order.append(delivery.header.chunk)
    assert sorted(order) == list(range(6))


async def test_a_dead_embedders_suspect_is_reclaimed_alone(quick, embedder) -> None:
    await chunks.publish(quick, 3)
    dead, heir = embedder(quick), embedder(quick)
    held = await dead.take(3)
    await strike(dead, next(delivery.header for delivery in held if delivery.header.chunk == 1), 2)
    seen = []
    async with asyncio.timeout(20):
        while len(seen) < 3:
            got = await heir.take(4)
            assert len(got) == 1 or not any(delivery.suspect for delivery in got)
            for delivery in got:
                assert await heir.ack(delivery)
                seen.append((delivery.header.chunk, delivery.suspect))
    assert sorted(seen) == [(0, False), (1, True), (2, False)]


async def test_at_five_strikes_a_chunk_is_poison_and_anyone_may_fail_it(queue, embedder) -> None:
    task_id = await chunks.publish(queue, 2)
    consumer = embedder(queue)
    await strike(consumer, chunks.header(task_id, 1), 5)
    good, poison = await consumer.take(4)
    assert (good.poison, poison.poison, poison.suspect) == (False, True, False)
    assert await consumer.verdict(poison) is strikes.Verdict.POISON


async def test_kills_without_poison_strike_nobody(quick, embedder) -> None:
    """Ten crashes outside of decoding: deliveries count up, strikes do not."""
    await chunks.publish(quick, 2)
    got: list = []
    for _ in range(10):
        worker = embedder(quick)
        async with asyncio.timeout(10):
            got = []
            while len(got) < 2:
                got += await worker.take(2 - len(got))
    assert [delivery.delivery_count for delivery in got] == [10, 10]
    assert not any(delivery.poison or delivery.suspect for delivery in got)


async def test_a_crash_of_the_one_that_empties_itself_holds_nobody_up(quick, embedder) -> None:
    task_id = await chunks.publish(quick, 2)
    dying, other = embedder(quick), embedder(quick)
    await other.strikes.add(chunks.header(task_id, 1))
    await other.strikes.add(chunks.header(task_id, 1))
    (held,) = await dying.take(1)
    assert await dying.take(1) == []
    assert (await quick.look()).lanes[keys.Lane.FIRST].waiting == 1
    await chunks.publish(quick, 1)
    async with asyncio.timeout(20):
        seen: list = []
        while len(seen) < 3:
            for delivery in await other.take(4):
                seen.append(delivery.header)
                assert await other.ack(delivery)
    assert held.header in seen


async def test_one_that_never_gets_empty_gives_the_reservation_up_and_takes_again(make_store, embedder) -> None:
    """One stuck chunk and one suspect: the embedder took nothing any more, for ever."""
    queue = make_store(SHORT)
    task_id = await chunks.publish(queue, 40)
    consumer = embedder(queue)
    await consumer.start()
    (stuck,) = await consumer.take(1)
    suspect = 1 if stuck.header.chunk != 1 else 0
    await strike(consumer, chunks.header(task_id, suspect), 2)
    done, waited = [], 0
    async with asyncio.timeout(20):
        while len(done) < 38:
            got = await consumer.take(4 - len(consumer.held))
            waited += not got
            for delivery in got:
                assert await consumer.ack(delivery)
                done.append(delivery.header.chunk)
    assert waited  # it did try
    assert stuck.header.chunk not in done
    assert suspect not in done  # the suspect waits for one who is alone


async def test_while_one_cannot_get_empty_another_may(make_store, embedder) -> None:
    queue = make_store(SHORT)
    task_id = await chunks.publish(queue, 3)
    first, second = embedder(queue), embedder(queue)
    for each in (first, second):
        await each.start()
    (stuck,) = await first.take(1)
    (held,) = await second.take(1)
    (left,) = {0, 1, 2} - {stuck.header.chunk, held.header.chunk}
    await strike(first, chunks.header(task_id, left), 2)
    assert await first.take(1) == []  # it has the reservation, and never gets empty
    async with asyncio.timeout(20):
        while not (await queue.take(store.Ask(second.name, 1, 1), 0)).draining:
            await asyncio.sleep(0.02)
        assert await second.ack(held)
        (suspect,) = await second.take(1)
    assert suspect.suspect


async def test_an_ack_without_a_settlement_keeps_the_strikes(queue, embedder) -> None:
    """A blocked task's chunk is split again when it is resumed, and killed five more processes."""
    task_id = await chunks.publish(queue, 2)
    consumer = embedder(queue)
    void, settled = await consumer.take(2)
    for delivery in (void, settled):
        await strike(consumer, delivery.header, 3)

    assert await consumer.ack(void, settled=False)
    assert await consumer.ack(settled)

    assert await queue.strikes(task_id, void.header.chunk) == 3
    assert await queue.strikes(task_id, settled.header.chunk) == 0
    assert (await queue.look()).bytes == 0


async def test_chunks_are_acknowledged_together_each_by_its_own_owner_check(queue, embedder) -> None:
    task_id = await chunks.publish(queue, 3)
    other = await chunks.publish(queue, 1)
    consumer, thief = embedder(queue), embedder(queue)
    held = await consumer.take(4)
    stolen = held[1]
    assert await consumer.hand_back(stolen)
    (elsewhere,) = await thief.take(1)
    assert elsewhere.header == stolen.header

    answers = await consumer.ack_all(held, settled=True)

    assert answers == [each is not stolen for each in held]
    assert set(await queue.in_flight(task_id)) | set(await queue.in_flight(other)) == {stolen.header.chunk}
    assert await thief.ack(elsewhere)
    assert (await queue.look()).bytes == 0
    assert consumer.held == []
