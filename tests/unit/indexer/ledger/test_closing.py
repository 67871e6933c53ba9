"""From the last settled chunk to the terminal status, in every order and with crashes at every await."""

import dataclasses
import random
from typing import Any

import hypothesis
import prometheus_client
import pytest
from hypothesis import strategies

from services.indexer.ledger import items, shards
from services.indexer.storage import limits, memory
from services.runtime import errors
from tests.support import ledgers
from tests.support.ledgers import Line


@pytest.fixture(autouse=True)
def _two_chunks_a_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items, "CHUNKS_PER_SHARD", 2)


async def opened(line: Line, chunks: int, rows: int | None = None) -> str:
    task_id = await ledgers.scanned(line.book, rows=chunks if rows is None else rows)
    for shard in range(-(-chunks // 2)):
        await line.book.shards.open(task_id, shard)
    return task_id


async def test_the_last_chunk_closes_a_sealed_task(line: Line) -> None:
    task_id = await opened(line, 3)
    await line.book.closing.seal(task_id, 3, 3)
    for chunk in range(2):
        await line.book.closing.settle(task_id, chunk, ledgers.good())
    assert (await line.book.tasks.get(task_id))["status"] == "processing_chunks"
    await line.book.closing.settle(task_id, 2, ledgers.good())
    task = await line.book.tasks.get(task_id)
    assert task["status"] == "completed"
    assert task["indexed"] == 3
    assert task["completed_at"]
    assert (task["listing"], task["client_listing"]) == ("completed", "ann#completed")


async def test_the_seal_closes_a_task_whose_chunks_are_all_settled(line: Line) -> None:
    task_id = await opened(line, 3)
    for chunk in range(3):
        await line.book.closing.settle(task_id, chunk, ledgers.good())
    task = await line.book.closing.seal(task_id, 3, 3)
    assert task["status"] == "completed"


async def test_no_chunks_complete_at_the_seal(line: Line) -> None:
    task_id = await opened(line, 0)
    task = await line.book.closing.seal(task_id, 0, 0)
    assert task["status"] == "completed"
    assert task["shards_total"] == 0
    assert (await line.book.closing.seal(task_id, 0, 0))["status"] == "completed"


async def test_a_task_whose_rows_do_not_add_up_is_never_completed(line: Line) -> None:
    task_id = await opened(line, 1, rows=10)
    await line.book.closing.settle(task_id, 0, ledgers.good())
    task = await line.book.closing.seal(task_id, 1, 10)
    assert (task["status"], task["error_reason"]) == ("blocked", "ROWS_UNACCOUNTED")
    assert "1 rows, but its source has 10" in task["error"]
    assert (await line.book.resume(task_id))["status"] == "blocked"
    await line.book.tasks.cancel(task_id)


async def test_only_the_seal_that_counts_says_how_many_chunks_the_last_shard_has(line: Line) -> None:
    task_id = await opened(line, 4)
    await line.book.closing.seal(task_id, 3, 4)
    with pytest.raises(errors.Conflict, match="two splits differ"):
        await line.book.closing.seal(task_id, 4, 4)
    assert line.storage.items[items.shard_key(task_id, 1)]["exp"] == 1


async def test_a_seal_that_died_before_it_told_the_last_shard_is_healed(line: Line) -> None:
    task_id = await opened(line, 1)
    await line.book.closing._store_seal(task_id, 1, 1, 1)
    await line.book.closing.settle(task_id, 0, ledgers.good())
    assert (await line.book.tasks.get(task_id))["status"] == "processing_chunks"
    assert (await line.book.closing.heal(task_id))["status"] == "completed"


async def test_sums_that_an_earlier_version_rolled_up_count_with_ours(line: Line) -> None:
    task_id = await opened(line, 4)
    for chunk in range(2):
        await line.book.closing.settle(task_id, chunk, ledgers.bad())
    item = line.storage.items[task_id]
    del item["failed:empty_text"], item["chunks_failed"], item["settled_at"]
    item["s"]["0"] = {  # as it was stored then
        "settled": 2,
        "indexed": 0,
        "skipped": 0,
        "failed": 2,
        "chunks_failed": 2,
        "reasons": {"empty_text": 2},
        "settled_at": "2026-01-01T00:00:00.000000Z",
    }
    await line.book.closing.settle(task_id, 2, ledgers.bad())
    await line.book.closing.settle(task_id, 3, ledgers.good())
    (counts,) = await line.book.progress([await line.book.tasks.get(task_id)])
    assert (counts.indexed, counts.failed, counts.chunks_settled, counts.chunks_failed) == (1, 3, 4, 3)
    assert (counts.reasons, counts.current_chunk) == ({"empty_text": 3}, 4)


async def test_a_task_has_room_for_the_shards_of_all_the_chunks_it_may_have(line: Line) -> None:
    names = tuple(f"a column with the number {number}" for number in range(3_000))
    task_id = await ledgers.create(line.book, request=b"r" * items.REQUEST_BYTES)
    await line.book.tasks.begin_scan(task_id, b"s" * 2_000)
    warnings = (b"w" * 600,) * 200
    found = dataclasses.replace(ledgers.scan(10), columns=names, warnings=warnings, chunks=items.MOST_CHUNKS)
    await line.book.end_scan(task_id, found)
    item = line.storage.items[task_id]
    item["s"] = {str(number): 256 for number in range(items.MOST_CHUNKS // 256 + 1)}
    item |= {f"failed:{reason}_reason_of_some_length": 10**9 for reason in range(40)}
    await line.book.tasks.block(task_id, "R", "m" * 10_000)
    assert limits.size(item) < limits.ITEM_BYTES * 0.6


async def test_a_task_of_more_chunks_than_the_ledger_holds_fails_by_name(line: Line) -> None:
    task_id = await ledgers.create(line.book)
    await line.book.tasks.begin_scan(task_id, b"")
    with pytest.raises(errors.Conflict) as caught:
        await line.book.end_scan(task_id, ledgers.scan(10, chunks=items.MOST_CHUNKS + 1))
    task = await line.book.tasks.get(task_id)
    assert caught.value.reason == task["error_reason"] == "TOO_MANY_CHUNKS"
    assert "chunk_size" in task["error"]


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ([ledgers.good(), ledgers.good()], "completed"),
        ([ledgers.good(), ledgers.bad()], "partially_completed"),
        ([ledgers.bad(), ledgers.bad()], "failed"),
        ([ledgers.good(0, skipped=1), ledgers.good(0, skipped=1)], "completed"),
        ([ledgers.good(0, skipped=1), ledgers.bad()], "failed"),
    ],
)
async def test_the_status_follows_from_the_counts(line: Line, outcomes: list[shards.Outcome], status: str) -> None:
    task_id = await opened(line, 2)
    await line.book.closing.seal(task_id, 2, 2)
    for chunk, outcome in enumerate(outcomes):
        await line.book.closing.settle(task_id, chunk, outcome)
    task = await line.book.tasks.get(task_id)
    assert task["status"] == status
    assert task.get("error_reason") == ("NO_ROW_INDEXED" if status == "failed" else None)


async def test_a_chunk_settles_once_and_the_first_outcome_stays(line: Line) -> None:
    task_id = await opened(line, 1)
    first = await line.book.closing.settle(task_id, 0, ledgers.good(3))
    again = await line.book.closing.settle(task_id, 0, ledgers.bad(3))
    assert not first.already
    assert again.already
    assert (again.indexed, again.skipped, again.failed) == (3, 0, 0)
    shard = await line.book.shards.get(task_id, 0)
    assert shard is not None
    assert shard["settled"] == 1
    assert shard["indexed"] == 3


async def test_a_chunk_of_an_unopened_shard_is_not_taken_for_settled(line: Line) -> None:
    task_id = await ledgers.scanned(line.book)
    with pytest.raises(errors.Conflict) as caught:
        await line.book.closing.settle(task_id, 0, ledgers.good())
    assert caught.value.reason == "SHARD_NOT_OPEN"


async def test_a_shard_of_an_unknown_task_cannot_be_opened(line: Line) -> None:
    with pytest.raises(errors.NotFound):
        await line.book.shards.open("nobody", 0)
    assert line.storage.items == {}


async def test_a_task_cannot_be_sealed_before_its_scan_nor_with_two_numbers(line: Line) -> None:
    task_id = await ledgers.create(line.book)
    with pytest.raises(errors.Conflict, match="after its scan"):
        await line.book.closing.seal(task_id, 1, 1)
    task_id = await opened(line, 2)
    await line.book.closing.seal(task_id, 2, 2)
    with pytest.raises(errors.Conflict) as caught:
        await line.book.closing.seal(task_id, 1, 1)
    assert caught.value.reason == "SEALED_OTHERWISE"


async def test_an_outcome_that_does_not_add_up_is_refused() -> None:
    with pytest.raises(ValueError, match="add up"):
        shards.Outcome(indexed=1, skipped=0, failed=2, reasons={"a": 1})


async def test_a_cancelled_task_counts_what_was_in_flight_and_stays_cancelled(line: Line) -> None:
    task_id = await opened(line, 4)
    await line.book.closing.seal(task_id, 4, 4)
    await line.book.closing.settle(task_id, 0, ledgers.good())
    await line.book.tasks.cancel(task_id)
    for chunk in (1, 2):  # one fills its shard, one does not
        await line.book.closing.settle(task_id, chunk, ledgers.bad())
    task = await line.book.tasks.get(task_id)
    (progress,) = await line.book.progress([task])
    assert task["status"] == "cancelled"
    assert (progress.indexed, progress.failed, progress.chunks_settled) == (1, 2, 3)
    assert progress.reasons == {"empty_text": 2}


async def test_a_blocked_task_closes_when_it_is_resumed(line: Line) -> None:
    task_id = await opened(line, 2)
    await line.book.closing.seal(task_id, 2, 2)
    await line.book.tasks.block(task_id, "ACCOUNT_REFUSED", "Pay.")
    for chunk in range(2):
        await line.book.closing.settle(task_id, chunk, ledgers.good())
    assert (await line.book.tasks.get(task_id))["status"] == "blocked"
    task = await line.book.resume(task_id)
    assert task["status"] == "completed"
    assert "error" not in task


async def test_a_repeated_settle_heals_what_a_crash_left_between_settle_and_close(line: Line) -> None:
    task_id = await opened(line, 2)
    await line.book.closing.seal(task_id, 2, 2)
    for chunk in range(2):
        await line.book.shards.settle(task_id, chunk, ledgers.good())  # as if killed right after
    assert (await line.book.tasks.get(task_id))["status"] == "processing_chunks"
    assert (await line.book.closing.settle(task_id, 1, ledgers.good())).already
    assert (await line.book.tasks.get(task_id))["status"] == "completed"


class Watched(memory.MemoryTable):
    """Counts how often each task became terminal, and that it never changed after."""

    def __init__(self) -> None:
        super().__init__(ledgers.pause)
        self.ends: list[str] = []
        self._was = ""

    def look(self) -> None:
        for item in self.items.values():
            if item.get("kind") == "task":
                status = item["status"]
                if self._was in items.TERMINAL:
                    assert status == self._was, "a terminal status changed"
                elif status in items.TERMINAL:
                    self.ends.append(status)
                self._was = status


def recount(storage: Any, task_id: str) -> dict[str, int]:
    counts = {"i": 0, "s": 0, "f": 0}
    for item in storage.items.values():
        if item.get("kind") == "shard" and item["task"] == task_id:
            outcomes = item["c"].values()
            for name in counts:
                counts[name] += sum(outcome[name] for outcome in outcomes)
            assert item["settled"] == len(item["c"])
    return counts


OUTCOMES = strategies.sampled_from([ledgers.good(), ledgers.good(0, skipped=1), ledgers.bad()])


@hypothesis.settings(
    max_examples=250, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(
    seed=strategies.integers(0, 2**32),
    outcomes=strategies.lists(OUTCOMES, max_size=5),
    copies=strategies.integers(1, 3),
    cancelled=strategies.booleans(),
    blocked=strategies.booleans(),
    crash_every=strategies.sampled_from([0, 8, 25]),
)
def test_any_interleaving_and_any_crash_ends_once_with_exact_counts(
    seed: int, outcomes: list[shards.Outcome], copies: int, cancelled: bool, blocked: bool, crash_every: int
) -> None:
    # Given a scanned task, some of whose chunks are delivered several times
    chance = random.Random(seed)
    storage = Watched()
    line = ledgers.line(storage)
    book = line.book
    chunks = len(outcomes)
    task_id: str = ledgers.at_once(opened(line, chunks))
    scheduler = ledgers.Scheduler(chance.randrange)
    books = [book, ledgers.line(storage).book]
    # When everybody runs at once, in two processes: settlers, two sealers, a canceller, a blocker, a resumer
    for chunk, outcome in enumerate(outcomes):
        for _ in range(copies):
            scheduler.add(chance.choice(books).closing.settle(task_id, chunk, outcome))
    for _ in range(2):
        scheduler.add(book.closing.seal(task_id, chunks, chunks))
    if blocked:
        scheduler.add(book.tasks.block(task_id, "CAP", "Wait."))
        scheduler.add(book.resume(task_id))
    if cancelled:
        scheduler.add(_cancel(line, task_id))
    scheduler.run(storage.look, crash_every)
    # Then what is told of it is what was counted, also now
    task = ledgers.at_once(book.tasks.get(task_id))
    (progress,) = ledgers.at_once(book.progress([task]))
    counted = recount(storage, task_id)
    assert (progress.indexed, progress.skipped, progress.failed) == (counted["i"], counted["s"], counted["f"])
    # And when what crashes left undone is repeated, as a resubmitter does, it ends exactly once
    for chunk, outcome in enumerate(outcomes):
        ledgers.at_once(book.closing.settle(task_id, chunk, outcome))
        storage.look()
    ledgers.at_once(book.closing.seal(task_id, chunks, chunks))
    ledgers.at_once(book.resume(task_id))
    storage.look()
    task = ledgers.at_once(book.tasks.get(task_id))
    assert len(storage.ends) == 1
    assert task["status"] in items.TERMINAL
    assert task["shards_settled"] == task["shards_total"] == len(task["s"])
    counted = recount(storage, task_id)
    assert (task["indexed"], task["skipped"], task["failed"]) == (counted["i"], counted["s"], counted["f"])
    assert sum(counted.values()) == chunks
    if not cancelled:
        failed, indexed = counted["f"], counted["i"]
        assert task["status"] == ("completed" if not failed else "partially_completed" if indexed else "failed")


async def _cancel(line: Line, task_id: str) -> None:
    try:
        await line.book.tasks.cancel(task_id)
    except errors.Conflict:
        return


@hypothesis.settings(
    max_examples=100, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(seed=strategies.integers(0, 2**32))
def test_progress_never_goes_back_while_shards_are_rolled_up(seed: int) -> None:
    chance = random.Random(seed)
    storage = Watched()
    line = ledgers.line(storage)
    task_id: str = ledgers.at_once(opened(line, 5))
    scheduler = ledgers.Scheduler(chance.randrange)
    seen: list[int] = []

    async def look() -> None:
        for _ in range(6):
            task = await line.book.tasks.get(task_id)
            (progress,) = await line.book.progress([task])
            seen.append(progress.rows)

    scheduler.add(look())
    for chunk in range(5):
        scheduler.add(line.book.closing.settle(task_id, chunk, ledgers.good()))
    scheduler.add(line.book.closing.seal(task_id, 5, 5))
    scheduler.run(storage.look)
    assert seen == sorted(seen)
    assert max(seen) <= 5


def shown(name: str, **labels: str) -> float:
    return prometheus_client.REGISTRY.get_sample_value(name, labels) or 0.0


async def test_rows_and_chunks_are_counted_once_however_often_they_are_settled(line: Line) -> None:
    task_id = await opened(line, 2, rows=7)
    names = ("indexed", "skipped", "failed")
    before = [shown("vectorline_rows_total", outcome=name) for name in names]
    settled, dead = shown("vectorline_chunks_settled_total"), shown("vectorline_dead_letters_total", reason="poison")
    bad = shown("vectorline_rows_rejected_total", reason="empty_text")

    for _ in range(3):
        await line.book.closing.settle(task_id, 0, shards.Outcome(2, 1, 1, {"empty_text": 1}, rejects_key=""))
        await line.book.closing.settle(task_id, 1, shards.Outcome(0, 0, 3, {"poison": 3}, reason="poison"))

    assert [shown("vectorline_rows_total", outcome=name) for name in names] == [
        before[0] + 2,
        before[1] + 1,
        before[2] + 4,
    ]
    assert shown("vectorline_rows_rejected_total", reason="empty_text") == bad + 1
    assert shown("vectorline_chunks_settled_total") == settled + 2
    assert shown("vectorline_dead_letters_total", reason="poison") == dead + 1


@pytest.mark.parametrize(("rows", "size"), [(0, "to_1k"), (1_000, "to_1k"), (1_001, "to_10k"), (5_000_000, "over_1m")])
async def test_how_long_a_task_took_is_counted_once_by_its_end_and_size(line: Line, rows: int, size: str) -> None:
    task_id = await ledgers.scanned(line.book, rows=rows)
    labels = {"status": "cancelled", "size": size}
    before = shown("vectorline_task_seconds_count", **labels), shown("vectorline_task_seconds_sum", **labels)
    line.time.pass_by(90)

    await line.book.tasks.cancel(task_id)
    with pytest.raises(errors.Conflict):
        await line.book.tasks.cancel(task_id)

    assert shown("vectorline_task_seconds_count", **labels) == before[0] + 1
    assert shown("vectorline_task_seconds_sum", **labels) == pytest.approx(before[1] + 90, abs=1)
