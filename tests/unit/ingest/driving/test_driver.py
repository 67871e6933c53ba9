"""A task ends by name, whatever its drive meets; nothing is tried for ever."""

import asyncio
import concurrent.futures
import errno
import json
import threading
from typing import Any

import pytest
from structlog import testing

from services.chunks import errors as queue_errors
from services.chunks import splitting
from services.ingest import threads
from services.ingest.driving import defects, driver
from services.ingest.planning import scan
from services.ingest.sources import memory, object_store
from services.ingest.splitting import split
from services.runtime import errors
from tests.support import chunks
from tests.unit.ingest import driven

End = driver.End


def rows(count: int) -> bytes:
    return b"id,formatted_text\n" + b"".join(b"%d,text %d\n" % (number, number) for number in range(1, count + 1))


def breaking(data: bytes, *, chunk: int, patch: pytest.MonkeyPatch) -> driven.Scene:
    """A line on which the split of one chunk fails inside."""
    made, whole = driven.scene(data), split._Builder.chunk

    def chunk_or_die(builder: Any) -> split.Chunk:
        if builder.number == chunk:
            raise LookupError("nobody foresaw this")
        return whole(builder)

    patch.setattr(split._Builder, "chunk", chunk_or_die)
    return made


async def test_a_good_task_is_published_and_sealed() -> None:
    line = driven.scene(rows(250))
    task = line.task()
    assert await line.driver.drive(driven.TASK) is End.DONE
    assert await line.published() == [0, 1, 2]
    assert (task.sealed, task.chunks_total, task.rows_total) == (True, 3, 250)


async def test_what_the_task_before_left_is_merged_before_the_source_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a merge that waits for S3 would have it scanned each time, and its waiting would begin anew with each."""
    line = driven.scene(rows(10))
    task = line.task()

    async def wait(*_: Any) -> None:
        raise errors.Unavailable("The object store does not answer now.")

    monkeypatch.setattr(driven.Everything, "merge_before", wait)
    assert await line.driver.drive(driven.TASK) is End.LATER
    assert (task.status, task.source.uri) == ("queued", "")


@pytest.mark.parametrize(("metered", "client"), [(True, "ann"), (False, "")])
async def test_chunks_say_for_whom_their_tokens_are_counted(metered: bool, client: str) -> None:
    line = driven.scene(rows(250))
    line.task(metered=metered)
    await line.driver.drive(driven.TASK)

    stored = [each for lane in line.queue.lanes.values() for each in lane.entries.values()]
    assert [each.header.client for each in stored] == [client] * 3


async def test_what_fails_inside_five_times_ends_the_task_with_its_incident(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise LookupError("nobody foresaw this")

    monkeypatch.setattr(scan, "scan", fail)
    line = driven.scene(rows(3))
    task = line.task()
    with testing.capture_logs() as logs:
        ends = [await line.driver.drive(driven.TASK) for _ in range(defects.MOST)]
    assert ends == [End.DEFECT] * 4 + [End.OVER]
    assert (task.status, task.error_reason) == ("failed", "DRIVE_DEFECT")
    incidents = [log["incident"] for log in logs if log.get("action") == "drive_defect"]
    assert len(incidents) == 5
    assert incidents[-1] in task.error


async def test_defects_are_counted_over_all_processes_and_forgotten_when_the_task_gets_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = breaking(rows(450), chunk=3, patch=monkeypatch)
    task = line.task()
    await chunks.defects(line.queue, driven.TASK, 4)  # of another process, before
    assert await line.driver.drive(driven.TASK) is End.DEFECT
    assert await line.published() == [0, 1, 2]
    assert [await line.driver.drive(driven.TASK) for _ in range(4)] == [End.DEFECT] * 3 + [End.OVER]
    assert task.error_reason == "DRIVE_DEFECT"


async def test_a_task_that_is_published_forgets_its_defects() -> None:
    line = driven.scene(rows(3))
    line.task()
    await chunks.defects(line.queue, driven.TASK, 1)
    assert await line.driver.drive(driven.TASK) is End.DONE
    await chunks.defects(line.queue, driven.TASK, 1)


async def test_a_drive_that_has_lost_its_lease_counts_no_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stood still, another finished the task, and it fell over what it found when it woke."""
    line = driven.scene(rows(3))
    line.task()

    def fail(*_: Any, **__: Any) -> None:
        line.queue.flush()  # the lease is gone
        raise LookupError("nobody foresaw this")

    monkeypatch.setattr(scan, "scan", fail)
    assert [await line.driver.drive(driven.TASK) for _ in range(defects.MOST)] == [End.DEFECT] * defects.MOST
    assert await line.queue.tasks() == set()


@pytest.mark.parametrize(("lost", "told"), [(True, []), (False, ["S3 is away."])])
async def test_only_who_drives_the_task_says_what_it_waits_for(
    monkeypatch: pytest.MonkeyPatch, lost: bool, told: list[str]
) -> None:
    """It stood still in mid call and finds that broken, while another reads the source without a stop."""
    line = driven.scene(rows(3))
    line.task()

    async def wait(*_: Any) -> None:
        if lost:
            line.queue.flush()
            assert await splitting.Splitting(line.queue).acquire(driven.TASK) is not None
        raise errors.Unavailable("S3 is away.")

    monkeypatch.setattr(driven.Everything, "merge_before", wait)
    assert await line.driver.drive(driven.TASK) is End.LATER
    assert line.ledger.waits == told


