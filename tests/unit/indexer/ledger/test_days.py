"""What was spent by day: written by each process for itself, and never counted twice."""

import datetime
from typing import Any

import pytest

from services.billing import spend
from services.indexer.ledger import days
from services.indexer.storage import memory
from services.runtime import errors
from tests.support import ledgers
from tests.support.ledgers import Line

DAY = datetime.date(2026, 11, 30)
ANN = days.Account("ann", "v2", "small")
COST = spend.Spend(tokens=10, write_units=5)


class Watched:
    """A table that counts its writes, and loses the answers of some."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.written: list[str] = []
        self.lost = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def put(self, write: Any) -> Any:
        self.written.append(write.key)
        await self.inner.put(write)
        if self.lost:
            self.lost -= 1
            raise errors.Unavailable("lost")


def booked(table: Any) -> days.Days:
    return days.Days(table)


async def test_processes_add_up_and_none_writes_anothers_item() -> None:
    table = Watched(memory.MemoryTable())
    one, other = booked(table), booked(table)
    for book in (one, other):
        book.add(DAY, ANN, COST)
        book.add(DAY, days.Account("bob", "a#b", "x/y"), COST)
        await book.flush()
        book.add(DAY, ANN, COST)
        await book.flush()
    assert await one.read([DAY]) == [
        days.Sum(DAY, ANN, spend.Spend(tokens=40, write_units=20)),
        days.Sum(DAY, days.Account("bob", "a#b", "x/y"), spend.Spend(tokens=20, write_units=10)),
    ]
    assert len(set(table.written)) == 2


async def test_a_write_whose_answer_was_lost_counts_once() -> None:
    table = Watched(memory.MemoryTable())
    book = booked(table)
    book.add(DAY, ANN, COST)
    table.lost = 1
    with pytest.raises(errors.Unavailable):
        await book.flush()
    await book.flush()
    assert await book.read([DAY]) == [days.Sum(DAY, ANN, COST)]


async def test_nothing_is_written_when_nothing_was_spent_and_one_item_however_often_it_was() -> None:
    table = Watched(memory.MemoryTable())
    book = booked(table)
    await book.flush()
    book.add(DAY, ANN, spend.NOTHING)
    await book.flush()
    assert table.written == []
    for _ in range(1_000):
        book.add(DAY, ANN, COST)
    await book.flush()
    await book.flush()
    assert len(table.written) == 1


async def test_more_accounts_than_an_item_holds_are_in_several() -> None:
    """With the longest names: the table in memory takes no more than DynamoDB."""
    table = memory.MemoryTable()
    book = booked(table)
    longest = "#" * 500
    accounts = [days.Account(f"key-{number}", longest, "text-embedding-3-small") for number in range(400)]
    full = spend.Spend(*[10**12] * 7)
    for account in accounts:
        book.add(DAY, account, full)
        await book.flush() if account.client == "key-7" else None
    await book.flush()
    book.add(DAY, accounts[0], full)
    await book.flush()
    found = {each.account: each.spent for each in await book.read([DAY])}
    assert len(found) == 400
    assert found[accounts[0]] == full + full
    assert found[accounts[399]] == full


async def test_days_are_apart_and_those_long_over_are_not_kept_in_memory() -> None:
    book = booked(memory.MemoryTable())
    all_days = [DAY + datetime.timedelta(days=number) for number in range(5)]
    for day in all_days:
        book.add(day, ANN, COST)
        await book.flush()
    assert len(book._books) == 2
    assert [each.day for each in await book.read(all_days[1:3])] == all_days[1:3]


async def test_settlements_what_was_paid_in_vain_and_searches_are_in_the_day(line: Line) -> None:
    task_id = await ledgers.scanned(line.book)
    book = line.book.spending
    book.settled(task_id, COST)
    book.add(task_id, COST)
    await book.record(task_id, COST)
    book.searched(days.Account("ann", "v2", ""), spend.Spend(read_thousandths=250))
    await book.flush()
    today = line.book.clock.now().date()
    (found,) = await book.days.read([today])
    assert (found.account, found.spent) == (
        days.Account("ann", "v2", ""),
        COST + COST + COST + spend.Spend(read_thousandths=250),
    )
