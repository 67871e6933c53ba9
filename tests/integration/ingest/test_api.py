"""Estimates, uploads used again, and what no caller can reach, over ingest's gRPC."""

import contextlib
import gzip
import os
import uuid
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from vectorline.v1 import ingest_pb2, ledger_pb2

from services.indexer.ledger import creation
from services.ingest import servicer
from services.runtime import errors
from tests.integration.ingest.conftest import ADMIN, ANN, BOB, BUCKET, Api
from tests.support import csvs

NOTHING = "00000000-0000-4000-8000-000000000000"


@contextlib.contextmanager
def refused(code: grpc.StatusCode, reason: str) -> Iterator[dict[str, str]]:
    """Yields the ErrorInfo's metadata, filled in once the call was refused."""
    metadata: dict[str, str] = {}
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        yield metadata
    assert caught.value.code() == code, caught.value.details()
    info = error_details_pb2.ErrorInfo()
    status: Any = rpc_status.from_call(caught.value)
    assert status.details[0].Unpack(info)
    assert info.reason == reason
    metadata.update(info.metadata)


def order(**fields: Any) -> ingest_pb2.ProcessRequest:
    return ingest_pb2.ProcessRequest(**{"question_id": 7, **fields})


async def test_an_estimate_of_an_object_counts_every_row_and_writes_nothing(s3: Any, api: Api) -> None:
    rows: list[tuple[str, ...]] = csvs.rows(500)
    rows[41] = ("", "no id", "1.0", "true", "1")
    s3.put_object(Bucket=BUCKET, Key="exports/e.csv", Body=csvs.of(rows))
    before = s3.list_objects_v2(Bucket=BUCKET).get("KeyCount")

    found = await api.stub.Estimate(order(data_source="s3_csv", s3_key="exports/e.csv", namespace="n"))

    assert (found.rows, found.usable, found.skipped, found.rejected, found.chunks) == (500, 499, 0, 1, 1)
    assert [(group.reason, group.rows, group.samples[0].row_number) for group in found.rejects] == [
        ("missing_id", 1, 42)
    ]
    assert found.billed_tokens == found.tokens > 499 * 10
    assert found.price_usd == pytest.approx(found.billed_tokens * 0.02 / 1e6)
    assert (found.requests, found.duration_seconds) == (1, 1.0)
    assert [(column.name, column.type) for column in found.columns][2:] == [
        ("price", "number"),
        ("in_stock", "boolean"),
        ("zip", "string"),
    ]
    assert (found.encoding, found.delimiter, found.newline, found.gzip) == ("utf-8", ",", "crlf", False)
    assert (found.namespace_check.namespace, found.namespace_check.problem) == ("n", "")
    assert not found.HasField("upload_id")
    assert s3.list_objects_v2(Bucket=BUCKET).get("KeyCount") == before
    assert api.drives.begun == []


async def test_a_namespace_of_another_model_is_told(s3: Any, api: Api) -> None:
    s3.put_object(Bucket=BUCKET, Key="exports/n.csv", Body=csvs.of(csvs.rows(1)))
    await api.line.book.namespaces.claim("taken", "ada", 3)

    found = await api.stub.Estimate(order(data_source="s3_csv", s3_key="exports/n.csv", namespace="taken"))

    assert found.namespace_check.holds_model == "ada"
    assert "not of small" in found.namespace_check.problem


async def test_what_a_task_would_fail_with_is_told_at_once(s3: Any, api: Api) -> None:
    s3.put_object(Bucket=BUCKET, Key="exports/open.csv", Body=b'id,formatted_text\n1,"open\n')

    with refused(grpc.StatusCode.INVALID_ARGUMENT, "UNBALANCED_QUOTE"):
        await api.stub.Estimate(order(data_source="s3_csv", s3_key="exports/open.csv"))
    with refused(grpc.StatusCode.NOT_FOUND, "SOURCE_NOT_FOUND"):
        await api.stub.Estimate(order(data_source="s3_csv", s3_key="exports/missing.csv"))


