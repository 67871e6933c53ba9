"""What is measured, as data: rows of the table, stages, and how much a run measures."""

import dataclasses
import pathlib
import statistics
from collections.abc import Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Figure:
    """One row of the table."""

    name: str
    value: float
    unit: str
    # The value must be at most (or, when `more`, at least) this; None: it is only told.
    bar: float | None
    ideal: float | None = None
    more: bool = False
    detail: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def good(self) -> bool:
        """The bar is met."""
        if self.bar is None:
            return True
        return self.value >= self.bar if self.more else self.value <= self.bar


@dataclasses.dataclass(frozen=True)
class Stage:
    """What one stage took per 1,000 rows; `wall_ms` adds up what was side by side, waiting included."""

    process: str
    name: str
    cpu_ms: float
    # None: what is in no stage has no beginning and no end.
    wall_ms: float | None


@dataclasses.dataclass(frozen=True)
class Size:
    """One point of how cost grows with the number of rows."""

    rows: int
    cpu_ms: float
    rows_per_second: float
    # By process: its peak memory so far.
    peak_mb: dict[str, int]


@dataclasses.dataclass
class Run:
    """How much is measured, and what was found beside the table."""

    folder: pathlib.Path
    rows: int = 100_000
    repeats: int = 5
    big_rows: int = 1_500_000
    most_rows: int = 1_000_000
    stages: list[Stage] = dataclasses.field(default_factory=list)
    growth: list[Size] = dataclasses.field(default_factory=list)


def median(name: str, runs: Sequence[float], unit: str, bar: float | None, **more: Any) -> Figure:
    """A row of the median of several runs; all of them are in its detail."""
    detail = {"runs": [round(each, 3) for each in runs]} | more.pop("detail", {})
    return Figure(name, statistics.median(runs), unit, bar, detail=detail, **more)
