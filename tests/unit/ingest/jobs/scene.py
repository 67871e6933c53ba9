"""A job over an index, a ledger and a bucket in memory. Vectors are bought and compared by nobody: a test says how."""

import dataclasses
import inspect
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from vectorline.v1 import job_pb2, ledger_pb2, task_pb2

from services.ingest import manifest_client, threads
from services.ingest.jobs import believing, findings, tools
from services.ingest.manifest import comparison, header, store
from tests.unit.ingest.jobs import bucket

TASK = "task-1"


class Stand:
    """A driver that may go on."""

    fence = 4

    def check(self, _progress: object = None) -> None:
        """It may."""

    async def during(self, work: Any) -> Any:
        return await work


@dataclasses.dataclass
class Index:
    """What `manifest_client.Manifests` answers: the item, and the index's records."""

    found: manifest_client.Manifest
    records: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    counts: list[int] = dataclasses.field(default_factory=list)
    claimed: list[tuple[str, int]] = dataclasses.field(default_factory=list)
    kept: list[comparison.Comparison] = dataclasses.field(default_factory=list)
    marked: list[tuple[str, int]] = dataclasses.field(default_factory=list)
    voided: list[str] = dataclasses.field(default_factory=list)
    # Answered by one fetch, as if they had been there later only.
    late: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    fetches: int = 0
    # What began to be deleted: comparison, first chunk, chunks; and by settled chunk its ids, and known ones.
    begun: tuple[str, int, int] | None = None
    settled: dict[int, tuple[int, int]] = dataclasses.field(default_factory=dict)
    # Where that is kept; whether others are kept out of the namespace; and how often it was dropped.
    record: ledger_pb2.TaskRecord = dataclasses.field(default_factory=ledger_pb2.TaskRecord)
    held: bool = False
    drops: int = 0

    async def of_task(self, _task_id: str) -> manifest_client.Manifest:
        return self.found

    async def count(self, _namespace: str) -> tuple[int, str]:
        return (self.counts.pop(0) if self.counts else len(self.records)), "http://index"

    async def position(self, _namespace: str, task_id: str) -> int | None:
        assert task_id == TASK
        return None

    async def ids(self, _namespace: str, prefix: str, task_id: str) -> AsyncIterator[Sequence[str]]:
        assert task_id == TASK
        names = [name for name in self.records if name.startswith(prefix)]
        for start in range(0, len(names), 3):
            yield names[start : start + 3]

    async def fetch(self, _namespace: str, ids: Sequence[str], task_id: str) -> dict[str, dict[str, Any]]:
        assert task_id == TASK
        self.fetches += 1
        found = {name: self.records[name] for name in ids if name in self.records}
        self.records |= self.late
        return found

    async def claim(self, task_id: str, fence: int) -> None:
        self.claimed.append((task_id, fence))

    async def keep(self, made: comparison.Comparison, checksum: str, look: object) -> None:
        assert look is None
        if not self.kept:  # once a turn
            self.kept.append(made)
            kept = manifest_client.Kept(fence=made.fence, version=made.version, uri=made.name, checksum=checksum)
            self.found.comparison.CopyFrom(kept)

    async def mark(self, task_id: str, fence: int) -> bool:
        self.marked.append((task_id, fence))
        self.found.pending.task_id = task_id
        self.found.pending.uri = self.found.comparison.uri
        return True

    async def begin_removal(
        self, task_id: str, fence: int, made: str, first: int, chunks: int, *, drop: bool = False, why_by_ids: str = ""
    ) -> None:
        assert (task_id, fence) in self.marked, "nothing is deleted without a mark"
        assert self.held or not drop
        self.begun = made, first, chunks
        self.record.removal.CopyFrom(
            ledger_pb2.Removal(comparison=made, first_chunk=first, chunks=chunks, drop=drop, why_by_ids=why_by_ids)
        )

    async def begin_drop(self, task_id: str, fence: int, there: int) -> manifest_client.Drop:
        assert (task_id, fence) in self.marked
        if not self.held:
            self.held = True
            return manifest_client.Drop(wait_seconds=1e-6)
        if len(self.records) > there:
            self.held = False
            return manifest_client.Drop(why="something else is in it")
        return manifest_client.Drop()

    async def drop(self, _task_id: str, chunk: int, _fence: int, removed: int) -> None:
        assert self.held
        assert self.record.removal.drop
        if chunk not in self.settled:
            self.settled[chunk] = removed, 0
            self.records = {}
            self.drops += 1

    async def remove(self, _task_id: str, chunk: int, _fence: int, ids: Sequence[str], known: int) -> None:
        assert self.begun
        if chunk not in self.settled:
            self.settled[chunk] = len(ids), known
            self.records = {name: record for name, record in self.records.items() if name not in ids}

    async def void(self, found: manifest_client.Manifest, why: str, *, past: int = 0) -> None:
        assert not past
        self.voided.append(why)
        found.ClearField("uri")
        found.version += 1


