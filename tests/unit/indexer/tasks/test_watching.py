"""However many watch a task, it is read once a moment."""

import asyncio
from typing import Any

import pytest

from services.indexer import settings
from services.indexer.storage import memory, table
from services.indexer.tasks import servicer as task_servicer
from services.indexer.tasks import watching
from services.runtime import errors, identity
from tests.support import ledgers, virtual_time

ANN = identity.Caller("ann", frozenset({"read"}))


class Counting(memory.MemoryTable):
    """Counts what is read, and is away when told."""

    reads = 0
    away = False

    async def get(self, key: str) -> table.Item | None:
        self.reads += 1
        if self.away:
            raise errors.Unavailable("away")
        return await super().get(key)


class Asked:
    task_id = ""


async def listen(tasks: task_servicer.TaskServicer, task_id: str, heard: list[str]) -> None:
    identity.bind(ANN)
    request: Any = Asked()
    request.task_id = task_id
    context: Any = None
    async for task in tasks.WatchTask(request, context):
        heard.append(task.status)  # noqa: PERF401 (while it goes on)


def test_five_hundred_watchers_of_a_task_cost_one_poll() -> None:
    async def watch() -> None:
        line = ledgers.line(Counting())
        tasks = task_servicer.TaskServicer(line.book, settings.LedgerSettings())
        task_id = await ledgers.scanned(line.book)
        heard: list[list[str]] = [[] for _ in range(500)]
        watchers = [asyncio.create_task(listen(tasks, task_id, each)) for each in heard]
        await asyncio.sleep(1.0)
        line.storage.reads = 0
        await asyncio.sleep(70.0)
        assert line.storage.reads <= 101  # one each 0.7 s
        assert all(5 <= len(each) <= 7 for each in heard)  # a beat at least every 15 s
        for watcher in watchers[:499]:
            watcher.cancel()
        await line.book.tasks.cancel(task_id)
        await watchers[499]
        assert heard[499][-1] == "cancelled"
        assert heard[499].count("cancelled") == 1
        line.storage.reads = 0
        await asyncio.sleep(60.0)
        assert line.storage.reads == 0
        assert tasks.watches._polls == {}

    virtual_time.run(watch(), 3_600)


def test_nobody_left_ends_the_poll_and_who_comes_then_begins_another() -> None:
    async def watch() -> None:
        line = ledgers.line(Counting())
        tasks = task_servicer.TaskServicer(line.book, settings.LedgerSettings())
        task_id = await ledgers.scanned(line.book)
        for _ in range(2):
            heard: list[str] = []
            watcher = asyncio.create_task(listen(tasks, task_id, heard))
            await asyncio.sleep(3.0)
            watcher.cancel()
            await asyncio.sleep(1.0)
            line.storage.reads = 0
            await asyncio.sleep(30.0)
            assert (heard, line.storage.reads) == (["processing_chunks"], 0)

    virtual_time.run(watch(), 3_600)


def test_an_outage_ends_every_watch_of_the_task_and_the_next_goes_on() -> None:
    async def watch() -> None:
        line = ledgers.line(Counting())
        tasks = task_servicer.TaskServicer(line.book, settings.LedgerSettings())
        task_id = await ledgers.scanned(line.book)
        watchers = [asyncio.create_task(listen(tasks, task_id, [])) for _ in range(3)]
        await asyncio.sleep(1.0)
        line.storage.away = True
        ended = await asyncio.gather(*watchers, return_exceptions=True)
        assert [type(each) for each in ended] == [errors.Unavailable] * 3
        line.storage.away = False
        heard: list[str] = []
        watcher = asyncio.create_task(listen(tasks, task_id, heard))
        await asyncio.sleep(1.0)
        watcher.cancel()
        assert heard == ["processing_chunks"]

    virtual_time.run(watch(), 3_600)


def test_a_watch_that_others_have_begun_is_no_way_to_see_another_keys_task() -> None:
    async def watch() -> None:
        line = ledgers.line(Counting())
        tasks = task_servicer.TaskServicer(line.book, settings.LedgerSettings())
        task_id = await ledgers.scanned(line.book, client="ann")
        watcher = asyncio.create_task(listen(tasks, task_id, []))
        await asyncio.sleep(1.0)
        follow = tasks.watches.follow(task_id, lambda task: bool(task["client"] == "bob"))
        with pytest.raises(errors.NotFound):
            await anext(follow)
        watcher.cancel()

    virtual_time.run(watch(), 3_600)


async def test_a_key_has_so_many_watches_at_once() -> None:
    async def read(task_id: str) -> watching.Look:
        raise AssertionError

    watches = watching.Watches(read, poll_seconds=1.0, beat_seconds=15.0)
    with watches.counted("ann", 2), watches.counted("ann", 2), watches.counted("bob", 1):
        with pytest.raises(errors.ResourceExhausted) as refused, watches.counted("ann", 2):
            pass
        with watches.counted("carl", 0):
            pass
    assert refused.value.reason == "WATCHES_QUOTA_EXCEEDED"
    with watches.counted("ann", 1):
        pass
