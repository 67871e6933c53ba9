"""What a verify tells of an index, and what it lets be bought again."""

import asyncio
import pathlib
from typing import Any

import numpy as np
import pytest
from vectorline.v1 import job_pb2, ledger_pb2

from services.ingest import failures, ledger_client
from services.ingest.contract import metadata, rules
from services.ingest.jobs import findings, repair, verify
from services.ingest.manifest import header, parts, records, spool
from tests.unit.ingest.jobs import bucket
from tests.unit.ingest.jobs import scene as scenes


@pytest.fixture(autouse=True)
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was slept; no time passes."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return found


def record(number: int, **changes: Any) -> dict[str, Any]:
    own = {"question_id": 7.0, "record_index": 0.0, "row_id": f"{number}", "source": "upload", "city": "Bern"}
    return {**own, "text": f"Text {number}", **changes}


def scene(folder: pathlib.Path, count: int = 20, **asked: Any) -> scenes.Scene:
    """So many rows are known and in the index; one more may be there with whatever content."""
    made = scenes.scene(job_pb2.Job(verify=job_pb2.VerifyRequest(**{"fetch": 1_000, **asked}), last_load="load"))
    made.index.records = {f"7.{number}": record(number) for number in range(count)}
    writer = parts.Writer(made.objects, "manifest/")
    for block in entries(folder, made.index.records):
        writer.add(block)
    made.believed.made = header.Header(
        3, rules.version(), "small", 2, "http://index", count, 1, (writer.finish(),), ("load",)
    )
    made.ledger.others["load"] = ledger_pb2.TaskRecord(task_id="load", client="ann")
    return made


def entries(folder: pathlib.Path, found: dict[str, dict[str, Any]]) -> list[Any]:
    ids = [*(name.encode() for name in found), b"7.whatever"]
    made = spool.unknown(bucket.HASHES, ids)
    for place, (name, each) in enumerate(found.items()):
        lasting = metadata.lasting_of(each)
        assert lasting is not None
        entry = bucket.HASHES.entry(name.encode(), each["text"].encode(), lasting)
        made[place] = np.frombuffer(entry, dtype=records.ENTRY)[0]
    spooled = spool.Spool(folder, "entries")
    spooled.add(made, ids)
    return list(spooled.sorted())


def kind(made: scenes.Scene) -> verify.Verify:
    tools = made.tools
    return verify.Verify(
        tools, repair.Repair(tools.ledger, tools.manifests, tools.objects, folder=None, work=tools.work)
    )


async def found_by(made: scenes.Scene) -> dict[str, str]:
    return {each.vector_id: each.reason async for each in kind(made).found(made.ledger.record)}


async def test_an_index_as_it_was_written_is_told_so(tmp_path: pathlib.Path, naps: list[float]) -> None:
    made = scene(tmp_path, sample=5)
    assert await made.drive(kind(made))
    result = made.ledger.result
    assert result is not None
    assert (result.listed, result.known, result.missing, result.strange, result.differing) == (20, 20, 0, 0, 0)
    assert (result.fetched, result.sampled) == (20, 5)
    assert made.ledger.looked["indexed"] == 15
    assert made.ledger.looked["rows"] == 5
    assert await found_by(made) == {}
    assert naps == []


async def test_each_difference_is_told_by_id(tmp_path: pathlib.Path) -> None:
    made = scene(tmp_path)
    del made.index.records["7.1"]
    made.index.records |= {"7.2": record(2, city="Basel"), "7.x": record(0), "7.whatever": record(0)}

    assert await made.drive(kind(made))

    assert await found_by(made) == {"7.1": "missing", "7.2": "differing", "7.x": "strange"}
    result = made.ledger.result
    assert result is not None
    assert (result.missing, result.strange, result.differing, result.unknown) == (1, 1, 1, 1)
    assert not made.index.marked
    assert not made.ledger.repeated


async def test_what_comes_late_is_looked_at_again_and_fine(tmp_path: pathlib.Path, naps: list[float]) -> None:
    """The index lists and fetches what was written some seconds late."""
    made = scene(tmp_path)
    made.index.late = {"7.1": made.index.records.pop("7.1"), "7.2": made.index.records["7.2"]}
    made.index.records["7.2"] = record(2, text="Before")

    assert await made.drive(kind(made))

    assert naps == [verify.AGAIN_SECONDS]
    assert await found_by(made) == {}
    assert made.ledger.looked["indexed"] == 20


@pytest.mark.parametrize(("fetch", "sample", "looked"), [(0, 0, 0), (7, 0, 7), (7, 12, 12), (40, 12, 20)])
async def test_as_many_records_are_looked_at_as_was_asked(
    tmp_path: pathlib.Path, fetch: int, sample: int, looked: int
) -> None:
    made = scene(tmp_path, fetch=fetch, sample=sample)
    assert await made.drive(kind(made))
    assert made.ledger.result is not None
    assert (made.ledger.result.fetched, made.ledger.result.sampled) == (looked, sample)


async def test_a_vector_that_is_another_differs_and_a_text_that_could_not_be_bought_does_not(
    tmp_path: pathlib.Path,
) -> None:
    made = scene(tmp_path, sample=6)
    made.buying.unlike = [
        findings.Finding("7.4", findings.DIFFERING, "It is another."),
        findings.Finding("7.5", "embedding_refused", "No."),
    ]
    assert await made.drive(kind(made))
    assert made.ledger.result is not None
    assert (made.ledger.result.differing, made.ledger.result.sampled) == (1, 5)


