"""A namespace is dropped only while nobody else can write there, and where nothing else is in it."""

import dataclasses
import random
from typing import Any

import pytest

from services.indexer.ledger import drops, gate, items, manifests, namespaces, removals, turns
from services.indexer.storage import memory
from services.runtime import errors
from tests.support import ledgers
from tests.support.ledgers import Line

GRACE_SECONDS = ledgers.DEADLINE_SECONDS + turns.MARGIN_SECONDS
SPACE = items.namespace_key(ledgers.INDEX, "v2")
KIND = namespaces.Wanted("v2", namespaces.Kind("small", 2))


@dataclasses.dataclass(frozen=True)
class Task:
    """A task of a question in its turn."""

    task_id: str
    fence: int
    question: int


async def begun(line: Line, question: int) -> Task:
    task_id = await ledgers.scanned(line.book, question_id=question)
    turn = await line.book.turns.acquire(task_id)
    assert turn.held
    return Task(task_id, turn.fence, question)


async def kept(line: Line, task: Task) -> None:
    made = manifests.Comparison(task.fence, (await item(line, task.question))["version"], f"of-{task.task_id}", "sum")
    await line.book.manifests.keep(task.task_id, made, None)


async def mark(line: Line, task: Task) -> bool:
    return await line.book.manifests.mark(task.task_id, task.fence)


async def marked(line: Line, question: int) -> Task:
    task = await begun(line, question)
    await kept(line, task)
    assert await mark(line, task)
    return task


async def item(line: Line, question: int) -> Any:
    return line.storage.items[items.manifest_key(ledgers.INDEX, "v2", question)]


async def loaded(line: Line, question: int, known: int, unknown: int = 0) -> None:
    """A load of the question is over and merged."""
    task = await marked(line, question)
    await line.book.tasks.cancel(task.task_id)
    line.time.pass_by(GRACE_SECONDS + 1)
    state = await line.book.manifests.read(items.manifest_key(ledgers.INDEX, "v2", question))
    assert state is not None
    assert await line.book.manifests.commit(state, manifests.Version("header", "sum", known, unknown, "", 0))


async def drop(line: Line, task: Task, there: int, count: int) -> drops.Answer:
    async def counted() -> int:
        return count

    return await line.book.drops.begin(task.task_id, task.fence, there, counted)


async def held(line: Line, there: int = 10) -> Task:
    """A removal that may drop."""
    await loaded(line, 7, there)
    task = await marked(line, 7)
    assert (await drop(line, task, there, there)).wait_seconds == pytest.approx(GRACE_SECONDS)
    line.time.pass_by(GRACE_SECONDS)
    assert await drop(line, task, there, there) == drops.Answer()
    return task


def dropping(line: Line) -> Any:
    return line.storage.items[SPACE].get("dropping")


async def test_it_waits_for_writes_that_were_permitted_before_and_then_counts(line: Line) -> None:
    await loaded(line, 7, 10)
    task = await marked(line, 7)
    assert (await drop(line, task, 10, 10)).wait_seconds > GRACE_SECONDS - 1
    line.time.pass_by(GRACE_SECONDS / 2)
    assert 0 < (await drop(line, task, 10, 10)).wait_seconds <= GRACE_SECONDS / 2
    line.time.pass_by(GRACE_SECONDS / 2)
    answer = await drop(line, task, 10, 11)
    assert "11 vectors are in it" in answer.why
    assert dropping(line) is None, "others may write again"


async def test_it_may_where_the_index_has_no_more_than_the_question(line: Line) -> None:
    task = await held(line)
    assert dropping(line)["task"] == task.task_id


@pytest.mark.parametrize(
    ("known", "unknown", "why"), [(3, 0, "3 vectors of other questions"), (0, 2, "may be in it"), (0, 0, "")]
)
async def test_no_other_manifest_may_have_an_entry(line: Line, known: int, unknown: int, why: str) -> None:
    await loaded(line, 7, 10)
    await loaded(line, 8, known, unknown)
    task = await marked(line, 7)
    answer = await drop(line, task, 10, 10)
    assert why in answer.why
    assert bool(answer.why) == bool(why)


async def test_entries_of_a_void_manifest_are_none(line: Line) -> None:
    await loaded(line, 7, 10)
    await loaded(line, 8, 3, 2)
    other = await item(line, 8)
    await line.book.manifests.void(other["task_id"], other["version"], "not believed")
    task = await marked(line, 7)
    assert not (await drop(line, task, 10, 10)).why, "what the index has of it is counted"


async def test_it_is_not_held_while_another_run_is_pending(line: Line) -> None:
    await loaded(line, 7, 10)
    await marked(line, 8)
    task = await marked(line, 7)
    assert "other loads write" in (await drop(line, task, 10, 10)).why
    assert dropping(line) is None


async def test_only_the_task_in_its_turn_with_its_run_marked_may_hold_it(line: Line) -> None:
    task = await begun(line, 7)
    with pytest.raises(errors.Conflict, match="not marked"):
        await drop(line, task, 0, 0)
    await kept(line, task)
    await mark(line, task)
    with pytest.raises(errors.Conflict, match="not the task's"):
        await drop(line, dataclasses.replace(task, fence=task.fence + 1), 0, 0)
    await line.book.tasks.cancel(task.task_id)
    with pytest.raises(errors.Conflict, match="not the task's"):
        await drop(line, task, 0, 0)


