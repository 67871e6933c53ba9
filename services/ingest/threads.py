"""Threads for the event loop's blocking work.

Short calls (of S3, of hashes) share the loop's own executor. What takes minutes has a `Pool` of its own, so that
sixteen scans of a slow source hold up no upload.
"""

import asyncio
import concurrent.futures
import contextlib
import contextvars
import functools
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from typing import Any, ParamSpec, TypeVar

Item = TypeVar("Item")
Given = ParamSpec("Given")


class Pool:
    """Threads of their own for one kind of work.

    Args:
        size: How many; what comes when all are busy waits. 0: the loop's own executor, with all the rest.
        name: Of the threads.
    """

    def __init__(self, size: int = 0, name: str = "work") -> None:
        self._executor = concurrent.futures.ThreadPoolExecutor(size, thread_name_prefix=name) if size else None

    async def run(self, function: Callable[Given, Item], *args: Given.args, **kwargs: Given.kwargs) -> Item:
        """Call a function in a thread, with this task's context variables."""
        if self._executor is None:
            return await asyncio.to_thread(function, *args, **kwargs)
        call = functools.partial(contextvars.copy_context().run, function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    async def iterate(self, items: Iterator[Item]) -> AsyncGenerator[Item, None]:
        """Yield the items of a blocking iterator, run in a thread, one ahead; the iterator is closed at the end."""
        end: Any = object()
        following = asyncio.create_task(self.run(next, items, end))
        try:
            while (item := await following) is not end:
                following = asyncio.create_task(self.run(next, items, end))
                yield item
        finally:
            # A running generator cannot be closed: its step is waited for.
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await asyncio.shield(following)
            if isinstance(items, Generator):
                await self.run(items.close)

    def close(self) -> None:
        """Take nothing more; what runs comes to its end."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
