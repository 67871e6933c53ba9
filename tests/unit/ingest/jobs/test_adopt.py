"""Rule by rule, when an index that others filled is believed; else all of it is bought."""

import datetime
from typing import Any

import pytest
from vectorline.v1 import job_pb2, ledger_pb2

from services.ingest import failures
from services.ingest.contract import metadata
from services.ingest.jobs import adopt, findings
from services.ingest.manifest import parts, records
from tests.unit.ingest.jobs import bucket
from tests.unit.ingest.jobs import scene as scenes

NOW = datetime.datetime(2026, 11, 30, 12, tzinfo=datetime.UTC)
LONG_AGO = "2026-11-30T10:59:59"


def record(number: int, **changes: Any) -> dict[str, Any]:
    """As the predecessor wrote it."""
    own = {"question_id": "7", "record_index": "0", "row_id": f"{number}", "source": "s3_csv", "city": "Bern"}
    found = {**own, "text": f"Text {number}", "processed_at": LONG_AGO, **changes}
    return {name: value for name, value in found.items() if value is not None}


def scene(count: int = 10, *, sample: int = 3, **item: Any) -> scenes.Scene:
    made = scenes.scene(job_pb2.Job(adopt=job_pb2.AdoptRequest(sample=sample)), **item)
    made.index.records = {f"7.{number}": record(number) for number in range(count)}
    made.index.records["70.1"] = record(70)  # another question's
    return made


async def driven(made: scenes.Scene) -> bool:
    return await made.drive(adopt.Adopt(made.tools, lambda: NOW))


async def refused(made: scenes.Scene) -> str:
    with pytest.raises(failures.Failure) as failure:
        await driven(made)
    assert not made.index.marked, "what is not believed changes nothing"
    assert not made.index.claimed
    return failure.value.reason


def entries_of(made: scenes.Scene) -> dict[str, bytes | None]:
    """By id what the manifest is told; None: nobody knows what the record holds."""
    (kept,) = made.index.kept
    found: dict[str, bytes | None] = {}
    for block in parts.read(made.objects, kept.told, records.SENT, ids=True):
        standing = records.standing(block.entries).tolist()
        for vector_id, entry, known in zip(block.ids, records.copied(block.entries), standing, strict=True):
            assert entry.tobytes()[:16] == bucket.HASHES.id(vector_id)
            found[vector_id.decode()] = entry.tobytes() if known == records.KNOWN else None
    return found


async def test_every_record_of_the_question_becomes_an_entry_of_just_its_text_and_metadata() -> None:
    made = scene()

    assert await driven(made)

    expected = {}
    for name, found in made.index.records.items():
        lasting = metadata.lasting_of(found)
        assert lasting is not None
        if name.startswith("7."):
            expected[name] = bucket.HASHES.entry(name.encode(), found["text"].encode(), lasting)
    assert entries_of(made) == expected
    assert made.index.claimed == made.index.marked == [(scenes.TASK, scenes.Stand.fence)]
    result = made.ledger.result
    assert result is not None
    assert (result.listed, result.known, result.unknown, result.sampled) == (10, 10, 0, 3)


@pytest.mark.parametrize(
    "change",
    [{"text": "t" * 1_000}, {"text": None}, {"text": ""}, {"text_truncated": True}, {"city": {"a": 1}}],
    ids=["long", "none", "empty", "cut", "nested"],
)
async def test_of_which_the_text_may_not_be_whole_nobody_knows(change: dict[str, Any]) -> None:
    made = scene()
    made.index.records["7.4"] = record(4, **change)

    assert await driven(made)

    assert entries_of(made)["7.4"] is None
    assert made.ledger.result is not None
    assert (made.ledger.result.known, made.ledger.result.unknown) == (9, 1)
    assert made.ledger.looked["failed"] == {findings.TEXT_UNKNOWN: 1}


async def test_it_waits_for_its_sample_and_tells_nothing_before() -> None:
    made = scene()
    made.buying.settled = False
    assert not await driven(made)
    assert not made.index.marked
    made.buying.settled = True
    assert await driven(made), "another driver goes on from what was stored"
    assert made.index.fetches == 2  # the records, and the sample once more; not again by the second driver