async def test_no_mark_is_made_under_it_until_its_task_is_over_for_long_enough(line: Line) -> None:
    task = await held(line)
    other = await begun(line, 8)
    await kept(line, other)
    with pytest.raises(errors.Unavailable, match="being dropped"):
        await mark(line, other)
    await line.book.tasks.cancel(task.task_id)
    line.time.pass_by(GRACE_SECONDS - 1)
    with pytest.raises(errors.Unavailable, match="being dropped"):  # a request of it may still arrive
        await mark(line, other)
    line.time.pass_by(2)
    assert await mark(line, other)
    assert dropping(line) is None


async def test_a_task_that_is_resumed_in_time_keeps_others_out(line: Line) -> None:
    task = await held(line)
    await line.book.tasks.block(task.task_id, "INDEX_REFUSED", "")
    line.time.pass_by(GRACE_SECONDS + 1)
    await line.book.tasks.resume(task.task_id)
    other = await begun(line, 8)
    await kept(line, other)
    with pytest.raises(errors.Unavailable):
        await mark(line, other)


async def test_what_was_held_in_another_turn_is_held_anew(line: Line) -> None:
    task = await held(line)
    await line.book.tasks.block(task.task_id, "INDEX_REFUSED", "")
    await line.book.tasks.resume(task.task_id)
    turn = await line.book.turns.acquire(task.task_id)
    with pytest.raises(errors.Conflict, match="not held"):
        await line.book.drops.check("v2", task.task_id, turn.fence)
    again = dataclasses.replace(task, fence=turn.fence)
    assert (await drop(line, again, 10, 10)).wait_seconds == pytest.approx(GRACE_SECONDS)
    await line.book.drops.check("v2", task.task_id, turn.fence)


async def test_a_mark_of_an_older_release_stops_a_drop_that_was_not_sent_yet(line: Line) -> None:
    task = await held(line)
    line.storage.items[SPACE]["pending"] += 1
    with pytest.raises(errors.Conflict, match="not held"):
        await line.book.drops.check("v2", task.task_id, task.fence)


async def test_what_a_removal_left_behind_is_taken_over_by_the_next(line: Line) -> None:
    task = await held(line)
    await line.book.tasks.cancel(task.task_id)
    line.time.pass_by(GRACE_SECONDS + 1)
    state = await line.book.manifests.read(items.manifest_key(ledgers.INDEX, "v2", 7))
    assert state is not None
    await line.book.manifests.commit(state, manifests.Version("header", "sum", 0, 0, "", 0))
    following = await marked(line, 7)
    assert (await drop(line, following, 0, 0)).wait_seconds == pytest.approx(GRACE_SECONDS)
    assert dropping(line)["task"] == following.task_id


async def test_nothing_is_written_under_it_either_not_even_without_a_mark(line: Line) -> None:
    """A load whose manifest was made void in mid turn, or of an older release, writes unmarked."""
    unmarked = await begun(line, 8)
    task = await held(line)
    with pytest.raises(errors.Unavailable, match="being dropped"):
        await line.book.gate.check_write(unmarked.task_id, unmarked.fence, KIND)
    await line.book.tasks.cancel(task.task_id)
    line.time.pass_by(GRACE_SECONDS + 1)
    assert await line.book.gate.check_write(unmarked.task_id, unmarked.fence, KIND) is gate.Answer.GO


async def test_a_removal_begins_to_drop_only_what_is_held_for_it(line: Line) -> None:
    await loaded(line, 7, 10)
    task = await marked(line, 7)
    removal = removals.Removal(f"of-{task.task_id}", 0, 1, drop=True)
    with pytest.raises(errors.Conflict, match="may not remove"):
        await line.book.removals.begin(task.task_id, task.fence, removal)
    await drop(line, task, 10, 10)
    await line.book.removals.begin(task.task_id, task.fence, removal)
    assert removals.of(await line.book.tasks.get(task.task_id)) == removal


async def test_once_a_drop_was_begun_it_is_held_until_the_task_is_over(line: Line) -> None:
    """A request that was given up may still arrive, also after the task went on by ids."""
    task = await held(line)
    await line.book.removals.begin(task.task_id, task.fence, removals.Removal(f"of-{task.task_id}", 0, 1, drop=True))
    assert (await drop(line, task, 10, 11)).why
    assert dropping(line) is not None


class Stepped(memory.MemoryTable):
    """A table that lets others go first, before each of its steps."""

    async def get(self, key: str) -> Any:
        await ledgers.pause()
        return await super().get(key)

    async def transact(self, writes: Any) -> None:
        await ledgers.pause()
        await super().transact(writes)

    async def update(self, write: Any) -> Any:
        await ledgers.pause()
        return await super().update(write)


@pytest.mark.parametrize("seed", range(150))
def test_however_a_mark_and_a_drop_interleave_one_keeps_the_other_out(seed: int) -> None:
    line = ledgers.line(Stepped())
    chance = random.Random(seed)
    ledgers.at_once(loaded(line, 7, 10))
    removal, load = ledgers.at_once(marked(line, 7)), ledgers.at_once(begun(line, 8))
    ledgers.at_once(kept(line, load))
    told: dict[str, Any] = {}

    async def drops_it() -> None:
        told["drop"] = await drop(line, removal, 10, 10)
        line.time.pass_by(GRACE_SECONDS)
        told["drop"] = await drop(line, removal, 10, 10)
        if not told["drop"].why:
            assert line.storage.items[SPACE]["pending"] == 1, "a load is marked in a namespace that is dropped"

    async def loads() -> None:
        try:
            told["marked"] = await mark(line, load)
        except errors.Unavailable:
            told["marked"] = False

    scheduler = ledgers.Scheduler(chance.randrange)
    scheduler.add(drops_it())
    scheduler.add(loads())
    scheduler.run()
    assert told["marked"] == bool(told["drop"].why), told
