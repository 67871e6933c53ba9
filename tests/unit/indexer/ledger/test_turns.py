"""One task at a time writes a (namespace, question); first come, first served."""

import random
from collections.abc import Coroutine
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from services.indexer.ledger import items, turns
from services.indexer.storage import limits, memory, table
from services.runtime import errors
from tests.support import ledgers
from tests.support.ledgers import Line

GRACE_SECONDS = ledgers.DEADLINE_SECONDS + turns.MARGIN_SECONDS


async def test_the_first_gets_the_turn_and_the_same_fence_again(line: Line) -> None:
    task_id = await ledgers.create(line.book)
    first = await line.book.turns.acquire(task_id)
    assert first == turns.Turn(held=True, fence=1, holder=task_id, status="queued")
    assert await line.book.turns.acquire(task_id) == first


async def test_others_wait_in_order_and_only_once(line: Line) -> None:
    one, two, three = [await ledgers.create(line.book) for _ in range(3)]
    await line.book.turns.acquire(one)
    for waiter, position in ((two, 1), (three, 2), (two, 1)):
        turn = await line.book.turns.acquire(waiter)
        assert turn == turns.Turn(False, 0, holder=one, status="queued", position=position, first=two)
    assert line.storage.items[items.turn_key(ledgers.INDEX, "v2", 232)]["waiters"] == [two, three]


async def test_another_question_or_namespace_has_a_turn_of_its_own(line: Line) -> None:
    for changes in ({}, {"question_id": 1}, {"namespace": "v3"}, {"question_id": None}):
        assert (await line.book.turns.acquire(await ledgers.create(line.book, **changes))).fence == 1


@pytest.mark.parametrize("stop", ["cancel", "fail", "block"])
async def test_the_turn_passes_to_the_first_that_waits_once_the_last_upsert_is_over(line: Line, stop: str) -> None:
    one, two, three = [await ledgers.create(line.book) for _ in range(3)]
    for task_id in (one, two, three):
        await line.book.turns.acquire(task_id)
    if stop == "cancel":
        await line.book.tasks.cancel(one)
    elif stop == "fail":
        await line.book.tasks.fail(one, "R", "m")
    else:
        await line.book.tasks.block(one, "R", "m")
    line.time.pass_by(GRACE_SECONDS - 0.1)
    assert not (await line.book.turns.acquire(two)).held
    line.time.pass_by(0.2)
    assert not (await line.book.turns.acquire(three)).held  # not the first
    assert await line.book.turns.acquire(two) == turns.Turn(held=True, fence=2, holder=two, status="queued")
    assert not (await line.book.turns.acquire(one)).held


async def test_waiters_that_ended_or_are_blocked_hold_up_nobody(line: Line) -> None:
    one, two, three, four = [await ledgers.create(line.book) for _ in range(4)]
    for task_id in (one, two, three, four):
        await line.book.turns.acquire(task_id)
    await line.book.tasks.cancel(two)
    await line.book.tasks.block(three, "R", "m")
    await line.book.tasks.cancel(one)
    line.time.pass_by(GRACE_SECONDS + 1)
    assert (await line.book.turns.acquire(four)).held


async def loaded(line: Line, **changes: Any) -> str:
    """A task that wrote one row and ended."""
    task_id = await ledgers.scanned(line.book, rows=1, **changes)
    assert (await line.book.turns.acquire(task_id)).held
    await line.book.shards.open(task_id, 0)
    await line.book.closing.settle(task_id, 0, ledgers.good())
    await line.book.closing.seal(task_id, 1, 1)
    line.time.pass_by(GRACE_SECONDS + 1)
    return task_id


async def retry(line: Line, parent: str) -> str:
    recency = await line.book.turns.check_latest(parent)
    return await ledgers.create(line.book, parent_task_id=parent, recency=recency)


async def test_a_retry_never_writes_over_what_a_task_wrote_that_was_waiting_already(line: Line) -> None:
    # Given a retry that was stored while a later task waited: that one gets its turn first
    first = await loaded(line)
    later = await ledgers.scanned(line.book, rows=1)
    again = await retry(line, first)
    assert (await line.book.turns.acquire(later)).held
    assert not (await line.book.turns.acquire(again)).held
    await line.book.shards.open(later, 0)
    await line.book.closing.settle(later, 0, ledgers.good())
    await line.book.closing.seal(later, 1, 1)
    line.time.pass_by(GRACE_SECONDS + 1)

    turn = await line.book.turns.acquire(again)

    task = await line.book.tasks.get(again)
    assert not turn.held
    assert (turn.status, task["error_reason"]) == ("failed", "SUPERSEDED")


async def test_a_later_task_that_wrote_nothing_supersedes_nobody(line: Line) -> None:
    first = await loaded(line)
    for _ in range(2):
        later = await ledgers.scanned(line.book)
        await line.book.turns.acquire(later)
        await line.book.tasks.cancel(later)
        line.time.pass_by(GRACE_SECONDS + 1)
    again = await retry(line, first)
    assert (await line.book.turns.acquire(again)).held


