"""Deletes of a task: begun once in its turn, gated like writes, settled once, held until a person confirms."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from google.protobuf import struct_pb2

from services.billing import spend
from services.indexer import indexing, late, mirror_watch, removing
from services.indexer.ledger import drops, items, manifests, removals, shards, turns
from services.indexer.pinecone import batch as batches
from services.indexer.pinecone import deletes
from services.runtime import breaker, errors
from tests.support import ledgers
from tests.support.ledgers import Line

GRACE_SECONDS = ledgers.DEADLINE_SECONDS + turns.MARGIN_SECONDS
SUM = "5um"
HELD = removals.Held(5, 9, SUM, "much")


class Index:
    """An index, the way into it, and the transport that chooses it."""

    def __init__(self) -> None:
        self.vectors = {f"7.{number}": {"text": "x" * number} for number in range(20)}
        self.failures: list[Exception] = []
        self.asked: list[list[str]] = []
        self.dropped: list[str] = []

    async def way(self) -> "Index":
        return self

    def find_anew(self) -> None:
        """It is where it was."""

    def dimension(self) -> int:
        return 100

    async def fetch(self, _namespace: str, ids: Sequence[str]) -> tuple[dict[str, batches.Record], spend.Spend]:
        found = {name: batches.Record(struct_pb2.Struct(), bytes(400)) for name in ids if name in self.vectors}
        return found, spend.Spend(read_thousandths=1_000)

    async def delete(self, _namespace: str, ids: Sequence[str]) -> int:
        self.asked.append(list(ids))
        if self.failures:
            raise self.failures.pop()
        for name in ids:
            self.vectors.pop(name, None)
        return 100 + len(self.asked)

    async def drop(self, namespace: str) -> None:
        if self.failures:
            raise self.failures.pop()
        self.dropped.append(namespace)
        self.vectors.clear()


@dataclasses.dataclass
class Scene:
    """A mirror in its turn, whose rows are all settled."""

    line: Line
    index: Index
    remover: removing.Remover
    task_id: str
    fence: int

    async def task(self) -> Any:
        return await self.line.book.tasks.get(self.task_id)

    async def begin(self, chunks: int = 2) -> None:
        removal = removals.Removal((await self.task())["comparison"]["uri"], 1, chunks)
        await self.line.book.removals.begin(self.task_id, self.fence, removal)

    async def remove(self, number: int, ids: Sequence[str], known: int = 0) -> None:
        await self.remover.remove(removing.Chunk(self.task_id, number, self.fence, ids, known))

    async def seal(self, chunks: int) -> Any:
        return await self.line.book.closing.seal(self.task_id, chunks, 1)

    async def other(self) -> str:
        """Another task takes the turn."""
        self.line.time.pass_by(GRACE_SECONDS + 1)
        task_id = await ledgers.scanned(self.line.book)
        assert (await self.line.book.turns.acquire(task_id)).held
        return task_id

    async def resumed(self) -> None:
        """It has its turn once more."""
        turn = await self.line.book.turns.acquire(self.task_id)
        assert turn.held
        self.fence = turn.fence


@pytest.fixture
async def scene(line: Line) -> Scene:
    book = line.book
    task_id = await ledgers.scanned(book, rows=1)
    fence = (await book.turns.acquire(task_id)).fence
    found = await book.manifests.of_task(task_id)
    assert found is not None
    made = manifests.Comparison(fence, found.item["version"], f"of-{task_id}", "sum")
    await book.manifests.keep(task_id, made, None)
    await book.manifests.mark(task_id, fence)
    await book.shards.open(task_id, 0, fence)
    await book.closing.settle(task_id, 0, ledgers.good())
    index: Any = Index()
    way = deletes.Deletes(index, breaker.Breaker("pinecone"))
    remover = removing.Remover(book, index, way, indexing.Permissions(book))
    return Scene(line, index, remover, task_id, fence)


async def test_what_is_gone_is_deleted_counted_and_billed(scene: Scene) -> None:
    await scene.begin()
    await scene.remove(1, ["7.1", "7.2", "7.3"], known=2)
    await scene.remove(2, ["7.99"])
    assert sorted(scene.index.vectors) == sorted({f"7.{number}" for number in range(20)} - {"7.1", "7.2", "7.3"})
    shard = await scene.line.book.shards.get(scene.task_id, 0)
    assert shard is not None
    assert shard["lsn"] == 102, "where in the namespace's log the last of them was"
    task = await scene.seal(3)
    assert (task["status"], task["removed"], task["indexed"], task["rows_total"]) == ("completed", 4, 1, 1)
    # Two requests, 5 write units each at least, and a look at records before each.
    assert (task["write_units"], task["read_thousandths"]) == (10, 2000)


async def test_a_delete_of_which_nobody_knows_the_end_is_in_the_bill_when_it_is_done_again(scene: Scene) -> None:
    """An indexer died between a delete and its settlement; what that cost it took along."""
    await scene.begin(1)
    del scene.index.vectors["7.1"], scene.index.vectors["7.2"]
    await scene.remove(1, ["7.1", "7.2"], known=2)
    task = await scene.seal(2)
    assert task["write_units"] == 5
    assert task["write_units_doubtful"] == 2 * (4 * 100 + 40 * 1024 + 512) // 1000 + 1


async def test_a_chunk_is_deleted_and_counted_once(scene: Scene) -> None:
    await scene.begin(1)
    await scene.remove(1, ["7.1"])
    scene.index.vectors["7.1"] = {}  # a later task wrote it
    await scene.remove(1, ["7.1"])
    assert "7.1" in scene.index.vectors
    assert (await scene.seal(2))["removed"] == 1


@pytest.mark.parametrize("number", [1, 3])
async def test_nothing_is_deleted_that_was_not_begun(scene: Scene, number: int) -> None:
    if number > 1:
        await scene.begin(2)
    with pytest.raises(errors.Conflict, match="may not remove"):
        await scene.remove(number, ["7.1"])
    assert scene.index.asked == []


@pytest.mark.parametrize("stopped", ["cancel", "block"])
async def test_a_task_that_was_stopped_deletes_nothing_more(scene: Scene, stopped: str) -> None:
    await scene.begin()
    await scene.remove(1, ["7.1"])
    tasks = scene.line.book.tasks
    await (tasks.cancel(scene.task_id) if stopped == "cancel" else tasks.block(scene.task_id, "X", ""))
    with pytest.raises(errors.Conflict):
        await scene.remove(2, ["7.2"])
    assert scene.index.asked == [["7.1"]]


async def test_a_removal_begins_in_its_turn_only_and_over_a_mark(scene: Scene) -> None:
    with pytest.raises(errors.Conflict, match="may not remove"):
        await scene.line.book.removals.begin(
            scene.task_id, scene.fence + 1, removals.Removal(f"of-{scene.task_id}", 1, 1)
        )
    with pytest.raises(errors.Conflict, match="may not remove"):
        await scene.line.book.removals.begin(scene.task_id, scene.fence, removals.Removal("another", 1, 1))
    await scene.begin()
    await scene.begin()  # again: harmless


async def test_without_a_mark_no_removal_begins(scene: Scene) -> None:
    key = items.manifest_key(ledgers.INDEX, "v2", 232)
    found = await scene.line.book.manifests.read(key)
    assert found is not None
    await scene.line.book.manifests.void(key, found.item["version"], "a test")
    with pytest.raises(errors.Conflict, match="may not remove"):
        await scene.begin()


async def test_a_mirror_that_another_task_has_overtaken_removes_nothing_more(scene: Scene) -> None:
    """What it was compared with is not what is there; deletes that it began are settled without being done."""
    await scene.begin()
    await scene.remove(1, ["7.1"])
    await scene.line.book.tasks.block(scene.task_id, "X", "")
    other = await scene.other()
    await scene.line.book.resume(scene.task_id)
    assert not (await scene.line.book.turns.acquire(scene.task_id)).held
    await scene.line.book.tasks.cancel(other)
    scene.line.time.pass_by(GRACE_SECONDS + 1)
    await scene.resumed()
    assert (await scene.task())["overtaken"]
    await scene.line.book.shards.open(scene.task_id, 0, scene.fence)
    with pytest.raises(errors.Conflict, match="may not remove"):
        await scene.remove(2, ["7.2"])
    await scene.remove(2, [])
    assert (await scene.seal(3))["removed"] == 1
    assert "7.2" in scene.index.vectors


async def test_a_task_that_has_its_turn_again_before_all_others_is_not_overtaken(scene: Scene) -> None:
    await scene.line.book.tasks.block(scene.task_id, "X", "")
    await scene.line.book.resume(scene.task_id)
    await scene.resumed()
    assert "overtaken" not in await scene.task()


async def test_a_held_mirror_goes_on_by_the_list_that_was_confirmed(scene: Scene) -> None:
    book = scene.line.book
    await book.removals.hold(scene.task_id, "Look at it.", HELD)
    task = await scene.task()
    assert (task["status"], task["error_reason"], removals.shown(task)) == (
        "blocked", removals.HELD, dataclasses.asdict(HELD),
    )  # fmt: skip
    with pytest.raises(errors.Conflict) as caught:
        await book.confirm(scene.task_id, "another")
    assert caught.value.reason == "MIRROR_CHANGED"
    for _ in range(2):  # a repeated call is harmless
        await book.confirm(scene.task_id, SUM)
        task = await scene.task()
        assert (task["status"], task["confirmed"], removals.shown(task)) == ("processing_chunks", SUM, None)


@pytest.mark.parametrize("status", ["open", "blocked", "cancelled"])
async def test_what_is_not_held_cannot_be_confirmed(scene: Scene, status: str) -> None:
    book = scene.line.book
    if status == "blocked":
        await book.tasks.block(scene.task_id, "ACCOUNT_REFUSED", "")
    if status == "cancelled":
        await book.tasks.cancel(scene.task_id)
    with pytest.raises(errors.Conflict) as caught:
        await book.confirm(scene.task_id, SUM)
    assert caught.value.reason == "MIRROR_NOT_HELD"


async def test_a_held_mirror_ends_by_itself_once_another_has_the_turn(scene: Scene) -> None:
    book = scene.line.book
    await book.removals.hold(scene.task_id, "Look at it.", HELD)
    await book.end_overtaken()
    assert (await scene.task())["status"] == "blocked"
    await scene.other()
    await mirror_watch.MirrorWatch(book)._ledger.end_overtaken()
    assert (await scene.task())["status"] == "processing_chunks"


async def test_an_index_that_does_not_answer_is_asked_again(scene: Scene) -> None:
    await scene.begin(1)
    scene.index.failures = [batches.IndexUnavailable("not now", unanswered=True)]
    await scene.remove(1, ["7.1"])
    assert len(scene.index.asked) == 2
    assert (await scene.seal(2))["write_units_doubtful"] >= 5


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (batches.IndexExhausted("the month"), "INDEX_QUOTA_EXCEEDED"),
        (batches.IndexRefused("no such thing"), "INDEX_REFUSED"),
    ],
)
async def test_what_only_a_person_mends_blocks_the_task(scene: Scene, failure: Exception, reason: str) -> None:
    await scene.begin(1)
    scene.index.failures = [failure]
    with pytest.raises(errors.Conflict):
        await scene.remove(1, ["7.1"])
    task = await scene.task()
    assert (task["status"], task["error_reason"]) == ("blocked", reason)


async def test_a_delete_has_1000_ids_at_most(scene: Scene) -> None:
    await scene.begin(1)
    with pytest.raises(errors.InvalidArgument, match="1000"):
        await scene.remove(1, [f"7.{number}" for number in range(1_001)])


async def test_deletes_of_a_namespace_are_paced_and_those_of_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    index: Any = Index()
    way = deletes.Deletes(index, breaker.Breaker("pinecone"))
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    async def may() -> None: ...

    monkeypatch.setattr(deletes.time, "monotonic", lambda: 100.0)
    monkeypatch.setattr(deletes.asyncio, "sleep", sleep)
    for _ in range(3):
        await way.delete("a", [f"{number}" for number in range(1_000)], may)
    await way.delete("b", ["1"], may)
    assert waited == pytest.approx([0.2, 0.4])  # 5,000 records a second


def test_a_chunk_that_deletes_has_no_rows() -> None:
    with pytest.raises(ValueError, match="add up"):
        shards.Outcome(indexed=0, skipped=0, failed=0, removed=-1)


async def dropping(scene: Scene) -> None:
    """The namespace is held, and the drop begun."""
    book = scene.line.book

    async def count() -> int:
        return 20

    assert (await book.drops.begin(scene.task_id, scene.fence, 20, count)).wait_seconds
    scene.line.time.pass_by(GRACE_SECONDS)
    assert await book.drops.begin(scene.task_id, scene.fence, 20, count) == drops.Answer()
    uri = (await scene.task())["comparison"]["uri"]
    await book.removals.begin(scene.task_id, scene.fence, removals.Removal(uri, 1, 1, drop=True))


async def drop(scene: Scene) -> None:
    await scene.remover.drop(removing.Drop(scene.task_id, 1, scene.fence, 20))


async def test_a_namespace_is_dropped_counted_and_billed_once(scene: Scene) -> None:
    await dropping(scene)
    await drop(scene)
    assert (scene.index.dropped, scene.index.vectors) == (["v2"], {})
    scene.index.vectors["8.1"] = {}  # a later load's
    await drop(scene)
    assert "8.1" in scene.index.vectors
    task = await scene.seal(2)
    assert (task["status"], task["removed"], task["write_units"]) == ("completed", 20, 5)


async def test_a_drop_that_is_not_answered_is_asked_for_again_and_may_be_billed_twice(scene: Scene) -> None:
    await dropping(scene)
    scene.index.failures = [batches.IndexUnavailable("not now", unanswered=True)]
    await drop(scene)
    task = await scene.seal(2)
    assert (task["write_units"], task["write_units_doubtful"]) == (5, 5)


async def test_nothing_is_dropped_that_was_begun_by_ids_nor_deleted_by_ids_of_a_drop(scene: Scene) -> None:
    await scene.begin(1)
    with pytest.raises(errors.Conflict, match="may not drop"):
        await drop(scene)
    await dropping(scene)
    with pytest.raises(errors.Conflict, match="may not remove"):
        await scene.remove(1, ["7.1"])
    assert (scene.index.dropped, scene.index.asked) == ([], [])


async def test_nothing_is_dropped_once_another_may_have_written(scene: Scene) -> None:
    """It was blocked for so long that a load of another question found it over, and is resumed."""
    await dropping(scene)
    book, time = scene.line.book, scene.line.time
    await book.tasks.block(scene.task_id, "X", "")
    time.pass_by(GRACE_SECONDS + 1)
    await book.drops.keep_out_of("v2", "a load")
    await book.resume(scene.task_id)
    await scene.resumed()
    await book.shards.open(scene.task_id, 0, scene.fence)
    with pytest.raises(errors.Conflict, match="not held"):
        await drop(scene)
    assert scene.index.dropped == []


async def test_a_drop_that_ended_late_leaves_no_count_that_is_relied_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await dropping(scene)
    doubts = (await scene.line.storage.get(items.namespace_key(ledgers.INDEX, "v2"))).get("doubts", 0)
    ticks = itertools.count(0.0, 1_000.0)  # each look at the clock is long after the one before
    monkeypatch.setattr(late, "_clock", lambda: next(ticks))
    await drop(scene)
    assert (await scene.line.storage.get(items.namespace_key(ledgers.INDEX, "v2")))["doubts"] == doubts + 1