async def test_an_upload_is_estimated_and_then_processed_without_being_sent_again(api: Api) -> None:
    first = await api.upload(gzip.compress(csvs.of(csvs.rows(200))), estimate=True, filename="a.csv.gz")

    assert (first.task_id, first.estimate.rows, first.estimate.gzip) == ("", 200, True)
    assert first.upload_id == first.estimate.upload_id
    assert api.drives.begun == []

    task = await api.stub.Process(order(data_source="upload", upload_id=first.upload_id))
    again = await api.stub.Estimate(order(data_source="upload", upload_id=first.upload_id))

    assert task.upload_id == first.upload_id
    assert api.drives.begun == [task.task_id]
    record = await api.line.book.tasks.get(task.task_id)
    source = ledger_pb2.PinnedSource.FromString(record["source"])
    assert source.uri == f"s3://{BUCKET}/uploads/{first.upload_id}/a.csv.gz"
    assert again.tokens == first.estimate.tokens


async def test_a_file_that_is_no_use_keeps_its_upload_id_for_other_options(api: Api) -> None:
    content = b"key,formatted_text\n1,words\n"

    with refused(grpc.StatusCode.INVALID_ARGUMENT, "MISSING_COLUMN") as told:
        await api.upload(content, estimate=True)
    found = await api.stub.Estimate(order(data_source="upload", upload_id=told["upload_id"], id_column="key"))

    assert found.usable == 1


async def test_an_upload_is_its_callers_own(api: Api) -> None:
    theirs = (await api.upload(csvs.of(csvs.rows(1)), estimate=True)).upload_id
    asked = order(data_source="upload", upload_id=theirs)

    api.door.caller = BOB
    with refused(grpc.StatusCode.NOT_FOUND, "UPLOAD_NOT_FOUND"):
        await api.stub.Process(asked)
    with refused(grpc.StatusCode.NOT_FOUND, "UPLOAD_NOT_FOUND"):
        await api.stub.Estimate(asked)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"):
        await api.stub.Process(order(data_source="s3_csv", s3_key=f"uploads/{theirs}/a_b.csv"))
    api.door.caller = ADMIN
    assert (await api.stub.Estimate(asked)).rows == 1


@pytest.mark.parametrize("upload_id", [NOTHING, "a_b.csv", "../plans", NOTHING.replace("-", ""), "*", "0"])
async def test_an_unknown_upload_is_not_found(api: Api, upload_id: str) -> None:
    with refused(grpc.StatusCode.NOT_FOUND, "UPLOAD_NOT_FOUND"):
        await api.stub.Process(order(data_source="upload", upload_id=upload_id))