async def test_retries_of_one_task_and_retries_of_those_follow_each_other(line: Line) -> None:
    first = again = await loaded(line)
    for parent in ("first", "first", "last"):
        again = await retry(line, first if parent == "first" else again)
        await line.book.tasks.begin_scan(again, b"")
        await line.book.tasks.end_scan(again, ledgers.scan(1))
        assert (await line.book.turns.acquire(again)).held
        await line.book.shards.open(again, 0)
        await line.book.tasks.block(again, "R", "m")  # and a blocked one goes on
        await line.book.resume(again)
        assert (await line.book.turns.acquire(again)).held
        await line.book.closing.settle(again, 0, ledgers.good())
        await line.book.closing.seal(again, 1, 1)
        line.time.pass_by(GRACE_SECONDS + 1)
    await line.book.turns.check_latest(again)
    await loaded(line)
    for each in (first, again):
        with pytest.raises(errors.Conflict, match="newer"):
            await line.book.turns.check_latest(each)


async def test_a_retry_behind_a_task_that_is_loading_is_refused_and_another_keys_task_is_not_named(line: Line) -> None:
    first = await loaded(line)
    for client in ("bob", "ann"):
        later = await ledgers.scanned(line.book, client=client)
        await line.book.turns.acquire(later)
        with pytest.raises(errors.Conflict) as caught:
            await line.book.turns.check_latest(first)
        assert caught.value.reason == "SUPERSEDED"
        assert later not in caught.value.message
        assert caught.value.metadata.get("later_task_id") == (later if client == "ann" else None)
        await line.book.tasks.cancel(later)
        line.time.pass_by(GRACE_SECONDS + 1)


async def test_a_turn_of_an_earlier_version_is_taken_for_written_by_all_but_its_holder(line: Line) -> None:
    first = await loaded(line)
    turn = line.storage.items[items.turn_key(ledgers.INDEX, "v2", 232)]
    del turn["wrote"]
    await line.book.turns.check_latest(first)
    turn["fence"] += 2
    with pytest.raises(errors.Conflict):
        await line.book.turns.check_latest(first)


async def test_a_line_that_is_full_keeps_its_item_small_and_lets_others_ask_again(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "MOST_WAITERS", 2)
    made = [await ledgers.create(line.book) for _ in range(5)]
    asked = [await line.book.turns.acquire(task_id) for task_id in made]
    assert [turn.position for turn in asked] == [0, 1, 2, 3, 3]
    assert line.storage.items[items.turn_key(ledgers.INDEX, "v2", 232)]["waiters"] == made[1:3]
    await line.book.tasks.cancel(made[0])
    line.time.pass_by(GRACE_SECONDS + 1)
    for task_id in (made[1], made[3]):
        await line.book.turns.acquire(task_id)
    assert line.storage.items[items.turn_key(ledgers.INDEX, "v2", 232)]["waiters"] == [made[2], made[3]]


async def test_five_thousand_that_wait_fit_into_an_item() -> None:
    waiters = ["00000000-0000-0000-0000-000000000000"] * turns.MOST_WAITERS
    assert limits.size({table.KEY: "k" * 2_048, "waiters": waiters}) < limits.ITEM_BYTES * 0.6


async def test_asking_looks_no_further_than_the_first_that_may_go_on(line: Line) -> None:
    made = [await ledgers.create(line.book) for _ in range(60)]
    for task_id in made:
        await line.book.turns.acquire(task_id)
    for task_id in made[1:25]:
        await line.book.tasks.cancel(task_id)
    asked: list[int] = []
    read = line.storage.get_many

    async def count(keys: Any, paths: Any = ()) -> Any:
        asked.append(len(keys))
        return await read(keys, paths)

    line.storage.get_many = count
    turn = await line.book.turns.acquire(made[50])
    assert (turn.position, turn.first) == (26, made[25])
    assert asked == [10, 10, 10]
    assert len(asked) == 3


async def test_a_resumed_task_queues_for_its_turn_again(line: Line) -> None:
    one, two = await ledgers.scanned(line.book), await ledgers.create(line.book)
    assert (await line.book.turns.acquire(one)).fence == 1
    await line.book.turns.acquire(two)
    await line.book.tasks.block(one, "R", "m")
    line.time.pass_by(GRACE_SECONDS + 1)
    await line.book.resume(one)
    waiting = await line.book.turns.acquire(one)
    assert (waiting.held, waiting.status) == (False, "processing_chunks")
    assert (await line.book.turns.acquire(two)).fence == 2  # at once: the holder stopped long ago
    await line.book.tasks.cancel(two)
    line.time.pass_by(GRACE_SECONDS + 1)
    assert (await line.book.turns.acquire(one)).fence == 3


