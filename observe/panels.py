"""What a panel shows, in words that both Prometheus and CloudWatch can be asked in: dashboards are written in these.

A query names a metric as the line exposes it, and says what is done with it: PromQL and CloudWatch's metric math are
two ways to write that. `docs/metrics.md` says which metric is summed over replicas and which is taken once.
"""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Final

# What stands in a query for the time over which growth is measured; Grafana fills it in.
WINDOW: Final = "$__rate_interval"
A_ROW: Final = 3  # panels of a dashboard, wherever it is drawn


class Unit(enum.StrEnum):
    """What a panel's numbers are, by Grafana's names."""

    NUMBER = "short"
    PER_SECOND = "ops"
    SHARE = "percentunit"
    SECONDS = "s"
    MILLISECONDS = "ms"
    BYTES = "bytes"
    DOLLARS = "currencyUSD"


@dataclasses.dataclass(frozen=True)
class Query:
    """A metric of the line.

    Attributes:
        metric: As it is exposed.
        by: Labels that tell its lines apart.
        where: Labels and regular expressions for what they have to be; `!` before one turns it round.
        legend: Words for a line where no label tells it apart.
    """

    metric: str
    by: tuple[str, ...] = ()
    where: Mapping[str, str] = dataclasses.field(default_factory=dict)
    legend: str = ""

    @property
    def selector(self) -> str:
        """The metric with what its labels have to be."""
        told = ", ".join(
            f'{label}{"!~" if words.startswith("!") else "=~"}"{words.removeprefix("!")}"'
            for label, words in self.where.items()
        )
        return f"{self.metric}{{{told}}}" if told else self.metric

    def grouped(self, function: str, inner: str, *more: str) -> str:
        """An aggregation by this query's labels, and more."""
        labels = ", ".join((*more, *self.by))
        return f"{function} by ({labels}) ({inner})" if labels else f"{function}({inner})"

    def promql(self) -> str:
        """The query in PromQL."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Rate(Query):
    """Growth a second of a counter, all replicas together; `times`: what it is multiplied by."""

    times: float = 1.0

    def promql(self) -> str:
        """See `Query`."""
        text = self.grouped("sum", f"rate({self.selector}[{WINDOW}])")
        return text if self.times == 1.0 else f"{text} * {self.times:g}"


@dataclasses.dataclass(frozen=True)
class Once(Query):
    """A gauge of a thing that all replicas see."""

    def promql(self) -> str:
        """See `Query`."""
        return self.grouped("max", self.selector)


@dataclasses.dataclass(frozen=True)
class Total(Query):
    """A gauge of the replicas' own, added up."""

    def promql(self) -> str:
        """See `Query`."""
        return self.grouped("sum", self.selector)


@dataclasses.dataclass(frozen=True)
class Quantile(Query):
    """A quantile of a histogram, all replicas together."""

    quantile: float = 0.95

    def promql(self) -> str:
        """See `Query`."""
        bucket = dataclasses.replace(self, metric=f"{self.metric}_bucket")
        inner = bucket.grouped("sum", f"rate({bucket.selector}[{WINDOW}])", "le")
        return f"histogram_quantile({self.quantile:g}, {inner})"


@dataclasses.dataclass(frozen=True)
class Share:
    """How much of one thing another one is. Where nothing is counted, there is no share."""

    part: Query
    whole: Query
    legend: str = ""

    @property
    def by(self) -> tuple[str, ...]:
        """Labels that tell its lines apart: the part's."""
        return self.part.by

    def promql(self) -> str:
        """The query in PromQL."""
        return f"{self.part.promql()} / {self.whole.promql()}"


@dataclasses.dataclass(frozen=True)
class Panel:
    """One picture.

    Attributes:
        title: What it shows.
        words: What to make of it.
        unit: Of its numbers.
        queries: Its lines.
        limit: What it should stay below, drawn as a line; None: nothing.
        stacked: Lines are parts of one whole.
    """

    title: str
    words: str
    unit: Unit
    queries: tuple[Query | Share, ...]
    limit: float | None = None
    stacked: bool = False


@dataclasses.dataclass(frozen=True)
class Variable:
    """What is chosen above a dashboard: the values of a label of a metric, or all."""

    name: str
    metric: str
    label: str


@dataclasses.dataclass(frozen=True)
class Dashboard:
    """Pictures that are seen together, on one screen: three a row, nine to twelve."""

    name: str
    title: str
    words: str
    panels: tuple[Panel, ...]
    variables: tuple[Variable, ...] = ()
