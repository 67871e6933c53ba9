"""Results of many small waits, in order, with a few of them under way at once."""

import asyncio
import collections
import itertools
from collections.abc import AsyncGenerator, Coroutine, Iterator
from typing import Any, TypeVar

Result = TypeVar("Result")


async def results(work: Iterator[Coroutine[Any, Any, Result]], count: int) -> AsyncGenerator[Result, None]:
    """Yield what each coroutine returns, in their order; at most ``count`` run, and as many results are held.

    Close it (contextlib.aclosing) where it may not be read to its end: what is under way is then cancelled.
    """
    running = collections.deque(asyncio.ensure_future(each) for each in itertools.islice(work, count))
    try:
        while running:
            result = await running[0]
            running.popleft()
            running.extend(asyncio.ensure_future(each) for each in itertools.islice(work, 1))
            yield result
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
