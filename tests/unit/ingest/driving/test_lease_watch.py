"""A driver stops soon after it lost its lease, its turn or its task, and not for an outage."""

import asyncio
import contextlib
from typing import Any

import pytest
from vectorline.v1 import ledger_pb2

from services.chunks import errors as queue_errors
from services.chunks import memory_store, splitting
from services.ingest import ledger_client
from services.ingest.driving import lease_watch
from tests.unit.ingest import driven


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_watch, "WATCH_SECONDS", 0.005)


@pytest.fixture
def ledger() -> driven.Ledger:
    task = ledger_pb2.TaskRecord(task_id=driven.TASK, status="processing_chunks", fence=1)
    return driven.Ledger({driven.TASK: task})


@pytest.fixture
def queue() -> memory_store.MemoryStore:
    return memory_store.MemoryStore()


async def standing(ledger: driven.Ledger, queue: memory_store.MemoryStore) -> lease_watch.Standing:
    lease = await splitting.Splitting(queue).acquire(driven.TASK)
    assert lease is not None
    known: Any = ledger
    return lease_watch.Standing(known, lease, 1)


async def for_ever() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"status": "cancelled"}, "the task is cancelled"),
        ({"status": "blocked"}, "the task is blocked"),
        ({"fence": 2}, "the task lost its turn"),
    ],
)
async def test_what_the_ledger_says_ends_the_work(
    ledger: driven.Ledger, queue: memory_store.MemoryStore, change: dict[str, Any], why: str
) -> None:
    stand = await standing(ledger, queue)
    async with stand.watched():
        for name, value in change.items():
            setattr(ledger.tasks[driven.TASK], name, value)
        with pytest.raises(lease_watch.Stopped, match=why):
            await asyncio.wait_for(stand.during(for_ever()), 5)
        with pytest.raises(lease_watch.Stopped, match=why):
            stand.check()


async def test_a_lost_lease_ends_the_work(ledger: driven.Ledger, queue: memory_store.MemoryStore) -> None:
    stand = await standing(ledger, queue)
    async with stand.watched():
        queue.flush()
        with pytest.raises(lease_watch.Stopped, match="another splitter"):
            await asyncio.wait_for(stand.during(for_ever()), 5)


async def test_a_task_that_is_gone_ends_the_work(ledger: driven.Ledger, queue: memory_store.MemoryStore) -> None:
    stand = await standing(ledger, queue)
    async with stand.watched():
        ledger.tasks.clear()
        with pytest.raises(lease_watch.Stopped, match="NOT_FOUND"):
            await asyncio.wait_for(stand.during(for_ever()), 5)


@pytest.mark.parametrize("away", ["queue", "ledger"])
async def test_an_outage_ends_nothing(
    ledger: driven.Ledger, queue: memory_store.MemoryStore, monkeypatch: pytest.MonkeyPatch, away: str
) -> None:
    looked = asyncio.Event()

    async def fail(*_: Any) -> Any:
        looked.set()
        if away == "queue":
            raise queue_errors.QueueUnavailable("away")
        raise ledger_client.LedgerUnavailable("away")

    monkeypatch.setattr(*((queue, "renew_split", fail) if away == "queue" else (ledger, "get", fail)))
    stand = await standing(ledger, queue)
    async with stand.watched():
        await asyncio.wait_for(looked.wait(), 5)
        await asyncio.sleep(0.02)
        stand.check()

        async def work() -> str:
            return "done"

        assert await stand.during(work()) == "done"


async def test_a_scan_that_looks_in_is_told_of_and_one_that_hangs_is_not(
    ledger: driven.Ledger, queue: memory_store.MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_watch, "TELL_SECONDS", 0.01)
    ledger.tasks[driven.TASK].status = "processing"
    stand = await standing(ledger, queue)
    async with stand.watched(), asyncio.timeout(5):
        await _looks(ledger, 3)
        assert not ledger.scans  # it hangs

        stand.check()
        while not ledger.scans:
            await asyncio.sleep(0.001)
        await _looks(ledger, 3)
        assert ledger.scans == [driven.TASK]  # once for all that it read meanwhile


async def _looks(ledger: driven.Ledger, number: int) -> None:
    """Wait until the watch has looked so often."""
    before = ledger.looks
    while ledger.looks < before + number:
        await asyncio.sleep(0.001)


async def test_work_left_behind_in_its_thread_ends_with_the_watch(
    ledger: driven.Ledger, queue: memory_store.MemoryStore
) -> None:
    stand = await standing(ledger, queue)
    with contextlib.suppress(LookupError):
        async with stand.watched():
            stand.check()
            raise LookupError
    with pytest.raises(lease_watch.Stopped, match="its driver is gone"):
        stand.check()


async def test_a_cancelled_driver_takes_its_work_along(ledger: driven.Ledger, queue: memory_store.MemoryStore) -> None:
    stand = await standing(ledger, queue)
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await for_ever()
        finally:
            ended.set()

    async with stand.watched():
        driving = asyncio.create_task(stand.during(work()))
        await asyncio.sleep(0.01)
        driving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await driving
    assert ended.is_set()
