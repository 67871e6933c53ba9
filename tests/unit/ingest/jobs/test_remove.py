"""What is taken away when a question or a load is taken back, and what stays; afterwards nothing of it is known."""

import pathlib
import types
from typing import Any

import numpy as np
import pytest
from vectorline.v1 import job_pb2, ledger_pb2

from services.ingest import failures
from services.ingest.contract import rules
from services.ingest.driving import merging as driving_merging
from services.ingest.driving import removing, trust
from services.ingest.jobs import remove
from services.ingest.manifest import comparison, header, merging, parts, store
from tests.unit.ingest.jobs import bucket
from tests.unit.ingest.jobs import scene as scenes

KNOWN = {f"7.{number}": (f"Text {number}", "m") for number in range(7)}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "DELETED", 3)
    monkeypatch.setattr(trust, "COUNT_STILL_SECONDS", 0.0)


def scene(folder: pathlib.Path, *, tasks: tuple[str, ...] = ("load",), others: int = 0, **asked: Any) -> scenes.Scene:
    """Seven rows are known; one id may be there with whatever content. `others`: another question's, also known."""
    made = scenes.scene(job_pb2.Job(remove=job_pb2.RemoveRequest(question_id=7, dry_run=False, **asked)))
    made.index.records = {name: {} for name in (*KNOWN, "7.whatever", *(f"70.{number}" for number in range(others)))}
    made.ledger.record.after_task_id = "load"
    place = store.new_version(driving_merging.folder_of(made.index.found), 3)
    writer = parts.Writer(made.objects, f"{place}segment-")
    for block in bucket.sorted_entries(folder, {**KNOWN, "7.whatever": None}):
        writer.add(block)
    head = header.Header(3, rules.version(), "small", 2, "http://index", 7, 1, (writer.finish(),), tasks)
    made.objects.put(f"{place}header", head.to_json())
    found = made.index.found
    found.uri, found.checksum = f"{place}header", store.checksum_of(head.to_json())
    found.model, found.dimension, found.known, found.unknown = "small", 2, 7, 1
    made.believed.made = head
    return made


async def driven(made: scenes.Scene) -> bool:
    tools = made.tools
    return await made.drive(
        remove.Remove(tools, removing.Remover(tools.ledger, tools.manifests, tools.objects, work=tools.work))
    )


async def refused(made: scenes.Scene) -> str:
    with pytest.raises(failures.Failure) as failure:
        await driven(made)
    assert not made.index.marked
    assert not made.index.settled, "nothing was deleted"
    return failure.value.reason


def merged(made: scenes.Scene, *, lost: int | None = None) -> header.Header:
    """The manifest once the run is merged; `lost`: a delete of which nobody knows whether it was done."""
    (kept,) = made.index.kept
    assert kept.gone is not None
    deletes = np.full(kept.gone.deletes, merging.SETTLED, dtype=np.uint8)
    if lost is not None:
        deletes[lost] = merging.UNSURE
    outcome = merging.Outcome(np.empty(0, np.uint8), np.empty(0, np.uint64), deletes)
    old = made.believed.made if made.index.found.uri else None
    named = merging.Named(4, "merged/", "small", 2, "http://index")
    return merging.merge(made.objects, old, kept, outcome, named)


def entries_of(made: scenes.Scene, head: header.Header) -> int:
    return sum(len(block) for block in head.entries(made.objects, ids=True))


async def test_all_entries_of_the_question_go_and_nothing_of_them_is_known_any_more(tmp_path: pathlib.Path) -> None:
    made = scene(tmp_path, others=2)

    assert await driven(made)

    assert set(made.index.records) == {"70.0", "70.1"}, "another question's vectors stay"
    assert [ids for ids, _ in made.index.settled.values()] == [3, 3, 2]
    assert sum(known for _, known in made.index.settled.values()) == 7
    head = merged(made)
    assert (head.known, head.unknown, entries_of(made, head)) == (0, 0, 0), "a load buys all of it again"


async def test_a_namespace_that_has_nothing_else_is_dropped_and_that_is_said(tmp_path: pathlib.Path) -> None:
    made = scene(tmp_path)

    assert await driven(made)

    assert (made.index.drops, made.index.records) == (1, {})
    assert made.index.settled == {0: (8, 0)}, "one chunk, all ids"
    assert made.ledger.result is not None
    assert made.ledger.result.namespace_dropped
    assert not made.ledger.result.HasField("why_not_dropped")
    assert merged(made).known == 0


async def test_a_namespace_with_anything_else_is_not_dropped_and_the_task_says_why(tmp_path: pathlib.Path) -> None:
    made = scene(tmp_path, others=1)

    assert await driven(made)

    assert (made.index.drops, made.index.held) == (0, False)
    assert set(made.index.records) == {"70.0"}
    assert made.ledger.result is not None
    assert not made.ledger.result.namespace_dropped
    assert made.ledger.result.why_not_dropped == "something else is in it"
    assert made.index.record.removal.why_by_ids == "something else is in it", "whoever goes on says the same"


async def test_what_is_taken_for_there_is_what_the_index_lists_not_what_may_be(tmp_path: pathlib.Path) -> None:
    """Else another question's vectors hide behind ids that are not there: as many as these would go with the drop."""
    made = scene(tmp_path, others=1)
    del made.index.records["7.whatever"]

    assert await driven(made)

    assert made.index.drops == 0
    assert set(made.index.records) == {"70.0"}


