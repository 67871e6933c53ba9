"""Rejects and retries of tasks whose source, plan or bucket is not what it was: told by name, never as INTERNAL."""

import asyncio
import pathlib
from typing import Any

import grpc
import pytest
from vectorline.v1 import ingest_pb2, ledger_pb2

from services.indexer.ledger import records, shards
from services.ingest import sources
from services.ingest.planning import scan, shelf
from services.ingest.request import options
from services.ingest.sources import s3 as s3_source
from tests.integration.ingest.conftest import BUCKET, Api
from tests.integration.ingest.test_api import order, refused

DATA = b"id,formatted_text\n1,a\n1,b\n2,\n"


async def finished(s3: Any, api: Api, folder: pathlib.Path, key: str, outcome: shards.Outcome) -> str:
    """A task over DATA, scanned and settled as a driver and an indexer would."""
    s3.put_object(Bucket=BUCKET, Key=key, Body=DATA)
    asked = order(data_source="s3_csv", s3_key=key, request_id=key)
    task_id = (await api.stub.Process(asked)).task_id
    source = s3_source.S3Source(s3, f"s3://{BUCKET}/{key}")
    chosen = options.Options.from_request(asked, options.Defaults())
    scanned = await asyncio.to_thread(scan.scan, source, source.pin(), chosen, folder)
    uri = await shelf.Shelf(s3, BUCKET).keep_plan(task_id, scanned)
    book = api.line.book
    await book.tasks.begin_scan(task_id, scanned.pinned.to_proto().SerializeToString())
    end = ledger_pb2.EndScanRequest(
        task_id=task_id, source=scanned.pinned.to_proto(), plan_uri=uri, rows_total=3, chunks_total=1, encoding="utf-8"
    )
    await book.end_scan(task_id, records.scan(end))
    await book.shards.open(task_id, 0)
    await book.closing.settle(task_id, 0, outcome)
    await book.closing.seal(task_id, 1, 3)
    return task_id


def poisoned() -> shards.Outcome:
    return shards.Outcome(indexed=0, skipped=1, failed=2, reasons={"poison": 2}, reason="poison", first_row=1)


def clean() -> shards.Outcome:
    return shards.Outcome(indexed=2, skipped=1, failed=0)


async def rejects(api: Api, task_id: str, **more: Any) -> str:
    call = api.stub.GetRejects(ingest_pb2.GetRejectsRequest(task_id=task_id, **more))
    return b"".join([part.data async for part in call]).decode()


async def test_rejects_and_skipped_rows_are_read_from_the_source(s3: Any, api: Api, tmp_path: pathlib.Path) -> None:
    task_id = await finished(s3, api, tmp_path, "own/good.csv", poisoned())
    told = (await rejects(api, task_id, include="skipped")).splitlines()
    assert told[0] == "id,formatted_text,row_number,line_number,reason,message,line_text"
    assert [line.split(",")[:5] for line in told[1:]] == [
        ["1", "a", "1", "2", "poison"],
        ["2", "", "3", "4", "poison"],
        ["1", "b", "2", "3", "duplicate_id"],
    ]


async def test_skipped_rows_of_a_source_that_is_gone_are_not_found(s3: Any, api: Api, tmp_path: pathlib.Path) -> None:
    task_id = await finished(s3, api, tmp_path, "own/gone.csv", poisoned())
    s3.delete_object(Bucket=BUCKET, Key="own/gone.csv")
    assert "source is gone" in await rejects(api, task_id)
    with refused(grpc.StatusCode.NOT_FOUND, "SOURCE_NOT_FOUND") as told:
        await rejects(api, task_id, include="skipped")
    assert told == {"task_id": task_id}


async def test_skipped_rows_of_a_source_that_was_changed_are_a_conflict(
    s3: Any, api: Api, tmp_path: pathlib.Path
) -> None:
    task_id = await finished(s3, api, tmp_path, "own/changed.csv", clean())
    s3.put_object(Bucket=BUCKET, Key="own/changed.csv", Body=DATA + b"3,c\n")
    with refused(grpc.StatusCode.ABORTED, "SOURCE_CHANGED"):
        await rejects(api, task_id, include="skipped")


async def test_rejects_of_a_task_whose_plan_expired_are_not_found(s3: Any, api: Api, tmp_path: pathlib.Path) -> None:
    task_id = await finished(s3, api, tmp_path, "own/old.csv", poisoned())
    s3.delete_object(Bucket=BUCKET, Key=f"plans/{task_id}/plan.json")
    with refused(grpc.StatusCode.NOT_FOUND, "PLAN_EXPIRED"):
        await rejects(api, task_id)


async def test_a_plan_of_another_version_is_a_conflict(s3: Any, api: Api, tmp_path: pathlib.Path) -> None:
    task_id = await finished(s3, api, tmp_path, "own/version.csv", poisoned())
    s3.put_object(Bucket=BUCKET, Key=f"plans/{task_id}/plan.json", Body=b'{"splitter_version": 99}')
    with refused(grpc.StatusCode.ABORTED, "PLAN_UNKNOWN"):
        await rejects(api, task_id)


async def test_a_retry_is_stored_at_once_without_a_look_at_the_rejects(
    s3: Any, api: Api, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = await finished(s3, api, tmp_path, "own/retry.csv", poisoned())
    s3.delete_object(Bucket=BUCKET, Key=f"plans/{task_id}/plan.json")  # whoever looked would miss it
    first = await api.stub.RetryTask(ingest_pb2.RetryTaskRequest(task_id=task_id))
    again = await api.stub.RetryTask(ingest_pb2.RetryTaskRequest(task_id=task_id))
    every = await api.stub.RetryTask(ingest_pb2.RetryTaskRequest(task_id=task_id, all=True))
    assert first.task_id == again.task_id != every.task_id
    stored = records.record(await api.line.book.tasks.get(first.task_id))
    assert (stored.parent_task_id, stored.plan_uri) == (task_id, "")
    assert sources.Pinned.from_proto(stored.source).uri == f"s3://{BUCKET}/own/retry.csv"
    assert first.task_id in api.drives.begun


@pytest.mark.parametrize("every", [True, False])
async def test_nothing_to_retry_is_known_from_the_counts(
    s3: Any, api: Api, tmp_path: pathlib.Path, every: bool
) -> None:
    reasons = {} if every else {"empty_text": 1}
    outcome = shards.Outcome(indexed=2 - len(reasons), skipped=1, failed=len(reasons), reasons=reasons)
    task_id = await finished(s3, api, tmp_path, f"own/nothing-{every}.csv", outcome)
    with refused(grpc.StatusCode.ABORTED, "NOTHING_TO_RETRY"):
        await api.stub.RetryTask(ingest_pb2.RetryTaskRequest(task_id=task_id, all=every))
