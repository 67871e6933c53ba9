"""docs/metrics.md: every metric of the code, its labels, and what to do with those of several replicas."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator
from typing import Final, TypeAlias

import prometheus_client

import services
from services.runtime import expiry, host, metrics

# The room that a metric is made in says which processes have it.
ROOMS: Final = {
    "services.runtime": "Every process",
    "services.valkey": "ingest and embedder: the queue",
    "services.chunks": "ingest and embedder: the queue",
    "services.ingest": "ingest",
    "services.embedder": "embedder",
    "services.indexer": "indexer",
}
Shown: TypeAlias = (
    prometheus_client.Counter | prometheus_client.Gauge | prometheus_client.Histogram | host.Host | expiry.Expiry
)

COUNTED: Final = ("counter", "histogram")
MADE: Final = (prometheus_client.Counter, prometheus_client.Gauge, prometheus_client.Histogram)
HEAD: Final = """# Metrics

Made from the code by `make observe-files`; a test holds the two together. Each process shows its own at `METRICS_PORT`,
for Prometheus; none has a label that names a caller, a task or anything of theirs. Units are the base units (seconds,
bytes).

**Over replicas**: `sum`: add them up · `max`: all replicas see the same thing (the queue, the quota, the tasks), take
one · `each`: it is of one process. Prometheus's own labels `job` (the service) and `instance` tell processes apart.
"""
TAIL: Final = """
## What others show

* `process_*` and `python_*` of every process: CPU seconds, resident memory, open files, runs of the garbage collector
  (by the Prometheus client, on Linux).
* Envoy, at `ENVOY_METRICS_PORT` (or at `/stats/prometheus` of its admin port):
  `envoy_vhost_vcluster_upstream_rq_time_bucket` is how long each public method took, in milliseconds, by
  `envoy_virtual_cluster` (the method's name: `Process`, `GetTask`, …); `envoy_http_downstream_rq_xx` are the answers by
  class (`envoy_response_code_class`); `envoy_cluster_membership_healthy` the replicas that answer health checks.
  [Envoy's reference](https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/statistics) has the rest.
"""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A metric as the page shows it."""

    name: str  # as Prometheus stores it
    kind: str
    labels: tuple[str, ...]
    over: str
    words: str
    room: str


def entries() -> list[Entry]:
    """Every metric of ours, by room and name."""
    found = [_entry(metric, module) for module, metric in _defined()]
    found += [_entry(collector, "services.runtime") for collector in (host.Host(), expiry.Expiry({}))]
    order = list(dict.fromkeys(ROOMS.values()))
    return sorted((each for several in found for each in several), key=lambda each: (order.index(each.room), each.name))


def _entry(collector: Shown, module: str) -> list[Entry]:
    """The lines of what a module shows.

    Raises:
        KeyError: A gauge does not say what it means over replicas: make it by `metrics.gauge`.
    """
    own = getattr(collector, "_labelnames", ())  # the library has no other way to ask
    return [
        Entry(
            name=family.name + ("_total" if family.type == "counter" else ""),
            kind=family.type,
            labels=tuple(getattr(family, "_labelnames", own)),
            over=str(
                metrics.OVER.get(family.name, metrics.Over.SUM) if family.type in COUNTED else metrics.OVER[family.name]
            ),
            words=family.documentation,
            room=next(room for prefix, room in ROOMS.items() if module.startswith(prefix)),
        )
        for family in collector.describe()
    ]


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    room = ""
    for each in entries():
        if each.room != room:
            room = each.room
            lines += [f"## {room}\n" if len(lines) == 1 else f"\n## {room}\n"]
            lines += ["| metric | kind | labels | over replicas | what it is |", "| --- | --- | --- | --- | --- |"]
        labels = ", ".join(f"`{label}`" for label in each.labels)
        lines.append(f"| `{each.name}` | {each.kind} | {labels} | {each.over} | {each.words} |")
    return "\n".join(lines) + "\n" + TAIL


def _defined() -> Iterator[tuple[str, Shown]]:
    """Every metric that a module of a service makes, with that module."""
    seen: set[Shown] = set()
    for found in pkgutil.walk_packages(services.__path__, "services."):
        if found.name.endswith("__main__"):
            continue
        for value in vars(importlib.import_module(found.name)).values():
            if isinstance(value, MADE) and value not in seen:
                seen.add(value)
                yield found.name, value
