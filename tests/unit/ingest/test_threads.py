"""What takes minutes holds up nothing that takes milliseconds."""

import asyncio
import concurrent.futures
import contextlib
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from services.ingest import threads
from services.ingest.sources import object_store

SCANS = 16


@pytest.fixture
async def pool() -> AsyncIterator[threads.Pool]:
    made = threads.Pool(SCANS, "scan")
    yield made
    made.close()


async def test_sixteen_blocked_scans_let_an_upload_pass(pool: threads.Pool) -> None:
    asyncio.get_running_loop().set_default_executor(concurrent.futures.ThreadPoolExecutor(2))
    go, begun = threading.Event(), threading.Semaphore(0)

    def scan() -> str:
        begun.release()
        assert go.wait(30)
        return threading.current_thread().name

    scans = [asyncio.create_task(pool.run(scan)) for _ in range(SCANS)]
    for _ in scans:
        assert await asyncio.to_thread(begun.acquire, timeout=10)
    assert await asyncio.wait_for(object_store.call(lambda **_: "stored"), 10) == "stored"
    go.set()
    assert all(name.startswith("scan") for name in await asyncio.gather(*scans))


async def test_a_thread_has_the_tasks_context(pool: threads.Pool) -> None:
    word: contextvars.ContextVar[str] = contextvars.ContextVar("word")
    word.set("said")
    assert await pool.run(word.get) == "said"
    assert await threads.Pool().run(word.get) == "said"


async def test_an_iterator_left_early_is_closed_after_its_step(pool: threads.Pool) -> None:
    made, closed = list[int](), list[int]()

    def numbers() -> Iterator[int]:
        try:
            for number in range(10):
                made.append(number)
                yield number
        finally:
            closed.append(len(made))

    async with contextlib.aclosing(pool.iterate(numbers())) as items:
        async for number in items:
            if number == 2:
                break
    assert made == [0, 1, 2, 3]  # one ahead
    assert closed == [4]


async def test_an_error_of_the_iterator_is_raised_where_it_is_read(pool: threads.Pool) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise LookupError

    items = pool.iterate(broken())
    assert await anext(items) == 1
    with pytest.raises(LookupError):
        await anext(items)
