"""One chunk on its way into an index that refuses: whose fault it is, and what becomes of the task."""

import types
from collections.abc import Callable
from typing import Any

import pytest
from vectorline.v1 import indexer_pb2

from services.indexer import agreement, indexing, servicer, settings
from services.indexer.ledger import namespaces, records
from services.indexer.pinecone import batch as batches
from services.indexer.pinecone import writer
from services.indexer.tasks import servicer as task_servicer
from services.runtime import errors, identity
from tests.support import ledgers
from tests.support.ledgers import Line

MODEL, DIMENSION = "text-embedding-3-small", 2


class Way:
    """A way into the index, and the transport that chooses it."""

    def __init__(self, refuses: Callable[[str], Exception | None]) -> None:
        self.refuses = refuses
        self.upserts = 0
        self.written: list[str] = []

    async def way(self) -> "Way":
        return self

    async def compare(self, _vector: batches.Vector) -> None:
        """It takes dense vectors of this width, by its description."""

    def find_anew(self) -> None:
        """It is where it was."""

    async def upsert(self, batch: batches.Batch) -> batches.Written:
        self.upserts += 1
        for vector in batch.vectors:
            if (refusal := self.refuses(vector.id)) is not None:
                raise refusal
        self.written += [vector.id for vector in batch.vectors]
        return batches.Written(len(batch), self.upserts)


class Store:
    """Rejects in memory."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    async def write(self, _task_id: str, _chunk: int, found: Any) -> str:
        self.kept += found
        return "key" if found else ""


class Scene:
    """A task, and its chunks on their way into an index."""

    def __init__(self, line: Line, refuses: Callable[[str], Exception | None]) -> None:
        self.line = line
        self.way = Way(refuses)
        transport: Any = self.way
        self.upserts = writer.Upserts(transport)
        self.permissions = indexing.Permissions(line.book)
        self.store = Store()
        self.task_id = ""

    async def begin(self) -> None:
        self.task_id = await ledgers.scanned(self.line.book)
        await self.turn()
        await self.line.book.shards.open(self.task_id, 0)

    async def turn(self) -> None:
        await self.line.book.turns.acquire(self.task_id)

    async def task(self) -> Any:
        return await self.line.book.tasks.get(self.task_id)

    async def index(
        self, chunk: int, rows: int = 4, compares: agreement.Agreement | None = None
    ) -> indexer_pb2.ChunkSettled:
        header = indexer_pb2.IndexChunkHeader(
            task_id=self.task_id,
            chunk=chunk,
            fence=(await self.task())["fence"],
            rows=rows,
            namespace="v2",
            model=MODEL,
            dimension=DIMENSION,
        )
        store: Any = self.store
        work = indexing.Chunks([header], self.line.book, self.upserts, store, self.permissions, compares=compares)
        vectors = [batches.Vector(f"{chunk}.{row}", memoryview(b"12345678"), b"m") for row in range(rows)]
        try:
            await work.write(indexing.Part(batches.Batch(vectors, "v2"), [chunk * 100 + row for row in range(rows)]))
            (settled,) = await work.settle()
            assert isinstance(settled, indexer_pb2.ChunkSettled)
            return settled
        finally:
            await work.abandon()


def everything(_vector_id: str) -> Exception:
    return batches.IndexRefused("Vectors of this kind are not taken")


async def scene(line: Line, refuses: Callable[[str], Exception | None]) -> Scene:
    made = Scene(line, refuses)
    await made.begin()
    return made


async def blocked(made: Scene, chunk: int, rows: int = 4) -> Any:
    with pytest.raises(errors.Conflict) as stopped:
        await made.index(chunk, rows)
    assert stopped.value.reason == "BLOCKED"
    return await made.task()


async def test_where_in_the_log_a_chunk_was_written_is_kept_with_its_shard(line: Line) -> None:
    made = await scene(line, lambda _: None)
    for chunk in range(3):
        await made.index(chunk)
    shard = await line.book.shards.get(made.task_id, 0)
    assert shard is not None
    assert records.shard(shard).lsn == made.way.upserts == 3


async def test_an_index_that_refuses_every_record_of_the_first_batch_blocks_the_task(line: Line) -> None:
    """It was not described as one that would; yet it is no row's fault, and each was bought."""
    made = await scene(line, everything)

    task = await blocked(made, 0)

    assert (task["status"], task["error_reason"]) == ("blocked", "INDEX_REFUSED")
    assert "Vectors of this kind are not taken" in task["error"]
    assert made.store.kept == []
    before = made.way.upserts
    await blocked(made, 1)
    assert made.way.upserts == before, "what is under way for the task stops at once"


async def test_a_task_that_is_resumed_has_its_refused_rows_rejected(line: Line) -> None:
    """There must be a way out when it was the rows after all."""
    made = await scene(line, lambda vector_id: everything(vector_id) if vector_id.startswith("0.") else None)
    await blocked(made, 0)

    await line.book.resume(made.task_id)
    await made.turn()

    settled = await made.index(0)
    assert (settled.indexed, settled.failed) == (0, 4)
    assert {reject.reason for reject in made.store.kept} == {"index_refused"}
    assert (await made.index(1)).indexed == 4


