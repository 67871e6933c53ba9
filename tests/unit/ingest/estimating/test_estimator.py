"""An estimate waits for its turn, and is not called too big for that."""

import asyncio
import dataclasses
import pathlib
import threading
import uuid
from typing import Any
from unittest import mock

import pytest
from vectorline.v1 import ingest_pb2, ledger_pb2

from services.billing import prices, spend
from services.ingest import failures, sources, threads
from services.ingest.contract import context, rules
from services.ingest.estimating import estimate, estimator
from services.ingest.manifest import header, known, parts
from services.ingest.request import options
from services.ingest.sources import memory
from services.ingest.splitting import task_source
from services.runtime import errors
from tests.unit.ingest.jobs import bucket

TERMS = estimate.Terms("small", 3, prices.Prices(), requests_per_second=2.0, tokens_per_minute=0.0)
SMALL = b"id,formatted_text\n1,a\n"


class Source(memory.MemorySource):
    """A source that is read when it may be."""

    def __init__(self, data: bytes, go: threading.Event | None = None, error: Exception | None = None) -> None:
        super().__init__(data)
        self.go = go
        self.error = error

    def open(self, pinned: Any, offset: int = 0) -> memory.MemoryStream:
        if self.go is not None:
            assert self.go.wait(30)
        if self.error:
            raise self.error
        return super().open(pinned, offset)


class Found:
    def __init__(self, sources: dict[str, Source]) -> None:
        self.sources = sources

    def of_request(self, chosen: options.Options) -> Source:
        return self.sources[chosen.s3_key]


class Ledger:
    def __init__(self, vectors: int = 0) -> None:
        self.vectors = vectors

    async def check_namespace(self, *_: Any) -> ledger_pb2.CheckNamespaceResponse:
        return ledger_pb2.CheckNamespaceResponse(vectors=self.vectors)


def of(sources: dict[str, Source], seconds: float = 10.0) -> estimator.Estimator:
    find: Any = Found(sources)
    ledger: Any = Ledger()
    asked: Any = None
    work = threads.Pool(4, "count")
    return estimator.Estimator(find, asked, ledger, terms=TERMS, seconds=seconds, scratch=None, work=work)


def asking(key: str) -> options.Options:
    return options.Options(data_source="s3_csv", question_id=7, s3_key=key)


async def test_a_small_file_behind_big_ones_is_counted_when_its_turn_comes() -> None:
    go = threading.Event()
    made = of({"big": Source(SMALL, go), "small": Source(SMALL)}, seconds=0.3)
    big = [asyncio.create_task(made.of(asking("big"), None, owner)) for owner in ("ann", "bob")]
    await asyncio.sleep(0.05)
    small = asyncio.create_task(made.of(asking("small"), None, "eve"))
    await asyncio.sleep(0.05)
    made._seconds = 60.0  # from its turn on it has all the time; before that it was not counted
    for each in big:
        with pytest.raises(errors.InvalidArgument) as caught:
            await each
        assert caught.value.reason == "ESTIMATE_TOO_LONG"
    assert (await small).rows == 1
    go.set()


async def test_who_waits_too_long_is_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimator, "WAIT_SECONDS", 0.1)
    go = threading.Event()
    made = of({"big": Source(SMALL, go), "small": Source(SMALL)})
    big = [asyncio.create_task(made.of(asking("big"), None, owner)) for owner in ("ann", "bob")]
    await asyncio.sleep(0.05)
    with pytest.raises(errors.Unavailable) as caught:
        await made.of(asking("small"), None, "eve")
    assert (caught.value.reason, caught.value.retry_seconds) == ("ESTIMATES_BUSY", 15.0)
    go.set()
    assert [(await each).rows for each in big] == [1, 1]
    assert (await made.of(asking("small"), None, "eve")).rows == 1


