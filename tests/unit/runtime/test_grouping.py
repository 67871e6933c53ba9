"""Calls that go together: none is lost, none waits for company, and who is cancelled takes nobody along."""

import asyncio
from collections.abc import Sequence

import pytest

from services.runtime import grouping

MOST = 3


class Book:
    """Doubles numbers, two calls of `go` after it was asked; -1 cannot be doubled, and 0 breaks all that go with it."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, list[int]]] = []
        self.open = asyncio.Event()
        self.groups = grouping.Groups(self._double, MOST)

    async def _double(self, key: str, asked: Sequence[int]) -> Sequence[int | Exception]:
        self.runs.append((key, list(asked)))
        await self.open.wait()
        if 0 in asked:
            raise OverflowError("zero")
        return [ValueError("negative") if number < 0 else 2 * number for number in asked]

    def ask(self, *numbers: int, key: str = "a") -> list[asyncio.Task[int]]:
        return [asyncio.create_task(self.groups.call(key, number)) for number in numbers]

    async def begun(self, runs: int) -> None:
        async with asyncio.timeout(5):
            while len(self.runs) < runs:
                await asyncio.sleep(0)


async def test_what_comes_meanwhile_goes_together_in_order_and_no_more_than_the_most() -> None:
    book = Book()
    first = book.ask(1)
    await book.begun(1)
    rest = book.ask(2, 3, 4, 5)
    await asyncio.sleep(0)  # they are asked
    book.open.set()

    assert await asyncio.gather(*first, *rest) == [2, 4, 6, 8, 10]
    assert book.runs == [("a", [1]), ("a", [2, 3, 4]), ("a", [5])]


async def test_what_is_asked_in_one_turn_of_the_loop_goes_together_and_is_answered_in_one() -> None:
    """Those who go on with their answers ask the next thing together again."""
    book = Book()
    book.open.set()
    turns: list[int] = []
    turn = 0

    async def count() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    async def ask(number: int) -> None:
        await book.groups.call("a", number)
        turns.append(turn)
        await book.groups.call("a", 10 + number)

    counting = asyncio.create_task(count())
    await asyncio.gather(*(ask(number) for number in (1, 2, 3)))
    counting.cancel()

    assert book.runs == [("a", [1, 2, 3]), ("a", [11, 12, 13])]
    assert max(turns) - min(turns) <= 1


async def test_keys_do_not_wait_for_each_other() -> None:
    book = Book()
    tasks = book.ask(1) + book.ask(2, key="b")

    await book.begun(2)

    assert book.runs == [("a", [1]), ("b", [2])]
    book.open.set()
    await asyncio.gather(*tasks)


async def test_an_answer_that_is_an_error_is_raised_where_it_was_asked_and_a_run_that_fails_for_all_of_it() -> None:
    book = Book()
    first = book.ask(1)
    await book.begun(1)
    pair, broken = book.ask(-1, 2, 3), book.ask(0, 4)
    await asyncio.sleep(0)
    book.open.set()

    answers = await asyncio.gather(*first, *pair, *broken, return_exceptions=True)

    assert [type(answer) for answer in answers] == [int, ValueError, int, int, OverflowError, OverflowError]


@pytest.mark.parametrize("victim", [0, 1, 2])
async def test_who_is_cancelled_takes_nobody_along(victim: int) -> None:
    book = Book()
    tasks = book.ask(1, 2, 3)
    await book.begun(1)
    tasks[victim].cancel()
    await asyncio.wait([tasks[victim]], timeout=5)
    book.open.set()

    answers = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(answers.pop(victim), asyncio.CancelledError)
    assert answers == [2 * number for number in (1, 2, 3) if number != victim + 1]
    # Nothing is kept of a key that nobody asks
    assert await book.groups.call("a", 7) == 14
    assert not book.groups._groups


@pytest.mark.parametrize("first", [0, 1])
async def test_two_who_are_cancelled_leave_the_third_its_answer(first: int) -> None:
    """Whoever ran it was cancelled after another of the same run: the next to run it was one who had gone."""
    book = Book()
    tasks = book.ask(1, 2, 3)
    await book.begun(1)
    for victim in (first, 1 - first):
        tasks[victim].cancel()
        await asyncio.wait([tasks[victim]], timeout=5)
    book.open.set()

    async with asyncio.timeout(5):
        assert await tasks[2] == 6
    assert not book.groups._groups
