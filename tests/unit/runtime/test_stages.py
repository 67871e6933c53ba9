"""Stages: time and CPU go to the stage whose code took them, once, and nothing that is awaited notices."""

import asyncio
import gc
import time
import weakref
from collections.abc import Iterator

import prometheus_client
import pytest

from services.runtime import stages


def figure(what: str, name: str) -> float:
    return prometheus_client.REGISTRY.get_sample_value(f"vectorline_stage_{what}_total", {"stage": name}) or 0.0


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_a_stage_within_another_is_not_counted_twice() -> None:
    inner, outer = stages.Stage("inner"), stages.Stage("outer")

    def items() -> Iterator[int]:
        for number in range(3):
            burn(0.02)
            yield number

    with outer.working():
        assert list(inner.each(items())) == [0, 1, 2]
        burn(0.02)
    assert figure("cpu_seconds", "inner") == pytest.approx(0.06, abs=0.01)
    assert figure("cpu_seconds", "outer") == pytest.approx(0.02, abs=0.01)
    assert figure("runs", "inner") == 4  # the last look finds the end


def test_an_iterator_is_closed_with_its_stage() -> None:
    closed = []

    def items() -> Iterator[int]:
        try:
            yield 1
        finally:
            closed.append(True)

    metered = stages.Stage("closing").each(items())
    assert next(metered) == 1
    metered.close()
    assert closed


async def test_waiting_costs_time_and_what_runs_meanwhile_is_another_stages_cpu() -> None:
    async def idle() -> str:
        await asyncio.sleep(0.05)
        return "done"

    async def busy() -> None:
        await asyncio.sleep(0.01)
        burn(0.02)

    waiting, working = stages.Stage("waiting"), stages.Stage("busy")
    answers = await asyncio.gather(waiting.during(idle()), working.during(busy()))
    assert answers == ["done", None]
    assert figure("seconds", "waiting") >= 0.05
    assert figure("cpu_seconds", "waiting") < 0.01
    assert figure("cpu_seconds", "busy") == pytest.approx(0.02, abs=0.01)


async def test_a_threads_cpu_belongs_to_the_stage_that_waits_for_it() -> None:
    await stages.Stage("threaded").during(stages.to_thread(burn, 0.02))
    assert figure("cpu_seconds", "threaded") == pytest.approx(0.02, abs=0.01)
    await stages.to_thread(burn, 0.01)  # nobody's
    assert figure("cpu_seconds", "threaded") == pytest.approx(0.02, abs=0.01)


async def test_failures_timeouts_and_cancels_go_through() -> None:
    stage = stages.Stage("failing")

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("as it is")

    with pytest.raises(ValueError, match="as it is"):
        await stage.during(fails())
    seen = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await stage.during(waits())
    assert seen == ["cancelled"]
    assert figure("runs", "failing") == 2


async def test_what_is_cancelled_is_free_at_once() -> None:
    """A batch of vectors would wait for the search for garbage, which looks at old objects seldom."""

    class Batch:
        pass

    async def writes(batch: Batch) -> None:
        await asyncio.Event().wait()
        del batch

    batch = Batch()
    held = weakref.ref(batch)
    gc.disable()
    try:
        writing = asyncio.create_task(stages.Stage("cancelled").during(writes(batch)))
        del batch
        await asyncio.sleep(0)
        writing.cancel()
        await asyncio.wait([writing])
        del writing
        await asyncio.sleep(0)
        assert held() is None
    finally:
        gc.enable()
