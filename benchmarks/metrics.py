"""The services' own metrics, read over HTTP as Prometheus would."""

import collections
from collections.abc import Iterable, Mapping

import httpx
from prometheus_client import parser

from benchmarks import figures

READ_SECONDS = 10.0
STAGE = "vectorline_stage_"


def read(port: int) -> dict[tuple[str, str], float]:
    """Every sample of a process, by its name and the value of its first label."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=READ_SECONDS).text
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


def stages(
    before: Mapping[str, Mapping[tuple[str, str], float]],
    after: Mapping[str, Mapping[tuple[str, str], float]],
    cpu_seconds: Mapping[str, float],
    rows: int,
) -> list[figures.Stage]:
    """What each stage took between two readings (by process), and of each service what is in no stage.

    Args:
        before: Readings by process.
        after: The same, later.
        cpu_seconds: What each process used in between.
        rows: How many rows went through.
    """
    took: collections.Counter[tuple[str, str, str]] = collections.Counter()
    for process, samples in after.items():
        for (name, stage), value in samples.items():
            if name.startswith(STAGE) and name.endswith("_total"):
                service = process.partition("-")[0]
                took[service, stage, name] += value - before.get(process, {}).get((name, stage), 0.0)
    found = []
    for service in _services(after):
        used = sum(value for process, value in cpu_seconds.items() if process.partition("-")[0] == service)
        for stage in dict.fromkeys(stage for owner, stage, _ in took if owner == service):
            cpu = took[service, stage, f"{STAGE}cpu_seconds_total"]
            wall = took[service, stage, f"{STAGE}seconds_total"]
            used -= cpu
            found.append(figures.Stage(service, stage, cpu * 1e6 / rows, wall * 1e6 / rows))
        found.append(figures.Stage(service, "the rest", used * 1e6 / rows, None))
    return found


def _services(processes: Iterable[str]) -> list[str]:
    names = {process.partition("-")[0] for process in processes}
    return [name for name in ("ingest", "embedder", "indexer") if name in names]