async def test_one_vector_that_is_another_is_enough_to_believe_nothing() -> None:
    made = scene()
    made.buying.unlike = [findings.Finding("7.2", findings.DIFFERING, "It is another.")]
    assert await refused(made) == "ADOPT_DISAGREES"


async def test_a_sample_that_could_not_be_bought_proves_nothing() -> None:
    made = scene(3)
    made.buying.unlike = [findings.Finding(f"7.{number}", "embedding_refused", "No.") for number in range(3)]
    assert await refused(made) == "ADOPT_UNPROVEN"


@pytest.mark.parametrize(
    "at", ["2026-11-30T11:00:01", "2026-11-30T11:30:00Z", "2026-11-30T13:30:00+02:00", "2026-12-01"]
)
async def test_a_record_of_the_last_hour_lets_all_wait(at: str) -> None:
    made = scene()
    made.index.records["7.4"] = record(4, processed_at=at)
    assert await refused(made) == "WRITTEN_LATELY"


async def test_a_count_that_moves_lets_all_wait() -> None:
    made = scene()
    made.index.counts = [10, 11]
    assert await refused(made) == "WRITTEN_LATELY"


async def test_a_record_that_changes_while_it_is_read_lets_all_wait() -> None:
    made = scene(3)
    made.index.late = {"7.1": record(1, city="Basel")}
    assert await refused(made) == "WRITTEN_LATELY"


@pytest.mark.parametrize(("minutes", "waits"), [(59, True), (61, False)])
async def test_a_task_of_this_line_that_ended_within_the_hour_lets_all_wait(minutes: int, *, waits: bool) -> None:
    made = scene()
    made.ledger.record.after_task_id = "before"
    before = made.ledger.others["before"] = ledger_pb2.TaskRecord(task_id="before")
    before.stopped_at.FromDatetime(NOW - datetime.timedelta(minutes=minutes))
    if waits:
        assert await refused(made) == "WRITTEN_LATELY"
    else:
        assert await driven(made)


async def test_what_is_known_is_not_adopted_and_what_nobody_knows_any_more_is() -> None:
    assert await refused(scene(known=1, uri="manifests/3/header")) == "ALREADY_KNOWN"
    made = scene(unknown=4, uri="manifests/3/header")
    assert await driven(made)
    assert made.index.voided
    assert made.index.kept[0].version == 4


async def test_an_index_without_the_question_is_a_mistake_of_names() -> None:
    assert await refused(scene(0)) == "NOTHING_THERE"


async def test_without_a_whole_text_there_is_nothing_to_adopt() -> None:
    made = scene()
    for name in made.index.records:
        made.index.records[name]["text"] = "t" * 1_000
    assert await refused(made) == "NOTHING_TO_ADOPT"


@pytest.mark.parametrize("merged", [True, False])
async def test_what_another_task_wrote_meanwhile_is_not_changed(*, merged: bool) -> None:
    """It was blocked while its sample was bought."""
    made = scene()
    made.buying.settled = False
    await driven(made)
    made.buying.settled = True
    if merged:
        made.index.found.version = 5
    else:
        made.index.found.pending.task_id = "a load"
    with pytest.raises(failures.Failure) as failure:
        await driven(made)
    assert failure.value.reason == "MANIFEST_CHANGED"
    assert not made.index.marked


@pytest.mark.parametrize("before", [True, False])
async def test_wherever_its_driver_dies_another_comes_to_the_same(*, before: bool) -> None:
    expected: dict[str, bytes | None] = {}
    for step in range(200):
        made = scene(7)
        with pytest.MonkeyPatch.context() as patch:
            calls = made.dying(patch, step, before=before)
            try:
                assert await driven(made)
            except scenes.Died:
                assert len(calls) == step
        assert await driven(made)
        expected = expected or entries_of(made)
        assert entries_of(made) == expected
        assert made.ledger.result is not None
        assert (made.ledger.result.known, made.ledger.result.sampled) == (7, 3)
        if len(calls) < step:
            break
    assert step > 10
