"""What a chunk cost is counted with its settlement; what was paid in vain is counted for itself."""

import asyncio
import datetime
from collections.abc import Callable
from typing import Any

import pytest
from vectorline.v1 import bill_pb2, indexer_pb2, ledger_pb2

from services.billing import prices, spend
from services.indexer import indexing, settings
from services.indexer.ledger import records
from services.indexer.pinecone import batch as batches
from services.indexer.pinecone import writer
from services.indexer.tasks import servicer as task_servicer
from services.runtime import errors
from tests.support import ledgers
from tests.support.ledgers import Line

MODEL, DIMENSION, ROWS = "small", 1_000, 4
# Of a record: id, values, metadata.
RECORD_BYTES = 3 + 4 * DIMENSION + 97
WRITTEN = 17  # 4 records of 4.1 KB
KNOWN = prices.Prices({MODEL: 0.02}, {"write_units": 4.0, "read_units": 16.0})
PAID = spend.Spend(tokens=100, texts_bought=3, texts_reused=1)
Outcome = int | Exception


class Way:
    """A way into an index that answers as told, then takes everything."""

    def __init__(self) -> None:
        self.script: list[Outcome] = []

    async def way(self) -> "Way":
        return self

    async def compare(self, _vector: batches.Vector) -> None:
        """It takes vectors of this width."""

    def find_anew(self) -> None:
        """It is where it was."""

    async def upsert(self, batch: batches.Batch) -> batches.Written:
        answer = self.script.pop(0) if self.script else len(batch)
        if isinstance(answer, Exception):
            raise answer
        return batches.Written(answer)


class Store:
    async def write(self, *_: Any) -> str:
        return ""


class Scene:
    """A task with an open shard, and its chunks on their way into an index."""

    def __init__(self, line: Line, task_id: str, fence: int) -> None:
        self.line, self.task_id, self.fence = line, task_id, fence
        self.way = Way()
        transport: Any = self.way
        self.upserts = writer.Upserts(transport)

    def chunk(self, number: int = 0, **header: Any) -> indexing.Chunks:
        head = indexer_pb2.IndexChunkHeader(
            task_id=self.task_id,
            chunk=number,
            fence=self.fence,
            rows=ROWS,
            namespace="v2",
            model=MODEL,
            dimension=DIMENSION,
            **header,
        )
        store: Any = Store()
        made = indexing.Chunks([head], self.line.book, self.upserts, store, indexing.Permissions(self.line.book))
        made.books[0].spent = PAID
        return made

    async def index(self, number: int = 0, **header: Any) -> indexer_pb2.ChunkSettled:
        """One delivery of a chunk, to its end."""
        work = self.chunk(number, **header)
        vectors = [batches.Vector(f"7.{row}", memoryview(bytes(4 * DIMENSION)), b"m" * 97) for row in range(ROWS)]
        try:
            await work.write(indexing.Part(batches.Batch(vectors, "v2"), list(range(ROWS))))
            (settled,) = await work.settle()
            assert isinstance(settled, indexer_pb2.ChunkSettled)
            return settled
        finally:
            await work.abandon()
            await self.line.book.spending.flush()

    async def spent(self) -> spend.Spend:
        task = await self.line.book.tasks.get(self.task_id)
        (counts,) = await self.line.book.progress([task])
        return counts.spent


@pytest.fixture
async def scene(line: Line) -> Scene:
    task_id = await ledgers.scanned(line.book)
    turn = await line.book.turns.acquire(task_id)
    await line.book.shards.open(task_id, 0)
    return Scene(line, task_id, turn.fence)


NEW = {"replaced": bill_pb2.Replaced()}


async def test_a_settled_chunk_costs_what_was_bought_and_written(scene: Scene) -> None:
    await scene.index(**NEW)
    assert await scene.spent() == PAID + spend.Spend(write_units=WRITTEN)


async def test_a_chunk_delivered_twice_is_in_the_bill_once_and_in_doubt_once(scene: Scene) -> None:
    await scene.index(**NEW)
    settled = await scene.index(**NEW)
    assert settled.already_settled
    spent = await scene.spent()
    assert (spent.tokens, spent.write_units) == (100, WRITTEN)
    assert (spent.tokens_doubtful, spent.write_units_doubtful) == (100, WRITTEN)


