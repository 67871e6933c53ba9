"""Blocking iterators for the event loop."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Generator, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")


async def iterate(items: Iterator[Item]) -> AsyncGenerator[Item, None]:
    """Yield the items of a blocking iterator, run in a thread, one ahead; the iterator is closed at the end."""
    end: Any = object()
    following = asyncio.create_task(asyncio.to_thread(next, items, end))
    try:
        while (item := await following) is not end:
            following = asyncio.create_task(asyncio.to_thread(next, items, end))
            yield item
    finally:
        # A running generator cannot be closed: its step is waited for.
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await asyncio.shield(following)
        if isinstance(items, Generator):
            await asyncio.to_thread(items.close)
