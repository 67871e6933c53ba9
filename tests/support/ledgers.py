"""A ledger in memory with a clock of its own, tasks at any stage, and a scheduler that interleaves and crashes."""

import asyncio
import dataclasses
import inspect
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

from services.indexer import ledger
from services.indexer.ledger import creation, lifecycle, shards
from services.indexer.storage import clock, memory, table

INDEX = "idx"
DEADLINE_SECONDS = 30.0
START = 1_800_000_000.0


class Time:
    """A wall clock that moves when told."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


@dataclasses.dataclass
class Line:
    """A ledger over a table in memory."""

    book: ledger.Ledger
    storage: Any
    time: Time
    circuit: list[bool] = dataclasses.field(default_factory=lambda: [False])


def line(storage: table.Table | None = None) -> Line:
    time = Time()
    circuit = [False]
    kept = storage or memory.MemoryTable()
    book = ledger.Ledger(
        kept,
        clock.Clock(time),
        index=INDEX,
        upsert_deadline_seconds=DEADLINE_SECONDS,
        circuit_open=lambda: circuit[0],
    )
    return Line(book, kept, time, circuit)


def new_task(**changes: Any) -> creation.NewTask:
    standard: dict[str, Any] = {
        "client": "ann",
        "request_id": "",
        "request": b"",
        "body": b"",
        "task_type": "s3_csv",
        "namespace": "v2",
        "question_id": 232,
        "task_id": str(uuid.uuid4()),
    }
    return creation.NewTask(**{**standard, **changes})


async def create(book: ledger.Ledger, **changes: Any) -> str:
    task, _ = await book.creation.create(new_task(**changes))
    return str(task[table.KEY])


def scan(rows: int = 10, chunks: int = 0) -> lifecycle.Scan:
    return lifecycle.Scan(b"", "s3://b/plan", rows, "utf-8", ",", ("id", "formatted_text"), chunks)


async def scanned(book: ledger.Ledger, rows: int = 10, **changes: Any) -> str:
    """A task in processing_chunks."""
    task_id = await create(book, **changes)
    await book.tasks.begin_scan(task_id, b"")
    await book.tasks.end_scan(task_id, scan(rows))
    return task_id


def good(indexed: int = 1, skipped: int = 0) -> shards.Outcome:
    return shards.Outcome(indexed=indexed, skipped=skipped, failed=0)


def bad(failed: int = 1, indexed: int = 0) -> shards.Outcome:
    return shards.Outcome(indexed=indexed, skipped=0, failed=failed, reasons={"empty_text": failed})


class Pause:
    """Hands control to whoever steps the coroutine."""

    def __await__(self) -> Generator[None, None, None]:
        yield


async def pause() -> None:
    await Pause()


class Scheduler:
    """Steps coroutines one at a time in an order that `choose(n)` picks (0 to n - 1)."""

    def __init__(self, choose: Callable[[int], int]) -> None:
        self._choose = choose
        # What each waits for, if it is another of them.
        self._running: dict[Coroutine[Any, Any, Any], asyncio.Future[Any] | None] = {}

    def add(self, work: Coroutine[Any, Any, Any]) -> None:
        self._running[work] = None

    def run(self, after_step: Callable[[], None] = lambda: None, crash_every: int = 0) -> None:
        """Run all to their end; with `crash_every` = n, one step in about n cancels the coroutine where it stands."""
        loop = asyncio.new_event_loop()  # locks ask for one; nothing ever runs in it
        asyncio.events._set_running_loop(loop)
        try:
            while self._running:
                self._step(crash_every)
                after_step()
        finally:
            asyncio.events._set_running_loop(None)
            loop.close()

    def _step(self, crash_every: int) -> None:
        ready = [work for work, wanted in self._running.items() if wanted is None or wanted.done()]
        work = ready[self._choose(len(ready))]  # IndexError: they wait for each other
        begun = inspect.getcoroutinestate(work) != inspect.CORO_CREATED
        try:
            if begun and crash_every and self._choose(crash_every) == 0:
                work.throw(asyncio.CancelledError())
            self._running[work] = work.send(None)
        except (StopIteration, asyncio.CancelledError):
            del self._running[work]


def at_once(work: Awaitable[Any]) -> Any:
    """Run one coroutine whose only awaits are pauses."""

    async def whole() -> Any:
        return await work

    running = whole()
    while True:
        try:
            running.send(None)
        except StopIteration as end:
            return end.value