async def test_a_resumed_holder_that_nobody_waits_for_goes_on_at_once_under_a_new_fence(line: Line) -> None:
    task_id = await ledgers.scanned(line.book)
    await line.book.turns.acquire(task_id)
    await line.book.tasks.block(task_id, "R", "m")
    assert (await line.book.turns.acquire(task_id)).status == "blocked"
    await line.book.resume(task_id)
    assert (await line.book.turns.acquire(task_id)).fence == 2


async def test_a_finished_task_gets_no_turn(line: Line) -> None:
    task_id = await ledgers.create(line.book)
    await line.book.tasks.cancel(task_id)
    assert await line.book.turns.acquire(task_id) == turns.Turn(held=False, fence=0, holder="", status="cancelled")
    with pytest.raises(errors.NotFound):
        await line.book.turns.acquire("nobody")


async def test_a_stop_whose_write_was_slow_counts_from_when_it_was_written() -> None:
    slow = ledgers.line(SlowTable())
    slow.storage.time = slow.time
    one, two = await ledgers.create(slow.book), await ledgers.create(slow.book)
    for task_id in (one, two):
        await slow.book.turns.acquire(task_id)
    slow.storage.next_update_seconds = 10.0
    await slow.book.tasks.cancel(one)
    slow.time.pass_by(GRACE_SECONDS - 5)
    assert not (await slow.book.turns.acquire(two)).held
    slow.time.pass_by(6)
    assert (await slow.book.turns.acquire(two)).held


class SlowTable(memory.MemoryTable):
    """The next update takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.next_update_seconds = 0.0
        self.time = ledgers.Time()

    async def update(self, write: table.Update) -> table.Item:
        self.time.pass_by(self.next_update_seconds)
        self.next_update_seconds = 0.0
        return await super().update(write)


@hypothesis.settings(max_examples=200, deadline=None)
@hypothesis.given(seed=strategies.integers(0, 2**32), crash_every=strategies.sampled_from([0, 15]))
def test_two_tasks_never_write_at_once(seed: int, crash_every: int) -> None:
    # Given tasks over one question, and time that passes while anything happens
    chance = random.Random(seed)
    storage = memory.MemoryTable(ledgers.pause)
    line = ledgers.line(storage)
    key = items.turn_key(ledgers.INDEX, "v2", 232)
    tasks: list[str] = [ledgers.at_once(ledgers.scanned(line.book)) for _ in range(3)]
    stopped: dict[str, float] = {}
    state: dict[str, Any] = {"holder": "", "fence": 0, "stopping": 0}

    def look() -> None:
        turn = storage.items.get(key)
        if turn is not None and turn["fence"] != state["fence"]:
            assert turn["fence"] == state["fence"] + 1
            before = str(state["holder"])
            if before and before != turn["holder"]:
                assert line.time.now - stopped[before] >= GRACE_SECONDS, "the turn passed while its holder may write"
            state.update(holder=turn["holder"], fence=turn["fence"])
        if turn is not None:
            assert len(turn["waiters"]) == len(set(turn["waiters"]))
        for task_id in tasks:
            item = storage.items[task_id]
            if item["status"] in items.STOPPED:
                stopped.setdefault(task_id, line.time.now)
            elif "fence" in item:
                stopped.pop(task_id, None)
        # A write takes at most a moment here; that a slow one is stamped anew has a test of its own.
        line.time.pass_by(0.0 if state["stopping"] else chance.choice([0.0, 0.5, 20.0]))

    async def stop(work: Coroutine[Any, Any, Any]) -> None:
        state["stopping"] += 1
        try:
            await work
        finally:
            state["stopping"] -= 1

    async def live(task_id: str) -> None:
        for _ in range(6):
            try:
                match chance.randrange(5):
                    case 0 | 1:
                        await line.book.turns.acquire(task_id)
                    case 2:
                        await stop(line.book.tasks.block(task_id, "R", "m"))
                    case 3:
                        await line.book.tasks.resume(task_id)
                    case 4:
                        await stop(line.book.tasks.cancel(task_id))
            except (errors.Conflict, errors.Unavailable):
                continue

    scheduler = ledgers.Scheduler(chance.randrange)
    for task_id in tasks:
        scheduler.add(live(task_id))
        scheduler.add(live(task_id))
    scheduler.run(look, crash_every)
    # Then, whatever happened, whoever is still open gets its turn in the end
    for _ in range(8):
        line.time.pass_by(GRACE_SECONDS + 1)
        look()
        for task_id in tasks:
            ledgers.at_once(line.book.tasks.resume(task_id))
            look()
            if ledgers.at_once(line.book.turns.acquire(task_id)).held:
                look()
                ledgers.at_once(line.book.tasks.cancel(task_id))
                look()
    assert {storage.items[task_id]["status"] for task_id in tasks} == {"cancelled"}
