"""Chunks of a task that go into the index together: common upserts, and for each its own counts, rejects and bill."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from vectorline.v1 import bill_pb2, chunk_pb2, indexer_pb2

from services.billing import units
from services.indexer import agreement, indexing, receiving, servicer, settings
from services.indexer.pinecone import batch as batches
from services.indexer.pinecone import writer
from services.indexer.tasks import servicer as task_servicer
from services.runtime import errors
from tests.support import ledgers
from tests.support.ledgers import Line

MODEL, DIMENSION, ROWS = "small", 500, 3
METADATA = b"m" * 97


class Way:
    """A way into the index, and the transport that chooses it: refuses these ids, and answers as told before that."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.script: list[Exception] = []
        self.upserts: list[list[str]] = []
        self.units = 0

    @property
    def written(self) -> list[str]:
        return [vector_id for each in self.upserts for vector_id in each]

    async def way(self) -> "Way":
        return self

    async def compare(self, _vector: batches.Vector) -> None:
        """It takes vectors of this width."""

    def find_anew(self) -> None:
        """It is where it was."""

    async def upsert(self, batch: batches.Batch) -> batches.Written:
        if self.script:
            raise self.script.pop(0)
        if self.refused & {vector.id for vector in batch.vectors}:
            raise batches.IndexRefused("It is too long.")
        self.upserts.append([vector.id for vector in batch.vectors])
        self.units += units.of_upsert(batch.record_bytes)
        return batches.Written(len(batch), 7)


class Store:
    """Rejects in memory, by chunk; for some chunks S3 is away."""

    def __init__(self) -> None:
        self.kept: dict[int, list[int]] = {}
        self.away: set[int] = set()

    async def write(self, _task: str, chunk: int, found: Sequence[chunk_pb2.Reject]) -> str:
        if chunk in self.away:
            raise errors.Unavailable("S3 does not answer now.")
        self.kept[chunk] = [each.row_number for each in found]
        return "key" if found else ""


class Scene:
    """A task with an open shard, and an indexer that is asked for its chunks."""

    def __init__(self, line: Line, task_id: str, fence: int) -> None:
        self.line, self.task_id, self.fence = line, task_id, fence
        self.way, self.store = Way(), Store()
        transport: Any = self.way
        rules, unused = settings.LedgerSettings(), None
        self.indexer: Any = servicer.IndexerServicer(
            task_servicer.TaskServicer(line.book, rules),
            line.book,
            unused,  # type: ignore[arg-type]
            writer.Upserts(transport),
            self.store,  # type: ignore[arg-type]
            rules=rules,
        )

    def head(self, chunk: int, **changes: Any) -> indexer_pb2.ChunkHead:
        said: dict[str, Any] = {
            "task_id": self.task_id,
            "fence": self.fence,
            "rows": ROWS,
            "replaced": bill_pb2.Replaced(),
        }
        said |= {"namespace": "v2", "model": MODEL, "dimension": DIMENSION} | changes
        return indexer_pb2.ChunkHead(header=indexer_pb2.IndexChunkHeader(chunk=chunk, **said), vectors=ROWS)

    async def index(
        self, heads: Sequence[indexer_pb2.ChunkHead], vectors: Sequence[int] = (), spends: int | None = None
    ) -> list[indexer_pb2.ChunkOutcome]:
        """One call; `vectors`: how many come with each message, by default all at once."""
        ids = [f"{head.header.chunk}.{row}" for head in heads for row in range(head.vectors)]
        parts = [indexer_pb2.IndexChunksRequest(heads=indexer_pb2.ChunkHeads(chunks=heads))]
        for count in vectors or [len(ids)]:
            some, ids = ids[:count], ids[count:]
            batch = indexer_pb2.VectorBatch(
                ids=some,
                values=bytes(4 * DIMENSION * len(some)),
                metadata=[METADATA] * len(some),
                row_numbers=[100 * int(each.partition(".")[0]) + int(each.partition(".")[2]) for each in some],
            )
            parts.append(indexer_pb2.IndexChunksRequest(vectors=batch))
        paid = [bill_pb2.Spend(tokens=10 + number) for number in range(len(heads) if spends is None else spends)]
        parts.append(indexer_pb2.IndexChunksRequest(spends=indexer_pb2.ChunkSpends(spends=paid)))

        async def messages() -> AsyncIterator[bytes]:
            for part in parts:
                yield part.SerializeToString()

        events = [event async for event in self.indexer.IndexChunks(messages(), None)]
        marks = [event.WhichOneof("event") for event in events[:-1]]
        assert marks == ["decoding", "decoded"] * len(parts)
        return list(events[-1].outcomes.outcomes)

    async def outcome(self, chunk: int) -> dict[str, Any] | None:
        shard = await self.line.book.shards.get(self.task_id, 0)
        assert shard is not None
        found: dict[str, Any] | None = shard["c"].get(str(chunk))
        return found


