"""A driver over a queue, a ledger and a bucket in memory."""

import dataclasses
import io
from collections.abc import AsyncIterator, Callable
from typing import Any

from botocore import exceptions as aws
from vectorline.v1 import ingest_pb2, ledger_pb2

from services.chunks import memory_store as queue_memory
from services.ingest import ledger_client, sources, threads
from services.ingest.driving import comparisons, driver
from services.ingest.planning import plan, shelf
from services.ingest.request import options
from services.ingest.sources import memory

TASK = "task-1"


class Objects:
    """The calls of boto3 that plans need."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put_object(self, *, Key: str, Body: bytes, **_: Any) -> dict[str, Any]:  # noqa: N803
        self.objects[Key] = bytes(Body)
        return {}

    def upload_file(self, path: str, _bucket: str, key: str) -> None:
        with open(path, "rb") as file:
            self.objects[key] = file.read()

    def copy_object(self, *, Key: str, CopySource: Any, **_: Any) -> None:  # noqa: N803
        self.objects[Key] = self._get(CopySource["Key"])

    def get_object(self, *, Key: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        return {"Body": io.BytesIO(self._get(Key)), "ResponseMetadata": {"HTTPStatusCode": 200}}

    def _get(self, key: str) -> bytes:
        if key not in self.objects:
            answer: Any = {"Error": {"Code": "NoSuchKey"}, "ResponseMetadata": {"HTTPStatusCode": 404}}
            raise aws.ClientError(answer, "GetObject")
        return self.objects[key]


@dataclasses.dataclass
class Ledger:
    """What `ledger_client.Ledger` does for a driver, with the tasks in a dict."""

    tasks: dict[str, ledger_pb2.TaskRecord] = dataclasses.field(default_factory=dict)
    stored: dict[str, list[ledger_pb2.ReadRejectsResponse]] = dataclasses.field(default_factory=dict)

    waits: list[str] = dataclasses.field(default_factory=list)
    looks: int = 0
    scans: list[str] = dataclasses.field(default_factory=list)

    async def note_wait(self, task_id: str, why: str) -> bool:
        self.waits.append(why)
        self.tasks[task_id].wait = why
        return True

    async def note_scan(self, task_id: str) -> bool:
        self.scans.append(task_id)
        return True

    async def get(self, task_id: str) -> ledger_pb2.TaskRecord:
        self.looks += 1
        if task_id not in self.tasks:
            raise ledger_client.LedgerRefused("NOT_FOUND")
        return self.tasks[task_id]

    async def acquire_turn(self, task_id: str) -> int:
        self.tasks[task_id].fence = 1
        return 1

    async def begin_scan(self, task_id: str, _pinned: Any) -> ledger_pb2.TaskRecord:
        return self.tasks[task_id]

    async def end_scan(
        self, record: ledger_pb2.TaskRecord, pinned: sources.Pinned, made: plan.Plan, plan_uri: str
    ) -> ledger_pb2.TaskRecord:
        task = self.tasks[record.task_id]
        task.status, task.plan_uri, task.rows_total = "processing_chunks", plan_uri, made.task_rows
        task.source.CopyFrom(pinned.to_proto())
        return task

    async def open_shard(self, _task_id: str, _shard: int, _fence: int) -> None:
        pass

    async def settled_chunks(self, _task_id: str, _shard: int) -> frozenset[int]:
        return frozenset()

    async def seal(self, task_id: str, _made: plan.Plan, *, chunks: int, **_: Any) -> ledger_pb2.TaskRecord:
        task = self.tasks[task_id]
        task.sealed, task.chunks_total = True, chunks
        return task

    async def fail(self, task_id: str, reason: str, message: str) -> ledger_pb2.TaskRecord:
        task = self.tasks[task_id]
        task.status, task.error_reason, task.error = "failed", reason, message
        return task

    async def rejects_of(self, task_id: str) -> AsyncIterator[ledger_pb2.ReadRejectsResponse]:
        for part in self.stored.get(task_id, []):
            yield part


class Everything:
    """What `comparisons.Comparisons` says where nothing is known of the index."""

    async def merge_before(self, *_: Any) -> None:
        pass

    async def witness(self, *_: Any) -> None:
        return None

    async def of(self, *_: Any) -> comparisons.Found:
        return comparisons.Found(None)


@dataclasses.dataclass
class Scene:
    """A driver and what it drives against."""

    source: memory.MemorySource
    ledger: Ledger
    queue: queue_memory.MemoryStore
    bucket: Objects
    plans: shelf.Shelf
    driver: driver.Driver

    def task(self, task_id: str = TASK, **fields: Any) -> ledger_pb2.TaskRecord:
        """Store a task over the source."""
        request = fields.pop("request", {})
        asked = ingest_pb2.ProcessRequest(
            **{
                "data_source": "s3_csv",
                "s3_key": "a.csv",
                "question_id": 7,
                "chunk_size": 100,
                "priority": "normal",
                **request,
            }
        )
        task = ledger_pb2.TaskRecord(task_id=task_id, client="ann", status="queued", request=asked, **fields)
        self.ledger.tasks[task_id] = task
        return task

    async def published(self, task_id: str = TASK) -> list[int]:
        return sorted(await self.queue.in_flight(task_id))


def made(ledger: Any, queue: Any, **parts: Any) -> driver.Driver:
    """A driver of these parts; of what is not given it has nothing."""
    nothing = dict.fromkeys(("find", "plans", "defaults", "scratch", "compares", "mirrors", "asked", "jobs"))
    return driver.Driver(ledger, queue, **{**nothing, **parts})


def scene(
    data: bytes,
    source: Callable[[bytes], memory.MemorySource] = memory.MemorySource,
    work: threads.Pool | None = None,
) -> Scene:
    read, ledger, queue, bucket = source(data), Ledger(), queue_memory.MemoryStore(), Objects()
    client: Any = bucket
    plans = shelf.Shelf(client, "ours")

    class Find:
        def of_request(self, _chosen: Any) -> memory.MemorySource:
            return read

        def of_pin(self, _pinned: Any) -> memory.MemorySource:
            return read

    drive = made(ledger, queue, find=Find(), plans=plans, defaults=options.Defaults(), compares=Everything(), work=work)
    return Scene(read, ledger, queue, bucket, plans, drive)