async def test_one_caller_holds_one_slot() -> None:
    go = threading.Event()
    made = of({"big": Source(SMALL, go), "small": Source(SMALL)})
    anns = [asyncio.create_task(made.of(asking("big"), None, "ann")) for _ in range(3)]
    await asyncio.sleep(0.05)
    assert (await asyncio.wait_for(made.of(asking("small"), None, "bob"), 5)).rows == 1
    go.set()
    assert [(await each).rows for each in anns] == [1, 1, 1]
    assert not made._callers


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (failures.SourceFailure("SOURCE_NOT_FOUND", "m"), "NOT_FOUND", "SOURCE_NOT_FOUND"),
        (failures.SourceFailure("SOURCE_ARCHIVED", "m"), "ABORTED", "SOURCE_ARCHIVED"),
        (failures.FileFailure("NOT_TEXT", "m"), "INVALID_ARGUMENT", "NOT_TEXT"),
        (failures.SourceUnavailable("m"), "UNAVAILABLE", "SOURCE_UNAVAILABLE"),
        (OSError(28, "No space left on device"), "UNAVAILABLE", "SCRATCH_FULL"),
    ],
)
async def test_what_a_task_would_fail_with_is_told(error: Exception, code: str, reason: str) -> None:
    with pytest.raises(errors.ServiceError) as caught:
        await of({"a": Source(SMALL, error=error)}).of(asking("a"), None, "ann")
    assert (caught.value.code, caught.value.reason) == (code, reason)


@pytest.mark.parametrize("created", ["2026-01-02T03:04:05.678901Z", "2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05Z"])
def test_a_rows_metadata_is_as_long_as_a_tasks(created: str) -> None:
    record = ledger_pb2.TaskRecord(task_id=str(uuid.uuid4()), plan_uri="s3://bucket/plan.json")
    record.created_at.FromJsonString(created)
    record.request.CopyFrom(
        ingest_pb2.ProcessRequest(data_source="local_csv", s3_key="a.csv", question_id=7, chunk_size=1_000)
    )
    anything: Any = mock.Mock()
    task = task_source.opened(record, anything, anything, anything, options.Defaults()).task
    known = context.of_any_task(task.options, sources.Pinned.from_proto(record.source))
    assert (len(task.task_id), len(task.processed_at)) == (len(known.task_id), len(known.processed_at))
    assert (task.source, task.s3_key) == (known.source, known.s3_key)


def known_of(folder: pathlib.Path, *ids: str) -> known.Known:
    """A manifest of these ids, each with whatever text but the last, of which nothing is known."""
    objects = bucket.Objects()
    writer = parts.Writer(objects, "segment-")
    entries = {f"7.{name}": None if name == ids[-1] else ("before", "m") for name in ids}
    for block in bucket.sorted_entries(folder, entries):
        writer.add(block)
    head = header.Header(3, rules.version(), "small", 3, "host", len(ids) - 1, 1, (writer.finish(),))
    return known.Known(objects, bucket.HASHES, head)


@pytest.mark.parametrize(("mode", "removed"), [("mirror", (3, 2)), ("upsert", None)])
async def test_a_mirror_says_what_it_would_remove_and_prices_that(
    tmp_path: pathlib.Path, mode: str, removed: tuple[int, int] | None
) -> None:
    """Not what the file has, also in a row that is rejected."""
    data = b"id,formatted_text\n1,a\n2,\n3,c\n"
    made = of({"a": Source(data)})
    asked: list[Any] = []
    in_index = known_of(tmp_path, "1", "2", "8", "9", "10")

    async def foreseen(*_: object) -> known.Known:
        return in_index

    async def deletes(namespace: str, question_id: int, found: estimate.Removed, _dimension: int) -> spend.Spend:
        asked.append((namespace, question_id, tuple(found)))
        return spend.Spend(write_units=50, write_units_doubtful=7)

    made._foreseen, made._deletes = foreseen, deletes
    plain = await made.of(dataclasses.replace(asking("a"), mode="upsert"), None, "ann")
    asked.clear()
    told = await made.of(dataclasses.replace(asking("a"), mode=mode), None, "ann")

    assert asked == ([("v2", 7, removed)] if removed else [])
    assert told.HasField("removed") == bool(removed)
    if removed:
        assert told.removed == removed[0]
        assert told.bill.write_units == plain.bill.write_units + 50
        assert told.bill.at_most.write_units == plain.bill.write_units + 57


async def test_a_mirror_of_what_is_not_known_lists_it_and_says_no_count() -> None:
    made = of({"a": Source(SMALL)})
    made._ledger = Ledger(vectors=2_500)
    told = await made.of(dataclasses.replace(asking("a"), mode="mirror"), None, "ann")
    plain = await made.of(asking("a"), None, "ann")
    assert not told.HasField("removed")
    assert told.bill.read_units == plain.bill.read_units + 25
