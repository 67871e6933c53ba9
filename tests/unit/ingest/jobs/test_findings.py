"""What a job found is in the bucket as it was told, part by part."""

import pytest

from services.ingest import failures
from services.ingest.jobs import findings, folder
from tests.unit.ingest.jobs import bucket


def some(count: int) -> list[findings.Finding]:
    return [findings.Finding(f'7.{number},"ü\n', findings.MISSING, "It is gone.") for number in range(count)]


def test_what_is_told_comes_back_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "_PART_BYTES", 500)
    objects = bucket.Objects()
    told = findings.Findings(folder.Folder(objects, "task"))
    told.add(some(40))
    told.add([findings.Finding("7.x", findings.STRANGE, "Who is it?")])
    names = told.finish()

    assert len(names) > 3
    assert [each for part in findings.read(objects, names) for each in part] == [
        *some(40),
        findings.Finding("7.x", findings.STRANGE, "Who is it?"),
    ]
    assert told.counts == {findings.MISSING: 40, findings.STRANGE: 1}


def test_nothing_found_is_nothing_stored() -> None:
    objects = bucket.Objects()
    assert findings.Findings(folder.Folder(objects, "task")).finish() == []
    assert objects.kept == {}


async def test_what_the_lifecycle_took_is_named() -> None:
    with pytest.raises(failures.StoreFailure) as gone:
        await folder.fields_of(bucket.Objects(), "plans/task/job")
    assert gone.value.reason == "PLAN_EXPIRED"


async def test_two_drives_of_a_task_share_no_object() -> None:
    """The driver before may still be writing: what the ledger names is one drive's alone."""
    objects = bucket.Objects()
    first, second = [await folder.Folder(objects, "task").finish({"rows": rows}) for rows in (1, 2)]
    assert await folder.fields_of(objects, first) == {"rows": 1}
    assert await folder.fields_of(objects, second) == {"rows": 2}
