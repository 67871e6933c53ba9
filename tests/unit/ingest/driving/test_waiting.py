"""Tasks that wait for their turn cost next to nothing, hold nobody up, and are not forgotten."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from vectorline.v1 import ledger_pb2

from services.indexer.ledger import items, turns
from services.indexer.ledger import servicer as ledger_servicer
from services.indexer.storage import limits, memory, table
from services.ingest import ledger_client
from services.ingest.driving import driver, resubmitter, waiting
from tests.support import ledgers, virtual_time

GRACE_SECONDS = ledgers.DEADLINE_SECONDS + turns.MARGIN_SECONDS


class Counting(memory.MemoryTable):
    """Counts the calls that DynamoDB would get."""

    calls = 0

    async def get(self, key: str) -> table.Item | None:
        self.calls += 1
        return await super().get(key)

    async def get_many(self, keys: Any, paths: Any = ()) -> dict[str, table.Item]:
        self.calls += -(-len(keys) // limits.BATCH_KEYS)
        return await super().get_many(keys, paths)

    async def update(self, write: table.Update) -> table.Item:
        self.calls += 1
        return await super().update(write)

    async def query(self, *arguments: Any, **named: Any) -> table.Page:
        self.calls += 1
        return await super().query(*arguments, **named)


class Ledger(ledger_client.Ledger):
    """The ledger's client, without a wire."""

    def __init__(self, line: ledgers.Line) -> None:
        servicer = ledger_servicer.LedgerServicer(line.book, None)  # type: ignore[arg-type]

        class Stub:
            def __getattr__(self, name: str) -> Any:
                return lambda request: getattr(servicer, name)(request, None)

        self._stub: Any = Stub()
        self._marks = False


class Drive:
    """A driver whose tasks are never done; it says which it has."""

    def __init__(self) -> None:
        self.driven: list[str] = []

    async def drive(self, task_id: str) -> driver.End:
        self.driven.append(task_id)
        await asyncio.sleep(10**9)
        return driver.End.DONE


class Nothing:
    """Neither in flight nor present, and nothing to merge."""

    async def tasks(self) -> list[str]:
        return []

    async def announce(self, name: str) -> None: ...

    async def withdraw(self, name: str) -> None: ...

    async def round(self) -> None: ...


class Ingest:
    """An ingest among tasks that all want the same turn."""

    def __init__(self, line: ledgers.Line) -> None:
        self.drive = Drive()
        nothing: Any = Nothing()
        drive: Any = self.drive
        self.tasks = resubmitter.Resubmitter(
            drive, Ledger(line), nothing, nothing, nothing, splitters=16, resubmit_seconds=15.0, presence_seconds=30.0
        )


def line() -> ledgers.Line:
    """A ledger whose clock is the loop's."""
    made = ledgers.line(Counting())
    loop = asyncio.get_running_loop()
    made.book.clock.wall = lambda: ledgers.START + loop.time()
    return made


async def waiting_for_one(count: int) -> tuple[ledgers.Line, list[str]]:
    made = line()
    return made, [await ledgers.create(made.book) for _ in range(count + 1)]


@pytest.mark.parametrize(("count", "ingests"), [(365, 1), (1_000, 1), (1_000, 2)])
def test_a_thousand_that_wait_cost_twenty_calls_a_second(count: int, ingests: int) -> None:
    async def measure() -> float:
        made, _ = await waiting_for_one(count)
        rooms = [Ingest(made) for _ in range(ingests)]
        for room in rooms:
            room.tasks.start()
        await asyncio.sleep(600.0)
        made.storage.calls = 0
        await asyncio.sleep(600.0)
        for room in rooms:
            await room.tasks.drain()
        return float(made.storage.calls) / 600.0

    calls = virtual_time.run(measure(), 3_600)
    assert calls <= 20.0, f"{calls:.1f} calls a second"
    print(f"{count} waiting, {ingests} ingests: {calls:.1f} calls/s")  # noqa: T201 (a figure of the report)


def test_who_waits_holds_no_slot_and_a_task_of_another_turn_starts_at_once() -> None:
    async def other() -> None:
        made, _ = await waiting_for_one(50)
        ingest = Ingest(made)
        ingest.tasks.start()
        await asyncio.sleep(60.0)
        elsewhere = await ledgers.create(made.book, question_id=7)
        ingest.tasks.begin(elsewhere)
        await asyncio.sleep(1.0)
        assert ingest.drive.driven[1:] == [elsewhere]
        await ingest.tasks.drain()

    virtual_time.run(other(), 3_600)


def test_the_turn_passes_down_the_line_without_delay_also_past_many_that_go_away() -> None:
    async def passes() -> None:
        made, tasks = await waiting_for_one(200)
        ingest = Ingest(made)
        ingest.tasks.start()
        await asyncio.sleep(1_000.0)
        loop = asyncio.get_running_loop()
        assert len(ingest.drive.driven) == 1
        turn = made.storage.items[items.turn_key(ledgers.INDEX, "v2", 232)]
        line_up = [turn["holder"], *turn["waiters"]]
        assert sorted(line_up) == sorted(tasks)

        for holder, following in ((0, 1), (1, 2), (2, 3)):
            await made.book.tasks.cancel(line_up[holder])
            since = loop.time()
            while ingest.drive.driven[-1] != line_up[following]:
                await asyncio.sleep(0.5)
            assert loop.time() - since <= GRACE_SECONDS + waiting.FIRST_SECONDS + 1.0

        for task_id in line_up[4:150]:
            await made.book.tasks.cancel(task_id)
        await made.book.tasks.cancel(line_up[3])
        since = loop.time()
        while ingest.drive.driven[-1] != line_up[150]:
            await asyncio.sleep(0.5)
        assert loop.time() - since <= GRACE_SECONDS + 15.0 + waiting.FIRST_SECONDS + 1.0
        await ingest.tasks.drain()

    virtual_time.run(passes(), 3_600)


def test_a_ledger_that_is_away_is_asked_less_and_less_and_found_again() -> None:
    class Away(Ledger):
        asked = 0
        away = True

        async def ask_turn(self, task_id: str) -> ledger_client.Turn:
            self.asked += 1
            if self.away:
                raise ledger_client.LedgerUnavailable("away")
            return ledger_pb2.AcquireTurnResponse(held=True, fence=1)

        async def open_tasks(self) -> AsyncIterator[ledger_client.Record]:
            raise ledger_client.LedgerUnavailable("away")
            yield

    async def outage() -> None:
        ingest = Ingest(line())
        ledger = ingest.tasks._ledger = Away(line())
        ingest.tasks.start()
        ingest.tasks.begin("t")
        await asyncio.sleep(300.0)
        assert ledger.asked <= 30
        ledger.away = False
        await asyncio.sleep(15.0)
        assert ingest.drive.driven == ["t"]
        await ingest.tasks.drain()

    virtual_time.run(outage(), 3_600)
