"""What every process shows of itself at METRICS_PORT, and what a gauge means over several replicas.

Counters and histograms are summed over replicas. A gauge says here which it is: one of a thing that all replicas see
(the queue, the quota, the tasks) shows the same number everywhere and is taken once, by max; one of the process itself
is summed, or looked at for each. `docs/metrics.md` is made from these words.
"""

import enum
import platform
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import prometheus_client


class Over(enum.StrEnum):
    """What to do with a metric of several replicas."""

    SUM = "sum"
    MAX = "max"
    EACH = "each"


# Of every gauge, by its name.
OVER: Final[dict[str, Over]] = {}


def gauge(name: str, words: str, labels: Sequence[str] = (), *, over: Over) -> prometheus_client.Gauge:
    """A gauge with its meaning over replicas."""
    OVER[name] = over
    return prometheus_client.Gauge(name, words, labels)


BUILD = gauge(
    "vectorline_build_info",
    "1; its labels say which service and version this is.",
    ["service", "version", "python"],
    over=Over.EACH,
)


MetricT = TypeVar("MetricT", prometheus_client.Counter, prometheus_client.Histogram)
_children: dict[tuple[object, ...], Any] = {}


def child(metric: MetricT, *labels: str) -> MetricT:
    """`metric.labels(*labels)`, found at a tenth of the cost: for what is counted with every call."""
    key = (metric, *labels)
    found: MetricT | None = _children.get(key)
    if found is None:
        found = _children[key] = metric.labels(*labels)
    return found


# Of pyproject.toml: images hold the folders, not the installed package.
VERSION: Final = "0.1.0"


def show_build(service: str) -> None:
    """Say which service this process is."""
    BUILD.labels(service, VERSION, platform.python_version()).set(1)
