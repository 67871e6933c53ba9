"""Rejected rows in S3."""

from collections.abc import Iterator

import moto
import pytest
from vectorline.v1 import chunk_pb2

from services.indexer import provision
from services.indexer.storage import rejects
from services.runtime import aws, errors

REJECTS = [
    chunk_pb2.Reject(row_number=7, reason="empty_text", message="The text is empty.", cells=["a", "", "ü\n\u2028"]),
    chunk_pb2.Reject(row_number=2**40, reason="too_long", message="m"),
]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[rejects.RejectStore]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with moto.mock_aws():
        where = aws.CallerSettings(aws_endpoint_url=None)
        client = aws.s3(where)
        provision.ensure_bucket(client, "kept", "us-east-1", lambda line: line)
        caller = aws.Caller("S3", where)
        yield rejects.RejectStore(client, "kept", caller)
        caller.close()


async def test_what_was_written_is_read_in_its_order(store: rejects.RejectStore) -> None:
    key = await store.write("task", 3, REJECTS)
    assert key.startswith("rejects/task/3-")
    assert key.endswith(".jsonl")
    assert await store.read(key) == REJECTS


async def test_each_write_has_a_name_of_its_own(store: rejects.RejectStore) -> None:
    assert await store.write("task", 3, REJECTS) != await store.write("task", 3, REJECTS)


async def test_no_rejects_no_object(store: rejects.RejectStore) -> None:
    assert await store.write("task", 3, []) == ""


async def test_deleted_rejects_are_named(store: rejects.RejectStore) -> None:
    with pytest.raises(errors.NotFound) as caught:
        await store.read("rejects/task/3-gone.jsonl")
    assert caught.value.reason == "REJECTS_MISSING"