async def test_a_drop_that_others_overtook_in_mid_turn_goes_on_by_ids(tmp_path: pathlib.Path) -> None:
    """It had begun, was blocked, and another question was loaded before it was resumed."""
    made = scene(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made.index, "drop", dies)
        with pytest.raises(scenes.Died):
            await driven(made)
    assert made.index.record.removal.drop
    made.index.records["70.0"] = {}

    assert await driven(made)

    assert set(made.index.records) == {"70.0"}
    assert [made.index.settled[chunk][0] for chunk in range(3)] == [3, 3, 2]
    assert not made.index.record.removal.drop


@pytest.mark.parametrize(("others", "reached", "kept"), [(0, 950, 0), (1, 950, 950), (1, 3, 3), (1, 0, 900)])
async def test_a_dropped_namespace_has_a_log_that_begins_anew(
    tmp_path: pathlib.Path, others: int, reached: int, kept: int
) -> None:
    """Held to its old position, the next load would not be believed, and all be bought again."""
    made = scene(tmp_path, others=others)
    made.index.found.lsn = 900
    assert await driven(made)
    made.index.found.pending.checksum = made.index.found.comparison.checksum
    committed: list[int] = []

    async def commit(*merged: Any) -> bool:
        committed.append(merged[-1])
        return True

    async def shard(*_: Any) -> ledger_pb2.GetShardResponse:
        return ledger_pb2.GetShardResponse(exists=True, opened=4, settled_chunks=[0, 1, 2], fences=[4] * 3, lsn=reached)

    made.ledger.others[scenes.TASK] = made.ledger.record
    parts: Any = types.SimpleNamespace(get=made.ledger.get, shard=shard)
    index: Any = types.SimpleNamespace(count=made.index.count, commit=commit)
    queue: Any = None
    merger = driving_merging.Merger(parts, index, made.objects, queue=queue, work=made.tools.work, folder=None)
    await merger.merge(made.index.found)
    assert committed == [kept]


async def dies(*_: Any) -> None:
    raise scenes.Died


async def test_of_what_may_not_have_been_deleted_nothing_is_known_either(tmp_path: pathlib.Path) -> None:
    made = scene(tmp_path)
    await driven(made)
    head = merged(made, lost=0)
    assert (head.known, head.unknown) == (0, 3)


async def test_what_others_wrote_under_the_question_goes_as_well(tmp_path: pathlib.Path) -> None:
    made = scene(tmp_path, others=1)
    made.index.records["7.strange"] = {}
    assert await driven(made)
    assert set(made.index.records) == {"70.0"}


async def test_without_a_manifest_the_index_says_what_goes(tmp_path: pathlib.Path) -> None:
    made = scene(tmp_path)
    made.index.found.ClearField("uri")
    assert await driven(made)
    assert not made.index.records
    assert merged(made).known == 0


async def test_a_manifest_that_is_not_believed_is_void_and_the_index_says_what_goes(tmp_path: pathlib.Path) -> None:
    made = scene(tmp_path)
    made.index.found.model = "large"
    made.index.records["7.strange"] = {}
    assert await driven(made)
    assert made.index.voided
    assert not made.index.records


async def test_where_nothing_is_there_nothing_is_marked_or_deleted(tmp_path: pathlib.Path) -> None:
    made = scene(tmp_path)
    made.index.found.ClearField("uri")
    made.index.records = {"70.1": {}}
    assert await driven(made)
    assert not made.index.marked
    assert made.index.begun is None
    assert made.ledger.result is not None


async def test_of_a_load_what_is_known_goes_and_what_may_be_another_ones_stays(tmp_path: pathlib.Path) -> None:
    made = scene(tmp_path, task_id="load")
    made.index.records["7.strange"] = {}
    assert await driven(made)
    assert set(made.index.records) == {"7.whatever", "7.strange"}
    head = merged(made)
    assert (head.known, head.unknown) == (0, 1)


async def test_of_a_load_nothing_goes_once_a_later_task_had_the_turn(tmp_path: pathlib.Path) -> None:
    made = scene(tmp_path, task_id="load")
    made.ledger.record.after_task_id = "later"
    assert await refused(made) == "SUPERSEDED"


async def test_of_a_load_nothing_goes_where_another_wrote_as_well(tmp_path: pathlib.Path) -> None:
    assert await refused(scene(tmp_path, tasks=("before", "load"), task_id="load")) == "REMOVE_SHARED"


async def test_after_another_had_the_turn_nothing_is_deleted(tmp_path: pathlib.Path) -> None:
    made = scene(tmp_path)
    made.ledger.record.overtaken = True
    assert await refused(made) == "MANIFEST_CHANGED"


async def test_nor_where_the_manifest_changed_since_it_was_compared(tmp_path: pathlib.Path) -> None:
    made = scene(tmp_path)
    made.index.found.comparison.version = 2
    assert await refused(made) == "MANIFEST_CHANGED"


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("others", [2, 0])
async def test_wherever_its_driver_dies_another_comes_to_the_same(
    tmp_path: pathlib.Path, others: int, *, before: bool
) -> None:
    for step in range(1, 100):
        folder = tmp_path / f"{step}"
        folder.mkdir()
        made = scene(folder, others=others)
        with pytest.MonkeyPatch.context() as patch:
            calls = made.dying(patch, step, before=before)
            try:
                assert await driven(made)
            except scenes.Died:
                assert len(calls) >= step  # deletes are under way at once
        assert await driven(made)
        assert set(made.index.records) == {f"70.{number}" for number in range(others)}
        removed = [ids for ids, _ in sorted(made.index.settled.values(), reverse=True)]
        assert removed == ([3, 3, 2] if others else [8])
        assert made.ledger.result is not None
        assert made.ledger.result.namespace_dropped == (not others)
        assert merged(made).known == 0
        assert len(made.index.kept) == 1
        if len(calls) < step:
            break
    assert step > 10
