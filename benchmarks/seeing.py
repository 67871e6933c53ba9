"""What it costs to be seen: tracing with nothing sampled and with everything, and metrics, beside a line without.

A real load differs by more from one time to the next than any of this costs. So the chunks of a line in this process
are counted (`small_line`): what is added to each, turn by turn with and without, over what a thousand rows cost in a
real load of the same sitting. A chunk has a thousand rows unless a task says otherwise.
"""

import asyncio
import contextlib
import logging
import multiprocessing
import random
import statistics
import time
import types
from collections.abc import Callable, Coroutine, Iterator
from multiprocessing import connection
from typing import Any
from unittest import mock

import prometheus_client
import structlog

from benchmarks import files, line, loads, small_line
from benchmarks.figures import Figure, Run
from sandbox.traces import sink
from services.runtime import settings, stages
from services.runtime.tracing import otel, spans

CHUNKS = 40
ROUNDS_A_REPEAT = 12
SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
# As the plan has them, % of all of our CPU.
UNSAMPLED_BAR, ONE_PERCENT_BAR, METRICS_BAR = 0.5, 2.0, 1.0

Measure = Callable[[], Coroutine[Any, Any, float]]


def tracing(run: Run) -> Iterator[Figure]:
    """Tracing, nothing sampled and one task in a hundred."""
    rows_ms = _real(run)
    used = asyncio.run(_traced(run.repeats * ROUNDS_A_REPEAT))
    unsampled, sampled = (_added(used, name, "off") for name in ("unsampled", "sampled"))
    yield _share("tracing, nothing sampled, of our CPU", unsampled, rows_ms, UNSAMPLED_BAR, used)
    one = unsampled + max(0.0, sampled - unsampled) / 100
    yield _share("tracing, 1 % sampled, of our CPU", one, rows_ms, ONE_PERCENT_BAR, {"all_sampled_more": [sampled]})


def metrics(run: Run) -> Iterator[Figure]:
    """Counters, histograms and the clocks of the stages."""
    rows_ms = _real(run)
    used = asyncio.run(_counted(run.repeats * ROUNDS_A_REPEAT))
    yield _share("metrics, of our CPU", _added(used, "counted", "uncounted"), rows_ms, METRICS_BAR, used)


def _real(run: Run) -> float:
    """CPU of all our processes for a thousand rows of a real load, in ms."""
    with line.running(OPENAI_RATE_LIMIT="0", EMBEDDERS="1") as running:
        running.warm_up(files.of(run.folder, 1_000))
        return loads.load(running, run, run.rows, "seeing").cpu_ms


@contextlib.contextmanager
def _collector() -> Iterator[str]:
    """A collector in a process of its own, whose CPU is none of ours; its address."""
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe()
    process = spawning.Process(target=_collect, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send("end")
        process.join()


def _collect(told: connection.Connection) -> None:
    with sink.Sink() as collector:
        told.send(collector.url)
        told.recv()


def _quiet() -> None:
    """Log lines would be most of what a chunk costs here, and are the same either way."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


async def _traced(rounds: int) -> dict[str, list[float]]:
    _quiet()
    with _collector() as url:
        process = settings.ProcessSettings(otel_exporter_otlp_endpoint=url)
        backend = otel.OpenTelemetry("bench", process)
        try:
            async with contextlib.AsyncExitStack() as stack:
                off = await stack.enter_async_context(small_line.running())
                spans.use(backend)
                on = await stack.enter_async_context(small_line.running())

                async def without() -> float:
                    spans.use(None)
                    return await _chunk_ms(off)

                async def traced(traceparent: str) -> float:
                    spans.use(backend)
                    return await _chunk_ms(on, traceparent)

                ways: dict[str, Measure] = {
                    "off": without,
                    "unsampled": lambda: traced(""),
                    "sampled": lambda: traced(SAMPLED),
                }
                return await _by_turns(ways, rounds)
        finally:
            spans.use(None)
            backend.close()


async def _counted(rounds: int) -> dict[str, list[float]]:
    _quiet()
    async with small_line.running() as running:

        async def uncounted() -> float:
            with _no_metrics():
                return await _chunk_ms(running)

        return await _by_turns({"counted": lambda: _chunk_ms(running), "uncounted": uncounted}, rounds)


async def _by_turns(ways: dict[str, Measure], rounds: int) -> dict[str, list[float]]:
    """Each way once a round, in another order each time; the first round warms up and is not kept."""
    used: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name in random.sample(list(ways), len(ways)):
            spent = await ways[name]()
            if number:
                used[name].append(spent)
    return used


async def _chunk_ms(running: small_line.SmallLine, traceparent: str = "") -> float:
    """CPU of this process for one chunk, in ms."""
    began = time.process_time()
    await running.load(CHUNKS, traceparent)
    return (time.process_time() - began) * 1_000 / CHUNKS


def _added(used: dict[str, list[float]], with_it: str, without: str) -> float:
    """What a chunk costs more, in ms: of each way its best rounds, for whatever disturbs a round only adds to it."""
    return _best(used[with_it]) - _best(used[without])


def _best(rounds: list[float]) -> float:
    """The mean of the best quarter."""
    return statistics.mean(sorted(rounds)[: max(1, len(rounds) // 4)])


def _share(name: str, chunk_ms: float, rows_ms: float, bar: float, used: dict[str, list[float]]) -> Figure:
    detail = {"chunk_ms": round(chunk_ms, 4), "cpu_ms_per_1000_rows": round(rows_ms, 1)}
    more = {f"{way}_ms": round(_best(several), 3) for way, several in used.items()}
    return Figure(name, 100 * max(0.0, chunk_ms) / rows_ms, "%", bar, detail=detail | more)


@contextlib.contextmanager
def _no_metrics() -> Iterator[None]:
    """Counters that count nothing, and stages without clocks."""

    def nothing(*_: Any, **__: Any) -> None:
        return None

    @types.coroutine
    def plain(_stage: stages.Stage, work: Coroutine[Any, Any, Any]) -> Iterator[Any]:
        return (yield from work.__await__())

    def working(*_: Any, **__: Any) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    with contextlib.ExitStack() as stack:
        for kind, names in (
            (prometheus_client.Counter, ("inc",)),
            (prometheus_client.Gauge, ("inc", "dec", "set")),
            (prometheus_client.Histogram, ("observe",)),
        ):
            for name in names:
                stack.enter_context(mock.patch.object(kind, name, nothing))
        stack.enter_context(mock.patch.object(stages, "_metered", plain))
        stack.enter_context(mock.patch.object(stages.Stage, "working", working))
        yield
