import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from services.runtime import ahead


async def test_results_come_in_order_with_a_few_under_way() -> None:
    running = most = 0

    async def work(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001 * (5 - number % 5))
        running -= 1
        return number

    assert [each async for each in ahead.results((work(n) for n in range(20)), 4)] == list(range(20))
    assert most == 4


async def test_what_is_not_read_is_not_begun_and_what_is_under_way_is_cancelled() -> None:
    begun, cancelled = list[int](), list[int]()

    async def work(number: int) -> int:
        begun.append(number)
        try:
            await asyncio.sleep(0 if number < 2 else 3_600)
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        return number

    def each() -> Iterator[Any]:
        for number in range(1_000):
            yield work(number)

    async with contextlib.aclosing(ahead.results(each(), 3)) as found:
        assert [await anext(found), await anext(found)] == [0, 1]
        await asyncio.sleep(0.01)
    assert (begun, cancelled) == ([0, 1, 2, 3, 4], [2, 3, 4])


async def test_an_error_comes_in_its_turn() -> None:
    async def work(number: int) -> int:
        if number == 1:
            raise LookupError
        return number

    found = ahead.results((work(n) for n in range(9)), 4)
    assert await anext(found) == 0
    with pytest.raises(LookupError):
        await anext(found)