async def test_rows_are_rejected_where_the_index_took_others_of_the_task_before(line: Line) -> None:
    made = await scene(line, lambda vector_id: everything(vector_id) if vector_id.startswith("1.") else None)
    assert (await made.index(0)).indexed == 4
    settled = await made.index(1)
    assert (settled.indexed, settled.failed) == (0, 4)
    assert (await made.task())["status"] == "processing_chunks"


@pytest.mark.parametrize("good", [0, 2, 3])
async def test_one_record_that_is_taken_tells_that_it_is_the_others(line: Line, good: int) -> None:
    made = await scene(line, lambda vector_id: None if vector_id == f"0.{good}" else everything(vector_id))
    settled = await made.index(0)
    assert (settled.indexed, settled.failed) == (1, 3)


async def test_a_single_record_proves_nothing_about_the_index(line: Line) -> None:
    made = await scene(line, everything)
    assert (await made.index(0, rows=1)).failed == 1


async def test_a_quota_that_is_used_up_blocks_the_task_and_nothing_more_is_bought_for_any(line: Line) -> None:
    words = "You've reached your write unit limit for the current month (2000000)."
    made = await scene(line, lambda _: batches.IndexExhausted(words))

    task = await blocked(made, 0)

    assert (task["status"], task["error_reason"]) == ("blocked", "INDEX_QUOTA_EXCEEDED")
    assert words in task["error"]
    assert made.way.upserts == 1
    line.book.namespaces._index_problem = lambda: made.upserts.exhausted
    other = await ledgers.scanned(line.book, question_id=7)
    await line.book.turns.acquire(other)
    await line.book.shards.open(other, 0)
    await line.book.gate.begin(other, [0], 1, MODEL, DIMENSION)
    assert (await line.book.tasks.get(other))["error_reason"] == "INDEX_QUOTA_EXCEEDED"


async def test_an_index_that_does_not_confirm_blocks_the_task(line: Line) -> None:
    made = await scene(line, lambda _: batches.IndexUnconfirmed("Pinecone wrote 3 of 4 vectors."))

    task = await blocked(made, 0)

    assert (task["status"], task["error_reason"]) == ("blocked", "INDEX_UNCONFIRMED")
    assert "Pinecone wrote 3 of 4 vectors." in task["error"]


async def test_the_first_vector_claims_its_namespace_and_another_model_is_stopped_before_its_own(line: Line) -> None:
    made = await scene(line, lambda _: None)
    await line.book.namespaces.claim("v2", "another", DIMENSION)

    task = await blocked(made, 0)

    assert task["error_reason"] == "NAMESPACE_REFUSED"
    assert made.way.upserts == 0


async def released(line: Line, caller: identity.Caller, name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    async def sleep(_seconds: float) -> None:
        """Nothing is on its way."""

    async def count(_namespace: str) -> int:
        return 0

    monkeypatch.setattr(namespaces, "asyncio", types.SimpleNamespace(sleep=sleep))
    rules = settings.LedgerSettings()
    index: Any = types.SimpleNamespace(index=types.SimpleNamespace(count=count))
    unused: Any = None
    api = servicer.IndexerServicer(
        task_servicer.TaskServicer(line.book, rules), line.book, index, unused, unused, rules=rules
    )
    token = identity.bind(caller)
    try:
        return await api.ReleaseNamespace(indexer_pb2.ReleaseNamespaceRequest(namespace=name), unused)
    finally:
        identity.unbind(token)


ADMIN = identity.Caller("root", frozenset({"admin"}))


async def test_an_admin_releases_a_namespace(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    await line.book.namespaces.claim("v2", MODEL, DIMENSION)
    answer = await released(line, ADMIN, "v2", monkeypatch)
    assert (answer.namespace, answer.model, answer.dimension) == ("v2", MODEL, DIMENSION)
    assert await line.book.namespaces.holds("v2") is None


async def test_a_release_names_a_namespace_that_the_key_may_use(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.InvalidArgument):
        await released(line, ADMIN, "", monkeypatch)
    bound = identity.Caller("ann", frozenset({"admin"}), allow=identity.Reach(namespaces=("ann-*",)))
    with pytest.raises(errors.PermissionDenied):
        await released(line, bound, "v2", monkeypatch)


class Compared:
    """Finds that the second record is another."""

    async def write(self, _batch: batches.Batch, check: Callable[[], Any], _bill: Any) -> dict[int, str]:
        await check()
        return {1: "It is another."}


async def test_a_chunk_that_is_compared_is_counted_and_nothing_of_it_written(line: Line) -> None:
    made = await scene(line, everything)
    compares: Any = Compared()

    settled = await made.index(0, rows=3, compares=compares)

    assert (settled.indexed, settled.failed) == (2, 1)
    assert made.way.upserts == 0
    assert [(each.row_number, each.reason, each.message) for each in made.store.kept] == [
        (1, "differing", "It is another.")
    ]
    claimed = line.storage.items.get("namespace#idx#v2", {})
    assert "model" not in claimed, "whoever writes nothing claims nothing"


async def test_what_is_no_load_is_compared_and_what_is_one_is_written(line: Line) -> None:
    load, job = [await ledgers.create(line.book, job=each) for each in (b"", b"job")]
    assert await line.book.tasks.is_load(load)
    assert not await line.book.tasks.is_load(job)
