"""The stages of a service's work: how often, how long, and how much CPU of our own code each took.

Cheap enough for production: two clocks are read a step. What a library does outside of our coroutines and threads
(sockets, gRPC's own threads) is in no stage; it is what the process used less the sum of its stages.
"""

import asyncio
import contextlib
import contextvars
import functools
import threading
import time
import types
from collections.abc import Callable, Coroutine, Generator, Iterator
from typing import Any, ParamSpec, TypeVar

import prometheus_client

RUNS = prometheus_client.Counter("vectorline_stage_runs", "Times that a stage was gone through.", ["stage"])
SECONDS = prometheus_client.Counter(
    "vectorline_stage_seconds", "Seconds in a stage, waiting included; what is side by side is added up.", ["stage"]
)
CPU = prometheus_client.Counter("vectorline_stage_cpu_seconds", "CPU seconds of our own code in a stage.", ["stage"])

ResultT = TypeVar("ResultT")
Given = ParamSpec("Given")

# Of the thread: wall and CPU seconds that stages within the present one have taken.
_within = threading.local()
_awaited: contextvars.ContextVar["Stage | None"] = contextvars.ContextVar("stage", default=None)


class Stage:
    """One stage, by its name in the metrics."""

    def __init__(self, name: str) -> None:
        self._runs, self._seconds, self._cpu = RUNS.labels(name), SECONDS.labels(name), CPU.labels(name)

    @contextlib.contextmanager
    def working(self, *, run: bool = True) -> Iterator[None]:
        """Code that awaits nothing. What a stage inside of it takes is that stage's, and not counted twice."""
        before = getattr(_within, "taken", (0.0, 0.0))
        _within.taken = (0.0, 0.0)
        began, cpu = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            seconds, used = time.perf_counter() - began, time.thread_time() - cpu
            inner = _within.taken
            _within.taken = (before[0] + seconds, before[1] + used)
            self.add(seconds - inner[0], used - inner[1], run=run)

    def each(self, items: Iterator[ResultT]) -> Generator[ResultT, None, None]:
        """The same items; making each of them is a run of this stage. Closed with it."""
        end: Any = object()
        try:
            while True:
                with self.working():
                    item = next(items, end)
                if item is end:
                    return
                yield item
        finally:
            if isinstance(items, Generator):
                items.close()

    async def during(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Await it: from beginning to end, and the CPU of its own steps (not of what runs in between)."""
        return await _metered(self, work)

    def add(self, seconds: float, cpu: float, *, run: bool = True) -> None:
        """Count what was measured."""
        if run:
            self._runs.inc()
        self._seconds.inc(max(0.0, seconds))
        self._cpu.inc(max(0.0, cpu))

    def help(self, cpu: float) -> None:
        """Count CPU of a thread that the stage waits for."""
        self._cpu.inc(max(0.0, cpu))


def helping(function: Callable[Given, ResultT]) -> Callable[Given, ResultT]:
    """For a thread: the same function, its CPU belongs to the stage that waits for it, if one does."""
    stage = _awaited.get()
    if stage is None:
        return function

    @functools.wraps(function)
    def metered(*args: Given.args, **kwargs: Given.kwargs) -> ResultT:
        cpu = time.thread_time()
        try:
            return function(*args, **kwargs)
        finally:
            stage.help(time.thread_time() - cpu)

    return metered


async def to_thread(function: Callable[Given, ResultT], *args: Given.args, **kwargs: Given.kwargs) -> ResultT:
    """As asyncio's, of a `helping` function."""
    return await asyncio.to_thread(helping(function), *args, **kwargs)


@types.coroutine
def _metered(stage: Stage, work: Coroutine[Any, Any, ResultT]) -> Generator[Any, Any, ResultT]:
    """Drive a coroutine as `await` does, with a look at the thread's CPU clock before and after each step."""
    began, used = time.perf_counter(), 0.0
    outer = _awaited.get()
    step: Callable[[Any], Any] = work.send
    argument: Any = None
    try:
        while True:
            cpu = time.thread_time()
            _awaited.set(stage)
            try:
                waits_for = step(argument)
            except StopIteration as end:
                result: ResultT = end.value
                return result
            finally:
                # An error thrown in would hold this frame by its traceback, this frame the error, and both a batch.
                argument = None
                _awaited.set(outer)
                used += time.thread_time() - cpu
            try:
                argument = yield waits_for
                step = work.send
            except GeneratorExit:
                work.close()
                raise
            except BaseException as error:
                step, argument = work.throw, error
    finally:
        stage.add(time.perf_counter() - began, used)