@pytest.fixture
async def scene(line: Line) -> Scene:
    task_id = await ledgers.scanned(line.book)
    turn = await line.book.turns.acquire(task_id)
    await line.book.shards.open(task_id, 0)
    return Scene(line, task_id, turn.fence)


@pytest.mark.parametrize("vectors", [(), (4, 5), (1, 1, 7)])
async def test_chunks_are_written_by_common_upserts_and_settled_each_for_itself(
    scene: Scene, vectors: Sequence[int]
) -> None:
    outcomes = await scene.index([scene.head(chunk) for chunk in (4, 5, 9)], vectors)
    assert [(each.settled.indexed, each.settled.failed) for each in outcomes] == [(ROWS, 0)] * 3
    assert len(scene.way.upserts) == len(vectors or [9])
    assert scene.way.written == [f"{chunk}.{row}" for chunk in (4, 5, 9) for row in range(ROWS)]
    for chunk in (4, 5, 9):
        assert (await scene.outcome(chunk) or {})["i"] == ROWS


async def test_what_they_cost_is_what_their_requests_cost_to_the_last_unit(scene: Scene) -> None:
    await scene.index([scene.head(chunk) for chunk in range(7)], (4, 5, 12))
    task = await scene.line.book.tasks.get(scene.task_id)
    (counts,) = await scene.line.book.progress([task])
    assert counts.spent.write_units == scene.way.units
    assert counts.spent.write_units_doubtful == 0
    assert counts.spent.tokens == sum(10 + number for number in range(7))


async def test_what_they_replace_is_billed_within_what_their_requests_replace(scene: Scene) -> None:
    every = {"replaced": bill_pb2.Replaced(least=ROWS, most=ROWS)}
    await scene.index([scene.head(chunk, **every) for chunk in range(7)])
    task = await scene.line.book.tasks.get(scene.task_id)
    (counts,) = await scene.line.book.progress([task])
    paid = 2 * scene.way.units
    assert counts.spent.write_units <= paid <= counts.spent.write_units + counts.spent.write_units_doubtful
    assert counts.spent.write_units >= paid - 7, "of each chunk less than a unit is rounded"


async def test_a_record_that_the_index_refuses_is_rejected_in_its_own_chunk(scene: Scene) -> None:
    scene.way.refused = {"1.2"}
    outcomes = await scene.index([scene.head(chunk) for chunk in range(3)])
    assert [(each.settled.indexed, each.settled.failed) for each in outcomes] == [(3, 0), (2, 1), (3, 0)]
    assert scene.store.kept == {0: [], 1: [102], 2: []}
    assert sorted(scene.way.written) == sorted(
        f"{chunk}.{row}" for chunk in range(3) for row in range(ROWS) if (chunk, row) != (1, 2)
    )


async def test_rejects_of_the_heads_are_their_chunks(scene: Scene) -> None:
    heads = [scene.head(0), scene.head(1, rows=ROWS + 1)]
    heads[1].rejects.add(row_number=199, reason="empty_text")
    outcomes = await scene.index(heads)
    assert [(each.settled.indexed, each.settled.failed) for each in outcomes] == [(3, 0), (3, 1)]
    assert scene.store.kept == {0: [], 1: [199]}


async def test_what_keeps_one_from_its_settlement_keeps_no_other(scene: Scene) -> None:
    scene.store.away = {2}
    heads = [scene.head(0), scene.head(1, rows=ROWS + 1), scene.head(2), scene.head(300)]
    outcomes = await scene.index(heads)
    assert [each.WhichOneof("outcome") for each in outcomes] == ["settled", "unsettled", "unsettled", "unsettled"]
    assert "were accounted for" in outcomes[1].unsettled
    assert "S3" in outcomes[2].unsettled
    assert "not opened" in outcomes[3].unsettled
    assert [await scene.outcome(chunk) is not None for chunk in range(3)] == [True, False, False]
    await scene.line.book.spending.flush()
    task = await scene.line.book.tasks.get(scene.task_id)
    (counts,) = await scene.line.book.progress([task])
    assert counts.spent.write_units + counts.spent.write_units_doubtful >= scene.way.units, "it was paid all the same"


async def test_chunks_that_were_settled_before_are_told_so(scene: Scene) -> None:
    await scene.index([scene.head(1)])
    outcomes = await scene.index([scene.head(0), scene.head(1)])
    assert [each.settled.already_settled for each in outcomes] == [False, True]
    shard = await scene.line.book.shards.get(scene.task_id, 0)
    assert shard is not None
    assert (shard["settled"], shard["indexed"]) == (2, 2 * ROWS)