@pytest.mark.parametrize(
    ("header", "sure", "at_most"),
    [
        ({}, 0, 17),
        ({"replaced": bill_pb2.Replaced(least=2, most=2)}, 9, 9),
        ({"replaced": bill_pb2.Replaced(least=1, most=3)}, 5, 13),
        ({"replaced": bill_pb2.Replaced(least=9, most=9)}, 17, 17),
    ],
)
async def test_what_is_replaced_is_billed_as_far_as_it_is_known(
    scene: Scene, header: dict[str, Any], sure: int, at_most: int
) -> None:
    await scene.index(**header)
    spent = await scene.spent()
    assert spent.write_units == WRITTEN + sure
    assert spent.write_units + spent.write_units_doubtful == WRITTEN + at_most


async def test_what_a_broken_call_may_have_written_is_in_doubt_in_the_next(scene: Scene) -> None:
    await scene.index(again=True, **NEW)
    spent = await scene.spent()
    assert (spent.write_units, spent.write_units_doubtful) == (WRITTEN, 2 * WRITTEN)


UNANSWERED = batches.IndexUnavailable("DEADLINE_EXCEEDED", unanswered=True)


@pytest.mark.parametrize(
    ("script", "sure", "doubtful"),
    [
        ([batches.IndexUnavailable("429", busy=True)], WRITTEN, 0),
        ([UNANSWERED], WRITTEN, 2 * WRITTEN),
        ([UNANSWERED, UNANSWERED], WRITTEN, 2 * WRITTEN),  # however often: it can be written once before the last
        ([2], 9 + WRITTEN, 9),  # half was written, billed, and replaced by the whole
    ],
)
async def test_tries_are_billed_by_what_is_known_of_their_end(
    scene: Scene, script: list[Outcome], sure: int, doubtful: int
) -> None:
    scene.way.script = script
    await scene.index(**NEW)
    spent = await scene.spent()
    assert (spent.write_units, spent.write_units_doubtful) == (sure, doubtful)


async def test_what_was_written_for_a_chunk_that_never_settled_is_in_the_bill(scene: Scene) -> None:
    work = scene.chunk(**NEW)
    vectors = [batches.Vector(f"7.{row}", memoryview(bytes(4 * DIMENSION)), b"m" * 97) for row in range(ROWS)]
    await work.write(indexing.Part(batches.Batch(vectors, "v2"), list(range(ROWS))))
    work.head.rows = 99
    (end,) = await work.settle()
    assert isinstance(end, errors.InvalidArgument)
    await work.abandon()
    await scene.line.book.spending.flush()
    # The embedder tells of its tokens itself. When the chunk comes again, it replaces what is there.
    assert await scene.spent() == spend.Spend(write_units=WRITTEN, write_units_doubtful=WRITTEN)


async def test_bills_are_added_up_over_shards_and_what_comes_after_the_end(line: Line) -> None:
    task_id = await ledgers.scanned(line.book, rows=257)
    cost = spend.Spend(tokens=10, write_units=5)
    for number in range(2):
        await line.book.shards.open(task_id, number)
    for chunk in range(257):
        outcome = ledgers.good()
        await line.book.closing.settle(task_id, chunk, type(outcome)(indexed=1, skipped=0, failed=0, spent=cost))
    task = await line.book.closing.seal(task_id, 257, 257)
    assert task["status"] == "completed"
    await line.book.spending.record(task_id, spend.Spend(tokens=3))
    task = await line.book.tasks.get(task_id)
    (counts,) = await line.book.progress([task])
    assert counts.spent == spend.Spend(tokens=2_573, write_units=1_285)


async def test_a_task_shows_its_bill_by_the_prices_of_the_day_it_was_worked_on(scene: Scene) -> None:
    await scene.index()
    day = datetime.datetime.fromtimestamp(scene.line.time.now, datetime.UTC).date()
    dated = {MODEL: {day: 0.02, day + datetime.timedelta(days=1): 99.0}}
    known = prices.Prices(dated, {"write_units": 4.0, "read_units": 16.0})
    await scene.line.book.gate.begin(scene.task_id, [1], scene.fence, MODEL, DIMENSION)
    scene.line.time.pass_by(3 * 24 * 3600)
    tasks = task_servicer.TaskServicer(scene.line.book, settings.LedgerSettings(), known)
    (task,) = await tasks.messages([await scene.line.book.tasks.get(scene.task_id)])
    assert task.bill.openai_dollars == pytest.approx(100 * 0.02 / 1e6)
    assert task.bill.pinecone_dollars == pytest.approx(WRITTEN * 4.0 / 1e6)
    assert task.bill.at_most.write_units == 2 * WRITTEN
    assert (task.bill.tokens, task.bill.texts_bought, task.bill.texts_reused) == (100, 3, 1)