async def test_what_another_process_waited_for_is_taken_back_when_the_task_gets_on() -> None:
    line = driven.scene(rows(3))
    line.task(wait="S3 is away.")  # and then it died
    assert await line.driver.drive(driven.TASK) is End.DONE
    assert line.ledger.waits == [""]


async def test_a_defect_that_cannot_be_counted_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    line = breaking(rows(3), chunk=0, patch=monkeypatch)
    task = line.task()

    async def away(*_: Any, **__: Any) -> int:
        raise queue_errors.QueueUnavailable("away")

    monkeypatch.setattr(line.queue, "defect", away)
    assert [await line.driver.drive(driven.TASK) for _ in range(7)] == [End.DEFECT] * 7
    assert task.status == "processing_chunks"


@pytest.mark.parametrize(
    ("number", "reason"),
    [(errno.ENOSPC, "SCRATCH_FULL"), (errno.EDQUOT, "SCRATCH_FULL"), (errno.EIO, "SCRATCH_UNUSABLE")],
)
async def test_a_scratch_disk_that_takes_nothing_ends_the_task_by_name(
    monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(scan.duplicates.Finder, "write", fail)
    line = driven.scene(rows(3))
    task = line.task()
    assert await line.driver.drive(driven.TASK) is End.OVER
    assert (task.status, task.error_reason) == ("failed", reason)


@pytest.mark.parametrize("change", ["more", "less", "list", "version"])
async def test_a_plan_that_this_version_does_not_know_ends_the_task_by_name(
    monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    line = breaking(rows(3), chunk=0, patch=monkeypatch)
    task = line.task()
    assert await line.driver.drive(driven.TASK) is End.DEFECT
    key = task.plan_uri.removeprefix("s3://ours/")
    fields = json.loads(line.bucket.objects[key])
    if change == "more":
        fields["shards"][0]["colour"] = "blue"
    elif change == "less":
        del fields["dialect"]["encoding"]
    elif change == "list":
        fields["warnings"] = 3
    else:
        fields["splitter_version"] = 99
    line.bucket.objects[key] = json.dumps(fields).encode()
    assert await line.driver.drive(driven.TASK) is End.OVER
    assert (task.status, task.error_reason) == ("failed", "PLAN_UNKNOWN")


async def test_a_plan_that_is_gone_ends_the_task_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    line = breaking(rows(3), chunk=0, patch=monkeypatch)
    task = line.task()
    assert await line.driver.drive(driven.TASK) is End.DEFECT
    line.bucket.objects.clear()
    assert await line.driver.drive(driven.TASK) is End.OVER
    assert (task.status, task.error_reason) == ("failed", "PLAN_EXPIRED")


async def test_a_request_that_this_version_does_not_take_ends_the_task_by_name() -> None:
    line = driven.scene(rows(3))
    task = line.task(request={"sanitizer": "of tomorrow"})
    assert await line.driver.drive(driven.TASK) is End.OVER
    assert (task.status, task.error_reason) == ("failed", "INVALID_ARGUMENT")


async def test_a_driver_of_a_task_that_is_gone_only_stops() -> None:
    assert await driven.scene(b"").driver.drive("nobody") is End.OVER


async def test_sixteen_scans_that_stand_still_let_an_upload_pass() -> None:
    asyncio.get_running_loop().set_default_executor(concurrent.futures.ThreadPoolExecutor(2))
    go, begun = threading.Event(), threading.Semaphore(0)

    class Slow(memory.MemorySource):
        def open(self, pinned: Any, offset: int = 0) -> memory.MemoryStream:
            begun.release()
            assert go.wait(60)
            return super().open(pinned, offset)

    work = threads.Pool(16, "work")
    line = driven.scene(rows(3), Slow, work)
    names = [f"task-{number}" for number in range(16)]
    for name in names:
        line.task(name)
    drives = [asyncio.create_task(line.driver.drive(name)) for name in names]
    for _ in drives:
        assert await asyncio.to_thread(begun.acquire, timeout=60)
    assert await asyncio.wait_for(object_store.call(lambda **_: "stored"), 30) == "stored"
    go.set()
    assert await asyncio.gather(*drives) == [End.DONE] * 16
    work.close()


async def test_a_source_that_breaks_in_the_split_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Once(memory.MemorySource):
        def open(self, pinned: Any, offset: int = 0) -> memory.MemoryStream:
            if self.opened:
                self.opened.clear()
                raise driver.failures.SourceUnavailable("not now")
            return super().open(pinned, offset)

    line = driven.scene(rows(3), Once)
    line.task()
    assert await line.driver.drive(driven.TASK) is End.LATER
    assert line.ledger.waits == ["not now"]  # which its callers see while it stands still
    assert await line.driver.drive(driven.TASK) is End.DONE
    assert line.ledger.waits == ["not now", ""]
