"""Helpers for tests of the chunk queue."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.chunks import entry, keys, memory_store, settings, splitting, store, valkey_store

QUICK = settings.Timing(
    lease_seconds=0.4,
    heartbeat_seconds=0.1,
    reclaim_seconds=0.1,
    split_seconds=5,
    presence_seconds=2,
    block_seconds=0.2,
    reap_seconds=0.2,
)
"""Leases that run out while a test watches."""

CALM = settings.Timing()
"""Production's times: nothing runs out during a test."""

T = TypeVar("T")
_tasks = itertools.count(1)
_crashes = itertools.count(1)


async def until(condition: Callable[[], Awaitable[T]], seconds: float = 10) -> T:
    """Wait for an answer that is true; fail when none comes in time."""
    async with asyncio.timeout(seconds):
        while True:
            if answer := await condition():
                return answer
            await asyncio.sleep(0.01)


async def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for a condition; fail when it does not come true in time."""

    async def ask() -> bool:
        return condition()

    await until(ask, seconds)


def header(task_id: str, chunk: int, priority: keys.Lane = keys.Lane.NORMAL) -> entry.Header:
    """A header of a thousand rows: the chunk fills a slot."""
    return entry.Header(task_id, chunk, first_row=1 + chunk * 1000, rows=1000, priority=priority)


async def crashed(queue: store.Store, task_id: str, chunk: int, times: int = 1) -> None:
    """So many processes died while they decoded this chunk: a strike of each stands."""
    tokens = [f"of a crash {next(_crashes)}" for _ in range(times)]
    if isinstance(queue, memory_store.MemoryStore):
        for token in tokens:
            queue.struck.add((task_id, chunk), token)
    else:
        assert isinstance(queue, valkey_store.ValkeyStore)
        await queue._client.sadd(queue.keys.strikes(task_id, chunk), *tokens)


async def defects(queue: store.Store, task_id: str, times: int) -> None:
    """So many drives of the task failed inside, and none before."""
    lease = await splitting.Splitting(queue).acquire(task_id)
    assert lease is not None
    for number in range(times):
        assert await queue.defect(task_id, lease.token, f"drive {number}") == number + 1
    await lease.release()


async def publish(
    queue: store.Store,
    count: int,
    *,
    task_id: str = "",
    first: int = 0,
    priority: keys.Lane = keys.Lane.NORMAL,
    payload: bytes = b"rows",
) -> str:
    """Publish chunks ``first`` … of one task (a new one unless named), each of them; returns the task."""
    task_id = task_id or f"task-{next(_tasks)}"
    lease = await splitting.Splitting(queue).acquire(task_id)
    assert lease is not None
    for chunk in range(first, first + count):
        outcome = await queue.publish(header(task_id, chunk, priority), entry.pack(payload), lease.token)
        assert outcome is store.Outcome.PUBLISHED
    await lease.release()
    return task_id