async def test_one_key_and_one_content_are_one_task_and_one_object(s3: Any, api: Api) -> None:
    key, content = uuid.uuid4().hex, csvs.of(csvs.rows(3))
    before = s3.list_objects_v2(Bucket=BUCKET, Prefix="uploads/").get("KeyCount")

    first = await api.upload(content, key=key)
    again = await api.upload(content, key=key)
    with refused(grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED"):
        await api.upload(content + b"i4,more,1,true,1\r\n", key=key)
    with refused(grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED"):
        await api.upload(content, key=key, namespace="other")
    without = await api.upload(content)

    assert (again.task_id, again.upload_id) == (first.task_id, first.upload_id)
    assert without.task_id != first.task_id
    assert s3.list_objects_v2(Bucket=BUCKET, Prefix="uploads/").get("KeyCount") == before + 2


async def test_an_upload_whose_task_is_stored_stays_though_the_repeated_call_was_refused(
    api: Api, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The channel repeats a call whose answer was lost; the second attempt may hear that a quota is used up since."""
    create = api.line.book.create

    async def used_up(new: creation.NewTask) -> Any:
        await create(new)
        raise errors.ResourceExhausted("The key has used its rows of today.", reason="ROWS_QUOTA_EXCEEDED")

    monkeypatch.setattr(api.line.book, "create", used_up)
    answer = await api.upload(csvs.of(csvs.rows(2)))
    assert (await api.line.book.tasks.get(answer.task_id))["status"] == "pending"
    assert s3.list_objects_v2(Bucket=BUCKET, Prefix=f"uploads/{answer.task_id}/").get("KeyCount") == 1
    assert api.drives.begun == [answer.task_id]


async def test_a_task_that_an_earlier_attempt_of_the_call_stored_is_told_as_new(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = api.line.book.create

    async def twice(new: creation.NewTask) -> Any:
        await create(new)
        return await create(new)

    monkeypatch.setattr(api.line.book, "create", twice)
    answer = await api.upload(csvs.of(csvs.rows(2)))
    assert answer.message == servicer.STORED


async def test_an_upload_that_a_limit_refuses_is_taken_away_again(
    api: Api, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(new: creation.NewTask) -> Any:
        raise errors.ResourceExhausted("The key has used its rows of today.", reason="ROWS_QUOTA_EXCEEDED")

    monkeypatch.setattr(api.line.book, "create", refuse)
    before = s3.list_objects_v2(Bucket=BUCKET, Prefix="uploads/").get("KeyCount")
    with pytest.raises(grpc.aio.AioRpcError):
        await api.upload(csvs.of(csvs.rows(2)))
    assert s3.list_objects_v2(Bucket=BUCKET, Prefix="uploads/").get("KeyCount") == before


async def test_the_same_process_of_an_upload_is_one_task(api: Api) -> None:
    upload_id = (await api.upload(csvs.of(csvs.rows(1)), estimate=True)).upload_id
    asked = order(data_source="upload", upload_id=upload_id, request_id=uuid.uuid4().hex)

    assert (await api.stub.Process(asked)).task_id == (await api.stub.Process(asked)).task_id


@pytest.mark.parametrize(
    "path",
    [
        *("../secret.csv", "/etc/hostname", "in/../../secret.csv", "./a.csv", "\\..\\secret.csv"),
        *("link.csv", "links/secret.csv", "pipe", ""),
    ],
)
async def test_no_path_leaves_the_local_folder(api: Api, path: str) -> None:
    secret = api.local.parent / "secret.csv"
    secret.write_text("id,formatted_text\n1,secret\n")
    (api.local / "in").mkdir()
    (api.local / "link.csv").symlink_to(secret)
    (api.local / "links").symlink_to(secret.parent)
    os.mkfifo(api.local / "pipe")

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.stub.Estimate(order(data_source="local_csv", s3_key=path))

    assert caught.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
    assert "secret\n" not in str(caught.value.details())


async def test_a_local_file_is_estimated(api: Api) -> None:
    (api.local / "in").mkdir()
    (api.local / "in" / "a.csv").write_bytes(csvs.of(csvs.rows(20)))

    assert (await api.stub.Estimate(order(data_source="local_csv", s3_key="in/a.csv"))).usable == 20


async def test_a_question_is_staged_for_its_estimate_and_not_asked_again(api: Api, scripted: httpx.AsyncClient) -> None:
    asked = {"data_source": "metabase", "question_id": 232, "start_date": "2025-06-01"}

    found = await api.stub.Estimate(order(**asked))
    again = await api.stub.Estimate(order(data_source="upload", question_id=232, upload_id=found.upload_id))

    assert found.usable == again.usable == 2_140
    assert len((await scripted.get("/_sandbox/requests")).json()) == 1
    assert api.door.caller is ANN


async def test_a_question_that_was_cut_is_no_estimate(api: Api, scripted: httpx.AsyncClient) -> None:
    await scripted.put("/_sandbox/faults", json=[{"kind": "cap", "rows": 2_000}])

    with refused(grpc.StatusCode.INVALID_ARGUMENT, "METABASE_TRUNCATED"):
        await api.stub.Estimate(order(data_source="metabase", question_id=232, start_date="2025-01-01"))
