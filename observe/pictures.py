"""A dashboard as a picture, drawn from what a Prometheus kept: so that people see what they get before they have it."""

import math
import pathlib
import re
from collections.abc import Mapping
from typing import Any, Final

import matplotlib as mpl
from matplotlib import figure

from observe import grafana, panels, watch

WINDOW: Final = "20s"  # twice and more what lies between two looks
POINTS: Final = 150
INCHES: Final = (4.6, 2.5)  # of a panel
DOTS_AN_INCH: Final = 75
COLOURS: Final = ("#2a6fb0", "#d1722a", "#3f9142", "#b83a4b", "#7a5aa6", "#8a6d3b", "#c75fa0", "#6b7280")
MOST_LEGENDS: Final = 8
SCALES: Final = ((1e9, "G"), (1e6, "M"), (1e3, "k"))

Line = tuple[str, list[tuple[float, float]]]


def draw(made: panels.Dashboard, seen: watch.Watch, begin: float, end: float, path: pathlib.Path) -> None:
    """Draw what happened between two moments (`time.time`) as a PNG."""
    with mpl.rc_context({"font.size": 8}):
        rows = -(-len(made.panels) // panels.A_ROW)
        picture = figure.Figure(figsize=(INCHES[0] * panels.A_ROW, INCHES[1] * rows), layout="constrained")
        picture.suptitle(made.title, fontsize=12)
        axes = picture.subplots(rows, panels.A_ROW, squeeze=False).flat
        for place, panel in zip(axes, made.panels, strict=True):
            _panel(place, panel, _lines(made, panel, seen, begin, end), begin)
        picture.savefig(path, dpi=DOTS_AN_INCH, metadata={"Software": ""})


def _lines(made: panels.Dashboard, panel: panels.Panel, seen: watch.Watch, begin: float, end: float) -> list[Line]:
    found: list[Line] = []
    for query in panel.queries:
        text = query.promql().replace(panels.WINDOW, WINDOW)
        for variable in made.variables:
            text = text.replace(f"${variable.name}", ".*")
        for labels, values in seen.query_range(text, begin, end, max(1.0, (end - begin) / POINTS)):
            name = _named(grafana.legend(query), labels)
            found.append((name, [(at, value) for at, value in values if math.isfinite(value)]))
    return [line for line in found if line[1]]


def _named(legend: str, labels: Mapping[str, str]) -> str:
    """A line's name, as Grafana would fill it in."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend).strip() or "all"


def _panel(axes: Any, panel: panels.Panel, lines: list[Line], begin: float) -> None:
    """Lines that are nothing throughout are left out, unless all are."""
    axes.set_prop_cycle(color=COLOURS)
    shown = [line for line in lines if any(value for _, value in line[1])] or lines[:1]
    if panel.stacked:
        moments = sorted({at for _, values in shown for at, _ in values})
        stacks = [[dict(values).get(at, 0.0) for at in moments] for _, values in shown]
        names = [name for name, _ in shown]
        axes.stackplot([_minutes(at, begin) for at in moments], stacks, labels=names, alpha=0.75)
    else:
        for name, values in shown:
            axes.plot([_minutes(at, begin) for at, _ in values], [value for _, value in values], label=name, lw=1.2)
    if panel.limit is not None:
        axes.axhline(panel.limit, color="#b83a4b", lw=0.8, ls="--")
    axes.set_title(panel.title, fontsize=9, loc="left")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.yaxis.set_major_formatter(lambda value, _: _told(value, panel.unit))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} min")
    if shown:
        axes.legend(*(each[:MOST_LEGENDS] for each in axes.get_legend_handles_labels()), fontsize=6.5, loc="best")


def _minutes(at: float, begin: float) -> float:
    return (at - begin) / 60


def _told(value: float, unit: panels.Unit) -> str:
    match unit:
        case panels.Unit.SHARE:
            return f"{value:.2%}" if value < 0.01 else f"{value:.0%}"
        case panels.Unit.PER_SECOND:
            return f"{_short(value)}/s"
        case panels.Unit.SECONDS | panels.Unit.MILLISECONDS:
            return f"{_short(value)} {unit}"
        case panels.Unit.BYTES:
            return f"{_short(value)}B"
        case panels.Unit.DOLLARS:
            return f"${value:g}"
    return _short(value)


def _short(value: float) -> str:
    for scale, letter in SCALES:
        if value >= scale:
            return f"{value / scale:g} {letter}"
    return f"{value:.4g}"
