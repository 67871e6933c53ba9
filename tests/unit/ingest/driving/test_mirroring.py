"""When a mirror deletes, when it waits for a person, and when it lets all of it stay."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from vectorline.v1 import ledger_pb2

from services.ingest.driving import lease_watch, mirroring
from services.ingest.manifest import comparison

GONE = comparison.Gone(
    parts=(), rows=5, entries=100, kept_rows=0, unreadable_rows=0, file_rows=95, checksum="5um"
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"rows": 20}, ""),
        ({"rows": 21}, "21.0 %"),
        ({"rows": 100, "file_rows": 0}, "no rows"),
        ({"rows": 1, "unreadable_rows": 2}, "2 rows"),
        ({"rows": 0, "unreadable_rows": 2, "file_rows": 0}, ""),
    ],
)
def test_it_is_held_where_much_would_go_or_an_id_is_not_known(changes: dict[str, int], words: str) -> None:
    why = mirroring.held(dataclasses.replace(GONE, **changes), 20.0)
    assert (words in why) if words else (why == "")


@pytest.mark.parametrize(("percent", "held"), [(0.0, True), (5.0, False), (4.9, True), (100.0, False)])
def test_the_guard_is_a_share_of_what_is_there(percent: float, held: bool) -> None:
    assert bool(mirroring.held(GONE, percent)) is held


class Ledger:
    """One task and its only shard."""

    def __init__(self) -> None:
        self.record = ledger_pb2.TaskRecord(task_id="task", status="processing_chunks")
        self.shard_ = ledger_pb2.GetShardResponse(exists=True, settled_chunks=[0, 1], failed_rows=2)
        self.held: Any = None

    async def get(self, _task_id: str) -> ledger_pb2.TaskRecord:
        return self.record

    async def shard(self, _task_id: str, _number: int) -> ledger_pb2.GetShardResponse:
        return self.shard_

    async def hold(self, _task_id: str, reason: str, _message: str, held: Any) -> None:
        self.held = (reason, held.gone, held.entries, held.checksum)


@dataclasses.dataclass
class Plan:
    task_chunks: int = 2


@dataclasses.dataclass
class Stand:
    fence: int = 7


class Scene:
    """A mirror of two chunks, all settled, of which two rows are rejected by the contract."""

    def __init__(self, **changes: Any) -> None:
        chunks = np.zeros(2, dtype=comparison.CHUNK)
        chunks["rejected"] = 1
        self.ledger = Ledger()
        self.marks: list[int] = []
        self.deleted: list[int] = []
        self.left = 0
        self.known = comparison.Comparison(
            task_id="task", fence=7, version=1, contract="", folder="of/", counts=comparison.Counts(),
            flags=np.zeros(0, dtype=np.uint8), chunks=chunks, gone=dataclasses.replace(GONE, **changes),
        )  # fmt: skip

    async def mark(self, _made: Any, fence: int) -> None:
        self.marks.append(fence)

    async def run(self, _made: Any, _gone: Any, first: int, _stand: Any) -> None:
        self.deleted.append(first)

    async def leave(self, _record: Any, _stand: Any) -> None:
        self.left += 1

    async def finish(self, known: comparison.Comparison | None = None) -> mirroring.Finished | None:
        parts: Any = self
        stand: Any = Stand()
        plan: Any = Plan()
        mirrors = mirroring.Mirrors(parts.ledger, parts, parts, guard_percent=20.0)
        return await mirrors.finish("task", known or self.known, plan, stand)


def told(finished: mirroring.Finished | None) -> list[str]:
    assert finished is not None
    return [each.code for each in finished.warnings]


async def test_deletes_come_behind_the_rows_and_over_a_mark() -> None:
    scene = Scene()
    assert await scene.finish() == mirroring.Finished(3)
    assert (scene.marks, scene.deleted) == ([7], [2])


async def test_nothing_goes_before_all_rows_are_settled() -> None:
    scene = Scene()
    scene.ledger.shard_.settled_chunks[:] = [0]
    assert await scene.finish() is None
    assert (scene.marks, scene.deleted) == ([], [])


async def test_nothing_goes_where_a_row_that_was_sent_failed() -> None:
    scene = Scene()
    scene.ledger.shard_.failed_rows = 3
    assert told(await scene.finish()) == ["mirror_rows_failed"]
    assert scene.deleted == []


async def test_rows_whose_vectors_stay_are_counted() -> None:
    scene = Scene(kept_rows=2)
    finished = await scene.finish()
    assert told(finished) == ["mirror_kept"]
    assert finished is not None
    assert (finished.warnings[0].count, scene.deleted) == (2, [2])


async def test_nothing_goes_where_another_had_the_turn() -> None:
    scene = Scene()
    scene.ledger.record.overtaken = True
    finished = await scene.finish()
    assert (told(finished), scene.deleted, scene.left) == (["mirror_overtaken"], [], 0)


async def test_deletes_that_were_begun_are_settled_without_being_done() -> None:
    scene = Scene()
    scene.ledger.record.overtaken = True
    scene.ledger.record.removal.CopyFrom(ledger_pb2.Removal(comparison=scene.known.name, first_chunk=2, chunks=4))
    finished = await scene.finish()
    assert finished is not None
    assert (finished.chunks, scene.deleted, scene.left) == (6, [], 1)


async def test_deletes_go_on_where_they_stood() -> None:
    scene = Scene()
    scene.ledger.record.removal.CopyFrom(ledger_pb2.Removal(comparison=scene.known.name, first_chunk=9, chunks=1))
    assert await scene.finish() == mirroring.Finished(10)
    assert (scene.deleted, scene.marks, scene.left) == ([9], [], 0)


async def test_another_comparison_deletes_behind_what_an_earlier_one_began() -> None:
    scene = Scene()
    scene.ledger.record.removal.CopyFrom(ledger_pb2.Removal(comparison="another", first_chunk=2, chunks=4))
    assert await scene.finish() == mirroring.Finished(7)
    assert (scene.deleted, scene.left) == ([6], 1)


async def test_without_a_comparison_nothing_goes() -> None:
    scene = Scene()
    scene.known = dataclasses.replace(scene.known, gone=None)
    assert told(await scene.finish()) == ["mirror_uncertain"]


async def test_a_held_mirror_waits_for_its_own_checksum() -> None:
    scene = Scene(rows=50)
    for confirmed in ("", "of another list"):
        scene.ledger.record.confirmed = confirmed
        with pytest.raises(lease_watch.Stopped, match="held"):
            await scene.finish()
        assert scene.ledger.held == ("MIRROR_HELD", 50, 100, "5um")
        assert (scene.marks, scene.deleted) == ([], [])
    scene.ledger.record.confirmed = "5um"
    assert await scene.finish() == mirroring.Finished(3)
    assert scene.deleted == [2]
