"""Uploads: their parts, their memory, and that nothing of a broken one stays."""

import asyncio
import hashlib
import random
import threading
import time
from typing import Any

import pytest
from botocore import exceptions as aws

from services.ingest import failures
from services.ingest.sources import upload_memory, uploads
from services.runtime import errors

PART = 64 << 10
FREE = 8 << 10


class Bucket:
    """A client of S3 whose parts take their time."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.objects: dict[str, bytes] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.aborted: list[str] = []
        self.lengths: list[int] = []
        self.under_way = self.most_under_way = 0
        self.error: Exception | None = None
        self.hold: threading.Event | None = None
        self._lock = threading.Lock()

    def create_multipart_upload(self, *, Key: str, **_: Any) -> Any:  # noqa: N803
        time.sleep(self.seconds)
        self.parts[Key] = {}
        return {"UploadId": Key}

    def upload_part(self, *, UploadId: str, PartNumber: int, Body: Any, **_: Any) -> Any:  # noqa: N803
        data = Body.read()
        with self._lock:
            self.under_way += len(data)
            self.most_under_way = max(self.most_under_way, self.under_way)
        time.sleep(self.seconds)
        if self.hold:
            assert self.hold.wait(30)
        with self._lock:
            self.under_way -= len(data)
        if self.error:
            raise self.error
        self.parts[UploadId][PartNumber] = data
        return {"ETag": str(PartNumber)}

    def complete_multipart_upload(self, *, Key: str, MultipartUpload: Any, **_: Any) -> Any:  # noqa: N803
        numbers = [part["PartNumber"] for part in MultipartUpload["Parts"]]
        assert numbers == sorted(numbers)
        parts = self.parts.pop(Key)
        self.lengths = [len(parts[number]) for number in numbers]
        self.objects[Key] = b"".join(parts[number] for number in numbers)
        return {"ETag": "whole"}

    def abort_multipart_upload(self, *, Key: str, **_: Any) -> Any:  # noqa: N803
        self.aborted.append(Key)
        del self.parts[Key]
        return {}

    def put_object(self, *, Key: str, Body: Any, **_: Any) -> Any:  # noqa: N803
        self.objects[Key] = Body.read()
        return {"ETag": "one"}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setattr(uploads, "PART_BYTES", PART)
    monkeypatch.setattr(uploads, "FREE_BYTES", FREE)
    monkeypatch.setattr(uploads, "MEMORY_BYTES", 4 * PART)
    return Bucket()


def of(bucket: Bucket) -> uploads.Uploads:
    client: Any = bucket
    return uploads.Uploads(client, "ours")


async def sent(stored: uploads.Uploads, number: int, data: bytes, piece: int = 5_000) -> Any:
    upload = stored.begin(f"u{number}", "a.csv", "ann")
    for start in range(0, len(data), piece):
        await upload.write(data[start : start + piece])
        await asyncio.sleep(0)
    return await upload.finish("a.csv")


@pytest.mark.parametrize("size", [0, 1, FREE, FREE + 1, PART - 1, PART, PART + 1, 5 * PART + 77])
async def test_what_was_sent_is_stored_and_hashed(bucket: Bucket, size: int) -> None:
    data, stored = random.Random(size).randbytes(size), of(bucket)
    pinned = await sent(stored, 1, data)
    assert bucket.objects["uploads/u1/a.csv"] == data
    assert (pinned.size_bytes, pinned.sha256) == (size, hashlib.sha256(data).hexdigest())
    assert stored._memory.held_bytes == 0


async def test_parts_grow_so_that_ten_thousand_suffice(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PARTS_BEFORE_GROWTH", 2)
    monkeypatch.setattr(uploads, "MOST_PART_BYTES", 4 * PART)
    data = random.Random(1).randbytes(16 * PART)
    upload = of(bucket).begin("u", "a.csv", "ann")
    for start in range(0, len(data), PART // 4):
        await upload.write(data[start : start + PART // 4])
    await upload.finish("a.csv")
    assert [length // PART for length in bucket.lengths] == [1, 1, 1, 2, 2, 4, 4, 1]
    assert bucket.objects["uploads/u/a.csv"] == data


async def test_forty_slow_uploads_stay_within_the_budget_and_all_end(bucket: Bucket) -> None:
    bucket.seconds = 0.01
    stored, most = of(bucket), 0
    data = [random.Random(number).randbytes(3 * PART + number) for number in range(40)]

    async def look() -> None:
        nonlocal most
        while True:
            most = max(most, stored._memory.held_bytes)
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    await asyncio.wait_for(asyncio.gather(*(sent(stored, n, each) for n, each in enumerate(data))), 60)
    looking.cancel()
    assert [bucket.objects[f"uploads/u{number}/a.csv"] for number in range(40)] == data
    assert 2 * PART < most <= 4 * PART
    assert bucket.most_under_way <= 4 * (PART + 5_000)
    assert stored._memory.held_bytes == 0


async def test_an_upload_without_room_gathers_no_more_than_its_free_bytes(bucket: Bucket) -> None:
    stored = of(bucket)
    others = [stored.begin(f"o{number}", "a.csv", "ann") for number in range(4)]
    for other in others:
        await other.write(bytes(FREE + 1))
    waiting = stored.begin("w", "a.csv", "ann")
    await waiting.write(bytes(FREE))
    writing = asyncio.create_task(waiting.write(b"x"))
    await asyncio.sleep(0.05)
    assert not writing.done()
    assert waiting._gathered.tell() == FREE
    await others[0].abandon()
    await asyncio.wait_for(writing, 5)
    for upload in (*others[1:], waiting):
        await upload.abandon()
    assert stored._memory.held_bytes == 0


async def test_an_abandoned_upload_leaves_no_part(bucket: Bucket) -> None:
    bucket.hold = threading.Event()
    stored = of(bucket)
    upload = stored.begin("u", "a.csv", "ann")
    await upload.write(bytes(PART))
    while not bucket.under_way:
        await asyncio.sleep(0.005)
    leaving = asyncio.create_task(upload.abandon())
    await asyncio.sleep(0.02)
    assert not bucket.aborted  # the part under way would be left
    bucket.hold.set()
    await asyncio.wait_for(leaving, 5)
    assert (bucket.aborted, bucket.parts) == (["uploads/u/a.csv"], {})
    assert stored._memory.held_bytes == 0


async def test_a_beginning_whose_answer_nobody_waited_for_is_taken_back(bucket: Bucket) -> None:
    bucket.seconds = 0.05
    upload = of(bucket).begin("u", "a.csv", "ann")
    writing = asyncio.create_task(upload.write(bytes(PART)))
    await asyncio.sleep(0.01)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await upload.abandon()
    assert (bucket.aborted, bucket.parts) == (["uploads/u/a.csv"], {})


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [("SlowDown", 503, errors.Unavailable), ("AccessDenied", 403, failures.StoreFailure)],
)
async def test_a_part_that_is_refused_ends_the_upload_and_gives_its_room_back(
    bucket: Bucket, code: str, status: int, kind: type[Exception]
) -> None:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    bucket.error = aws.ClientError(answer, "UploadPart")
    stored = of(bucket)
    upload = stored.begin("u", "a.csv", "ann")
    with pytest.raises(kind):  # noqa: PT012 (the second one waits for the first part)
        await upload.write(bytes(PART))
        await upload.write(bytes(PART))
    await upload.abandon()
    assert bucket.aborted == ["uploads/u/a.csv"]
    assert stored._memory.held_bytes == 0


async def test_who_waits_for_memory_is_served_in_order_and_may_leave() -> None:
    budget = upload_memory.Budget(10)
    assert await budget.take(25) == 10
    order: list[str] = []

    async def wait(name: str, count: int) -> None:
        await budget.take(count)
        order.append(name)

    waiting = [asyncio.create_task(wait(name, count)) for name, count in (("a", 8), ("b", 9), ("c", 2))]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.sleep(0)
    budget.give_back(10)
    await asyncio.gather(waiting[0], waiting[2])
    assert order == ["a", "c"]
    assert budget.held_bytes == 10