async def test_a_busy_index_is_asked_again_with_all_of_them(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "sleep", _at_once)
    scene.way.script = [batches.IndexUnavailable("RESOURCE_EXHAUSTED: slower", busy=True)]
    outcomes = await scene.index([scene.head(chunk) for chunk in range(3)])
    assert all(each.HasField("settled") for each in outcomes)
    assert len(scene.way.upserts) == 1


async def test_an_index_that_takes_nothing_settles_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "sleep", _at_once)
    scene.way.script = [batches.IndexUnavailable("UNAVAILABLE") for _ in range(20)]
    with pytest.raises(errors.Unavailable):
        await scene.index([scene.head(chunk) for chunk in range(3)])
    assert [await scene.outcome(chunk) for chunk in range(3)] == [None] * 3


async def test_a_quota_that_is_used_up_stops_all_of_them(scene: Scene) -> None:
    scene.way.script = [batches.IndexExhausted("You've reached your write unit limit.")]
    with pytest.raises(errors.Conflict):
        await scene.index([scene.head(chunk) for chunk in range(3)])
    assert (await scene.line.book.tasks.get(scene.task_id))["error_reason"] == "INDEX_QUOTA_EXCEEDED"
    assert [await scene.outcome(chunk) for chunk in range(3)] == [None] * 3


@pytest.mark.parametrize(
    "other", [{"task_id": "another"}, {"fence": 9}, {"namespace": "v3"}, {"model": "large"}, {"dimension": 4}]
)
async def test_chunks_that_do_not_belong_together_are_refused(scene: Scene, other: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidArgument, match="of one task"):
        await scene.index([scene.head(0), scene.head(1, **other)])


@pytest.mark.parametrize(("heads", "vectors", "spends"), [((0, 0), (), 2), ((), (), 0), ((0, 1), (), 1)])
async def test_heads_that_are_none_or_twice_there_and_bills_of_others_are_refused(
    scene: Scene, heads: Sequence[int], vectors: Sequence[int], spends: int
) -> None:
    with pytest.raises(errors.InvalidArgument):
        await scene.index([scene.head(chunk) for chunk in heads], vectors, spends)
    assert await scene.outcome(0) is None


async def _at_once(_seconds: float, _result: Any = None) -> None:
    """No time passes."""


# ---- how what comes is cut into upserts


def cutting(counts: Sequence[int], *, compared: bool = False, most: int = batches.UPSERT_VECTORS) -> indexing.Cutting:
    unused: Any = None
    headers = [indexer_pb2.IndexChunkHeader(chunk=chunk, dimension=DIMENSION) for chunk in range(len(counts))]
    compares = agreement.Agreement(unused) if compared else None
    chunks = indexing.Chunks(headers, unused, unused, unused, unused, compares=compares)
    return indexing.Cutting(chunks, counts, most)


def batch(count: int) -> indexer_pb2.VectorBatch:
    numbers = range(count)
    return indexer_pb2.VectorBatch(
        ids=map(str, numbers), values=bytes(4 * DIMENSION * count), metadata=[b""] * count, row_numbers=numbers
    )


def test_an_upsert_holds_as_many_vectors_and_bytes_as_it_may_whosever_they_are() -> None:
    parts = cutting([300] * 5, most=400).parts(batch(1_500))
    assert [len(part.batch) for part in parts] == [400, 400, 400, 300]
    assert [sorted(set(part.batch.owners)) for part in parts] == [[0, 1], [1, 2], [2, 3], [4]]
    parts = cutting([600] * 2).parts(batch(1_200))
    assert all(len(part.batch.request) <= 2_000_000 for part in parts)
    assert [number for part in parts for number in part.row_numbers] == list(range(1_200))
    assert len(parts) == 2


def test_owners_go_on_from_one_message_to_the_next() -> None:
    cut = cutting([2, 0, 3])
    owners = [list(part.batch.owners) for count in (1, 3, 1) for part in cut.parts(batch(count))]
    assert owners == [[0], [0, 2, 2], [2]]
    with pytest.raises(errors.InvalidArgument, match="More vectors"):
        cut.parts(batch(1))


def test_what_is_compared_is_compared_chunk_by_chunk() -> None:
    parts = cutting([2, 3], compared=True).parts(batch(5))
    assert [list(part.batch.owners) for part in parts] == [[0, 0], [1, 1, 1]]


def test_bytes_that_are_no_message_are_told_after_the_mark() -> None:
    for reader in (receiving.OneChunk(), receiving.SeveralChunks()):
        assert isinstance(reader.read(b"\xff\xff", None).flaw, errors.InvalidArgument)