@pytest.mark.parametrize("repairs", [True, False])
@pytest.mark.parametrize("merged", [True, False])
async def test_what_it_saw_before_another_task_wrote_is_told_by_nobody(
    tmp_path: pathlib.Path, *, merged: bool, repairs: bool
) -> None:
    """It was blocked while its sample was bought: the vectors that it would be held against are another load's."""
    made = scene(tmp_path, sample=6, repair=repairs)
    made.buying.unlike = [findings.Finding("7.4", findings.DIFFERING, "It is another.")]
    made.buying.settled = False
    assert not await made.drive(kind(made))
    made.buying.settled = True
    if merged:
        made.index.found.version += 1
    else:
        made.index.found.pending.task_id = "a load"
    with pytest.raises(failures.Failure) as failure:
        await made.drive(kind(made))
    assert failure.value.reason == "MANIFEST_CHANGED"
    assert made.ledger.result is None
    assert not made.ledger.repeated


async def test_a_repair_makes_unknown_what_is_missing_or_differs_and_does_the_last_load_once_more(
    tmp_path: pathlib.Path,
) -> None:
    made = scene(tmp_path, sample=20, repair=True)
    made.ledger.others["load"].request.mode = "force"
    del made.index.records["7.1"]
    made.index.records |= {"7.2": record(2, city="Basel"), "7.x": record(0)}
    made.buying.unlike = [findings.Finding("7.4", findings.DIFFERING, "It is another.")]

    assert await made.drive(kind(made))

    (kept,) = made.index.kept
    told = list(parts.read(made.objects, kept.told, records.SENT, ids=True))
    assert {name for block in told for name in block.ids} == {b"7.1", b"7.2", b"7.4"}
    assert all((records.standing(block.entries) == records.UNKNOWN).all() for block in told)
    assert all((block.entries["prior"] == records.KNOWN).all() for block in told)
    assert made.index.marked == [(scenes.TASK, scenes.Stand.fence)]
    ((load, request, repeats),) = made.ledger.repeated
    assert (load, request.mode, request.request_id, repeats) == ("load", "upsert", f"repair:{scenes.TASK}", "load")
    assert made.ledger.result is not None
    assert made.ledger.result.repair_task_id == "repair"


async def test_a_driver_that_comes_after_the_mark_marks_nothing_again(tmp_path: pathlib.Path) -> None:
    made = scene(tmp_path, repair=True)
    del made.index.records["7.1"]
    made.index.found.pending.task_id = scenes.TASK
    assert await made.drive(kind(made))
    assert not made.index.marked
    assert made.ledger.repeated


async def test_a_repair_of_what_was_loaded_meanwhile_is_refused(tmp_path: pathlib.Path) -> None:
    made = scene(tmp_path, repair=True)
    del made.index.records["7.1"]

    async def superseded(*_: Any) -> None:
        raise ledger_client.LedgerRefused("ABORTED: a later task has written")

    made.ledger.repeat = superseded  # type: ignore[method-assign,assignment]
    with pytest.raises(failures.Failure) as failure:
        await made.drive(kind(made))
    assert failure.value.reason == "REPAIR_REFUSED"


async def test_where_nothing_is_wrong_nothing_is_repaired(tmp_path: pathlib.Path) -> None:
    made = scene(tmp_path, repair=True)
    made.index.records["7.x"] = record(0)
    assert await made.drive(kind(made))
    assert not made.ledger.repeated
    assert made.ledger.result is not None
    assert not made.ledger.result.HasField("repair_task_id")


@pytest.mark.parametrize("before", [True, False])
async def test_wherever_its_driver_dies_another_comes_to_the_same(tmp_path: pathlib.Path, *, before: bool) -> None:
    for step in range(200):
        made = scene(tmp_path, sample=20, repair=True)
        del made.index.records["7.1"]
        made.index.records |= {"7.2": record(2, city="Basel"), "7.x": record(0)}
        made.buying.unlike = [findings.Finding("7.4", findings.DIFFERING, "It is another.")]
        with pytest.MonkeyPatch.context() as patch:
            calls = made.dying(patch, step, before=before)
            try:
                assert await made.drive(kind(made))
            except scenes.Died:
                assert len(calls) == step
        assert await made.drive(kind(made))
        (kept,) = made.index.kept
        told = parts.read(made.objects, kept.told, records.SENT, ids=True)
        assert {name for block in told for name in block.ids} == {b"7.1", b"7.2", b"7.4"}
        assert {request.request_id for _, request, _ in made.ledger.repeated} == {f"repair:{scenes.TASK}"}
        assert made.ledger.result is not None
        assert (made.ledger.result.missing, made.ledger.result.strange, made.ledger.result.differing) == (1, 1, 2)
        if len(calls) < step:
            break
    assert step > 10


async def test_its_progress_grows_while_it_looks(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "TELL_SECONDS", 0.0)
    monkeypatch.setattr(verify, "STEP", 4)
    made = scene(tmp_path)
    assert await made.drive(kind(made))
    assert made.ledger.told == [(0, 20), *((done, 20) for done in range(4, 21, 4))]
