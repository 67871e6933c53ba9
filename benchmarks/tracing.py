"""What tracing costs: the same load with none, with nothing sampled, and with every task sampled, turn by turn."""

import statistics
from collections.abc import Iterator, Mapping

from benchmarks import files, line, loads
from benchmarks.figures import Figure, Run
from sandbox.traces import sink

LINE = {"OPENAI_RATE_LIMIT": "0", "EMBEDDERS": "1", "SANDBOX_OPENAI_VECTORS": "canned"}


def tracing(run: Run) -> Iterator[Figure]:
    """CPU of our processes over that without an endpoint. At 1 % of the requests sampled it lies between the two."""
    used: dict[str, list[float]] = {}
    with sink.Sink() as collector, line.running(**LINE) as running:
        traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        ways: Mapping[str, dict[str, str]] = {
            "off": {},
            "unsampled": {**traced, "OTEL_TRACES_SAMPLER": "parentbased_always_off"},
            "sampled": traced,
        }
        for number in range(run.repeats):
            for name, settings in ways.items():
                running.up(**LINE, **settings)
                running.warm_up(files.of(run.folder, 1_000))
                used.setdefault(name, []).append(loads.load(running, run, run.rows, f"{name}-{number}").cpu_ms)
        spans = len(collector.spans)
    detail = {name: [round(each, 1) for each in several] for name, several in used.items()}
    off = statistics.median(used["off"])
    # Bars as the plan has them, for the whole of our CPU.
    unsampled, sampled = (statistics.median(used[name]) / off for name in ("unsampled", "sampled"))
    yield Figure("CPU with tracing, nothing sampled, over that without", unsampled, "x", 1.005, detail=detail)
    more = {"spans_a_load": round(spans / run.repeats)}
    yield Figure("CPU with every task sampled, over that without", sampled, "x", 1.02, detail=more)