class Broken:
    """A table that answers nothing for a while; what it was told it may have done."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.breaks = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def transact(self, write: Any) -> Any:
        done = await self.inner.transact(write)
        if self.breaks:
            self.breaks -= 1
            raise errors.Unavailable("lost")
        return done


async def test_a_lost_answer_of_the_table_never_counts_twice_for_sure(line: Line) -> None:
    broken = Broken(line.storage)
    once = ledgers.line(broken)  # type: ignore[arg-type]
    task_id = await ledgers.scanned(once.book)
    once.book.spending.add(task_id, spend.Spend(tokens=7))
    broken.breaks = 1
    await once.book.spending.flush()
    await once.book.spending.flush()
    assert spend.of_stored(await once.book.tasks.get(task_id)) == spend.Spend(tokens=7, tokens_doubtful=7)


async def test_a_flush_that_is_cancelled_loses_nothing(line: Line) -> None:
    """A process that stops cancels its loops in the midst of whatever they do, and flushes once more."""
    task_ids = [await ledgers.scanned(line.book) for _ in range(3)]
    for task_id in task_ids:
        line.book.spending.add(task_id, spend.Spend(tokens=7))
    asked = asyncio.Event()

    class Hanging(Broken):
        async def transact(self, write: Any) -> Any:
            await self.inner.transact(write)
            asked.set()
            await asyncio.Event().wait()

    line.book.spending._table = Hanging(line.storage)  # type: ignore[assignment]
    flush = asyncio.create_task(line.book.spending.flush())
    await asked.wait()
    flush.cancel()
    await asyncio.gather(flush, return_exceptions=True)
    line.book.spending._table = line.storage
    await line.book.spending.flush()
    found = [spend.of_stored(await line.book.tasks.get(task_id)) for task_id in task_ids]
    assert found == [spend.Spend(tokens=7, tokens_doubtful=7), spend.Spend(tokens=7), spend.Spend(tokens=7)]


async def test_two_flushes_at_once_tell_everything_once(line: Line) -> None:
    """The loop's, and the last one of a process that stops: one fell over what the other had told."""
    task_id = await ledgers.scanned(line.book)
    line.book.spending.add(task_id, spend.Spend(tokens=7))
    asked, go_on = asyncio.Event(), asyncio.Event()
    get = line.storage.get

    async def slow(*arguments: Any, **named: Any) -> Any:
        asked.set()
        await go_on.wait()
        return await get(*arguments, **named)

    line.storage.get = slow  # type: ignore[method-assign]
    flushes = [asyncio.create_task(line.book.spending.flush()) for _ in range(2)]
    await asked.wait()
    go_on.set()
    await asyncio.gather(*flushes)
    day = line.book.spending._clock.now().date()
    (found,) = await line.book.spending.days.read([day])
    assert found.spent == spend.of_stored(await line.book.tasks.get(task_id)) == spend.Spend(tokens=7)


def holding(line: Line, answer: Callable[[], bool]) -> Any:
    async def holds(namespace: str, question_id: int) -> tuple[bool, spend.Spend]:
        assert (namespace, question_id) == ("v2", 232)
        return answer(), spend.Spend(read_thousandths=1_000)

    line.book._holds = holds
    return line.book


def away() -> bool:
    raise errors.Unavailable("Pinecone does not answer now.")


@pytest.mark.parametrize(("answer", "nothing"), [(lambda: False, True), (lambda: True, False), (away, False)])
async def test_a_task_knows_at_its_scan_whether_it_can_replace_anything(
    line: Line, answer: Callable[[], bool], nothing: bool
) -> None:
    book = holding(line, answer)
    task_id = await ledgers.create(book)
    await book.tasks.begin_scan(task_id, b"")
    scanned = await book.end_scan(task_id, records.scan(ledger_pb2.EndScanRequest(plan_uri="s3://b/p")))
    assert records.record(scanned).replaces_nothing is nothing
    asked = answer is not away
    assert spend.of_stored(await book.tasks.get(task_id)) == spend.Spend(read_thousandths=1_000 * asked)
    # Others have their turn while it is blocked.
    await book.tasks.block(task_id, "ACCOUNT_REFUSED", "no credit")
    assert records.record(await book.tasks.resume(task_id)).replaces_nothing is False