@dataclasses.dataclass
class Ledger:
    """What a job's driver calls of `ledger_client.Ledger`."""

    record: ledger_pb2.TaskRecord
    others: dict[str, ledger_pb2.TaskRecord] = dataclasses.field(default_factory=dict)
    told: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    looked: dict[str, Any] = dataclasses.field(default_factory=dict)
    result: task_pb2.TaskResult | None = None
    repeated: list[tuple[str, Any, str]] = dataclasses.field(default_factory=list)
    index: Index | None = None

    async def begin_scan(self, _task_id: str, _pinned: None) -> ledger_pb2.TaskRecord:
        return self.record

    async def note_scan(self, _task_id: str, done: int, total: int) -> bool:
        self.told.append((done, total))
        return True

    async def end_look(self, _task_id: str, plan_uri: str, **found: Any) -> ledger_pb2.TaskRecord:
        self.looked = found
        self.record.status, self.record.plan_uri = "processing_chunks", plan_uri
        return self.record

    async def get(self, task_id: str) -> ledger_pb2.TaskRecord:
        return self.others[task_id]

    async def repeat(self, _asked_by: Any, load: Any, request: Any, repeats: str) -> ledger_pb2.TaskRecord:
        self.repeated.append((load.task_id, request, repeats))
        return ledger_pb2.TaskRecord(task_id="repair")

    async def open_shard(self, _task_id: str, _shard: int, _fence: int) -> None:
        """It is open."""

    async def settled_chunks(self, _task_id: str, _shard: int) -> frozenset[int]:
        return frozenset(self.index.settled) if self.index is not None else frozenset()

    async def seal_job(self, _task_id: str, _chunks: int, rows: int, result: task_pb2.TaskResult) -> None:
        assert rows == self.looked["indexed"] + sum(self.looked["failed"].values()) + self.looked["rows"]
        self.result = result


class Buying:
    """Buys nothing; what would not agree is given."""

    def __init__(self) -> None:
        self.unlike: list[findings.Finding] = []
        self.settled = True

    async def done(self, *_: Any) -> bool:
        return self.settled

    async def differing(self, _record: Any, _chunks: Any) -> AsyncIterator[findings.Finding]:
        for each in self.unlike:
            yield each


class Believing(believing.Believing):
    """Believes what it is given."""

    def __init__(self, index: Index, made: header.Header | None = None) -> None:
        self._index = index
        self.made = made

    async def item(self, _task_id: str, _stand: Any) -> manifest_client.Manifest:
        return self._index.found

    async def of(self, _task_id: str, _stand: Any) -> tuple[manifest_client.Manifest, header.Header]:
        assert self.made is not None
        return self._index.found, self.made


class Died(Exception):
    """The process is gone; nobody catches that."""


@dataclasses.dataclass
class Scene:
    """All of it."""

    index: Index
    ledger: Ledger
    objects: store.Store
    believed: Believing
    buying: Buying
    tools: tools.Tools

    async def drive(self, kind: Any) -> bool:
        stand: Any = Stand()
        lease: Any = None
        return bool(await kind.drive(self.ledger.record, lease, stand))

    def dying(self, patch: pytest.MonkeyPatch, step: int, *, before: bool) -> list[str]:
        """Let the process die at its so many-th call of anything outside of it, before or after that was done.

        Returns:
            The calls, as they are made.
        """
        calls: list[str] = []

        def counted(name: str) -> bool:
            calls.append(name)
            return len(calls) == step

        def dies(made: Any, name: str) -> Any:
            async def call(*arguments: Any, **named: Any) -> Any:
                last = counted(name)
                if last and before:
                    raise Died(name)
                found = await made(*arguments, **named)
                if last:
                    raise Died(name)
                return found

            return call

        put = self.objects.put

        def stores(name: str, data: bytes) -> None:
            last = counted("put")
            if last and before:
                raise Died(name)
            put(name, data)
            if last:
                raise Died(name)

        patch.setattr(self.objects, "put", stores)
        for part in (self.index, self.ledger, self.buying):
            for name, made in inspect.getmembers(part, inspect.iscoroutinefunction):
                patch.setattr(part, name, dies(made, name))
        return calls


def scene(job: job_pb2.Job, **item: Any) -> Scene:
    fields: dict[str, Any] = {
        "key": "manifest",
        "version": 3,
        "hash_key": bucket.HASHES.key,
        "index": "idx",
        "namespace": "v2",
        "question_id": "7",
        "opened_task": TASK,
        "opened_fence": Stand.fence,
    }
    index = Index(manifest_client.Manifest(**{**fields, **item}))
    record = index.record = ledger_pb2.TaskRecord(task_id=TASK, client="ann", status="queued", job=job)
    record.request.namespace = "v2"
    ledger, objects, believed, buying = Ledger(record, index=index), bucket.Objects(), Believing(index), Buying()
    parts: Any = (ledger, index, objects, believed, buying, None, threads.Pool())
    return Scene(index, ledger, objects, believed, buying, tools.Tools(*parts))
