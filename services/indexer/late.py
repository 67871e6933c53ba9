"""Writes that ended so late that the turn may have passed on: the ledger is told of them."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from services.indexer import ledger
from services.runtime import errors

log = structlog.get_logger()

# A late write that the ledger does not hear of is found by looking at records only.
TRIES = 10
# Goes on while the machine is suspended, where there is such a clock.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

Check = Callable[[], Awaitable[None]]
Answer = TypeVar("Answer")


async def watched(
    book: ledger.Ledger,
    task_id: str,
    fence: int,
    check: Check,
    write: Callable[[Check], Awaitable[Answer]],
    *,
    dropped: str | None = None,
) -> Answer:
    """Write, asking `check` as often as `write` does; one that ends late is told to the ledger.

    Args:
        book: The ledger.
        task_id: Whose write it is.
        fence: Under which it is made.
        check: Raises where the task may not write.
        write: Is given what to ask before each try.
        dropped: The namespace, if it is dropped by that: then all that others wrote there since may be gone.
    """
    permitted_at = _clock()

    async def may_write() -> None:
        nonlocal permitted_at
        await check()
        permitted_at = _clock()

    try:
        return await write(may_write)
    finally:
        if _clock() - permitted_at > book.late_seconds:
            await _tell(book, task_id, fence, dropped)


async def _tell(book: ledger.Ledger, task_id: str, fence: int, dropped: str | None) -> None:
    log.warning("A write ended late.", action="write_late", task_id=task_id)
    try:
        # Read once: a version that is void already, though the answer was lost, takes no other one along.
        doubted = await _tried(lambda: book.turns.doubted(task_id, fence))
        if doubted is not None:
            why = f"a write of task {task_id} ended after its turn had passed on"
            await _tried(lambda: book.manifests.void(*doubted, why))
        if dropped is not None:
            await _tried(lambda: book.drops.late(dropped))
    except errors.Unavailable:
        log.exception("A late write is not known to the ledger.", action="write_late_lost", task_id=task_id)


async def _tried(call: Callable[[], Awaitable[Answer]]) -> Answer:
    for attempt in range(1, TRIES):
        try:
            return await call()
        except errors.Unavailable:
            await asyncio.sleep(attempt)
    return await call()


def _clock() -> float:
    """Seconds, also those in which the machine was suspended."""
    return time.clock_gettime(_CLOCK)
