"""Strikes: the chunk that kills its process is found, alone, and its neighbours go on."""

import asyncio

import pytest

from services.chunks import inflight, keys, settings, store, strikes
from tests.support import chunks

SHORT = settings.Timing(lease_seconds=3, heartbeat_seconds=0.3, reclaim_seconds=5, block_seconds=0.05)
"""A reservation ends while a test watches; a loaded machine still renews in time."""


async def test_a_strike_stands_only_while_the_work_does(queue, embedder) -> None:
    await chunks.publish(queue, 1)
    consumer = embedder(queue)
    (delivery,) = await consumer.take(1)
    async with consumer.strikes.guard(delivery) as ours:
        assert ours == [delivery]
        assert await queue.strikes(delivery.header.task_id, 0) == 1
    with pytest.raises(ValueError, match="bad rows"):
        async with consumer.strikes.guard(delivery):
            raise ValueError("bad rows")

    async def hang() -> None:
        async with consumer.strikes.guard(delivery):
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
    async with consumer.strikes.guard(*held) as ours:
        assert ours == held
        assert [await queue.strikes(each.header.task_id, each.header.chunk) for each in held] == [1, 1, 1]
    assert [await queue.strikes(each.header.task_id, each.header.chunk) for each in held] == [0, 0, 0]


async def test_a_suspect_goes_only_to_who_holds_nothing_else(queue, embedder) -> None:
    await chunks.publish(queue, 3)
    busy, idle = embedder(queue), embedder(queue)
    first, suspect = await busy.take(2)
    await chunks.crashed(queue, suspect.header.task_id, suspect.header.chunk, 2)
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
                        await chunks.crashed(queue, delivery.header.task_id, delivery.header.chunk, 2)
                    group.create_task(finish(delivery))

    await asyncio.wait_for(asyncio.gather(*(work(worker) for worker in workers)), 60)
    assert sorted(chunk for chunk, _ in done) == list(range(150))
    assert {count for _, count in done} == {1}


async def test_one_embedder_alone_works_a_suspect_between_the_others(queue, embedder) -> None:
    task_id = await chunks.publish(queue, 6)
    consumer = embedder(queue, slots=3)
    await chunks.crashed(queue, task_id, 1, 2)
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
    await chunks.crashed(quick, held[0].header.task_id, 1, 2)
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
    await chunks.crashed(queue, task_id, 1, 5)
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
    await chunks.crashed(quick, task_id, 1, 2)
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
    await chunks.crashed(queue, task_id, suspect, 2)
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
    await chunks.crashed(queue, task_id, left, 2)
    assert await first.take(1) == []  # it has the reservation, and never gets empty
    async with asyncio.timeout(20):
        while not (await queue.take(store.Ask(second.name, 1, 1), 0)).draining:
            await asyncio.sleep(0.02)
        assert await second.ack(held)
        (suspect,) = await second.take(1)
    assert suspect.suspect


async def test_an_ack_of_what_is_not_over_keeps_the_strikes(queue, embedder) -> None:
    """A blocked task's chunk is split again when it is resumed, and killed five more processes."""
    task_id = await chunks.publish(queue, 2)
    consumer = embedder(queue)
    void, settled = await consumer.take(2)
    for delivery in (void, settled):
        await chunks.crashed(queue, task_id, delivery.header.chunk, 3)

    assert await consumer.ack(void, over=False)
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

    answers = await consumer.ack_all(held, over=True)

    assert answers == [each is not stolen for each in held]
    assert set(await queue.in_flight(task_id)) | set(await queue.in_flight(other)) == {stolen.header.chunk}
    assert await thief.ack(elsewhere)
    assert (await queue.look()).bytes == 0
    assert consumer.held == []


async def test_a_zombie_strikes_nothing_whatever_became_of_its_chunk(quick, embedder) -> None:
    """It stood still while another settled, returned, or has the chunk; and what it was to decode is lost to it."""
    task_id = await chunks.publish(quick, 4)
    zombie, heir = embedder(quick), embedder(quick)
    held = sorted(await zombie.take(4), key=lambda delivery: delivery.header.chunk)
    taken: list = []
    async with asyncio.timeout(20):
        while len(taken) < 4:
            taken += await heir.take(4 - len(taken))
    settled, void, returned, _ = sorted(taken, key=lambda delivery: delivery.header.chunk)
    assert await heir.ack(settled)
    assert await heir.ack(void, over=False)
    assert await heir.hand_back(returned)

    for delivery in held:
        assert await zombie.strikes.add(delivery) == ""
        assert delivery.lost_because == "not_owner"
        async with zombie.strikes.guard(delivery) as ours:
            assert ours == []

    assert [await quick.strikes(task_id, chunk) for chunk in range(4)] == [0] * 4


async def test_a_strike_that_arrives_after_the_chunks_end_is_not_written(queue, client, embedder) -> None:
    """Sent by its owner in time, and late on its way: its connection stood still, or it was sent twice."""
    task_id = await chunks.publish(queue, 1)
    consumer = embedder(queue)
    (delivery,) = await consumer.take(1)
    sent = (consumer.name, [(delivery.claim, delivery.header)], "token")
    assert await queue.strike(*sent) == [1]
    assert await queue.strike(*sent) == [1]  # again: a token counts once
    assert await consumer.ack(delivery)
    assert await queue.strike(*sent) == [0]
    assert [key async for key in client.scan_iter(f"*{task_id}*")] == []


async def test_whose_entry_was_deleted_strikes_nothing(queue, client, embedder) -> None:
    """It is pending still, but the chunk is published again, and will be settled by another."""
    task_id = await chunks.publish(queue, 1)
    consumer = embedder(queue)
    (delivery,) = await consumer.take(1)
    await client.xdel(queue.keys.lane(delivery.ref.lane), delivery.ref.entry_id)
    assert await consumer.strikes.add(delivery) == ""
    assert await queue.strikes(task_id, 0) == 0


async def test_strikes_are_taken_back_by_whoever_wrote_them_also_when_the_chunk_is_anothers(quick, embedder) -> None:
    """A zombie in mid decoding wakes: it did not die of the chunk."""
    task_id = await chunks.publish(quick, 1)
    zombie, heir = embedder(quick), embedder(quick)
    (delivery,) = await zombie.take(1)
    async with zombie.strikes.guard(delivery), asyncio.timeout(20):
        while not (taken := await heir.take(1)):
            pass
        assert taken[0].strikes == 1
    assert await quick.strikes(task_id, 0) == 0


async def test_nothing_of_a_task_that_is_over_stays(queue, client, embedder) -> None:
    """It was blocked, then cancelled: strikes of what left the queue unsettled, and defects of its drives."""
    task_id = await chunks.publish(queue, 4)
    other = await chunks.publish(queue, 1)
    consumer = embedder(queue)
    void, worked = await consumer.take(2)
    for chunk in range(4):
        await chunks.crashed(queue, task_id, chunk)
    await chunks.crashed(queue, other, 0)
    await chunks.defects(queue, task_id, 2)
    assert await consumer.ack(void, over=False)
    book = inflight.InFlight(queue)
    assert await book.tasks() == {task_id, other}

    assert await book.clear(task_id) == 2
    left = {key.decode() async for key in client.scan_iter(f"*{task_id}*")}
    assert left == {queue.keys.inflight(task_id), queue.keys.strikes(task_id, worked.header.chunk)}
    assert await consumer.ack(worked, over=False)
    assert await book.tasks() == {task_id, other}  # for that strike alone
    assert await book.clear(task_id) == 0
    assert await book.tasks() == {other}
    assert await queue.strikes(other, 0) == 1
