"""What was measured, as text, as JSON, and as tables between two marks in docs/performance.md."""

import os
import pathlib
import platform
import time
from collections.abc import Sequence
from typing import Any

from benchmarks import plot
from benchmarks.figures import Figure, Run, Stage

BEGIN, END = "<!-- table of make bench: begin -->", "<!-- table of make bench: end -->"
HEAD = ("| what | bar | ideal | measured |", "| --- | ---: | ---: | ---: |")
STAGES_HEAD = ("| process | stage | CPU, ms per 1,000 rows | wall, ms per 1,000 rows |", "| --- | --- | ---: | ---: |")
PLOT = "growth.svg"


def line(figure: Figure) -> str:
    """A row as text."""
    mark = "    " if figure.bar is None else "ok  " if figure.good else "MISS"
    aim = f"({_aim(figure)}{f', ideal {figure.ideal:g}' if figure.ideal is not None else ''})" if figure.bar else ""
    return f"{mark} {figure.name:72} {figure.value:10,.2f} {figure.unit:12} {aim} {figure.detail}"


def stage_lines(stages: Sequence[Stage]) -> list[str]:
    """The stages as text."""
    rows = [f"     {'process':9} {'stage':10} {'CPU':>7} {'wall':>9}  ms per 1,000 rows"]
    for each in stages:
        wall = "" if each.wall_ms is None else f"{each.wall_ms:9.1f}"
        rows.append(f"     {each.process:9} {each.name:10} {each.cpu_ms:7.1f} {wall}")
    return rows


def as_json(figures: Sequence[Figure], run: Run, seconds: float) -> dict[str, Any]:
    """Everything."""
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(seconds),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "figures": [vars(figure) | {"good": figure.good} for figure in figures],
        "stages": [vars(stage) for stage in run.stages],
        "growth": [vars(size) for size in run.growth],
    }


def keep(file: pathlib.Path, figures: Sequence[Figure], run: Run, *, whole: bool) -> None:
    """Put it between the marks: in place of all that was there, or of its own rows. The plot goes beside the file."""
    before, rest = file.read_text(encoding="utf-8").split(BEGIN)
    table, after = rest.split(END)
    kept = {} if whole else _rows_of(table, HEAD)
    kept.update({figure.name: _row(figure) for figure in figures})
    told = [_stage_row(each) for each in run.stages] or list(_rows_of(table, STAGES_HEAD).values())
    parts = [BEGIN, "", *HEAD, *kept.values(), "", *STAGES_HEAD, *told, ""]
    if run.growth:
        file.with_name(PLOT).write_text(plot.draw(run.growth), encoding="utf-8")
    if file.with_name(PLOT).exists():
        parts += [f"![What a row costs, and rows a second, from few rows to many]({PLOT})", ""]
    file.write_text(before + "\n".join([*parts, END]) + after, encoding="utf-8")


def _rows_of(table: str, head: Sequence[str]) -> dict[str, str]:
    """The rows below a head, by their first two cells where those name them."""
    _, found, below = table.partition("\n".join(head) + "\n")
    rows = below.partition("\n\n")[0].splitlines() if found else []
    return {_name(row, head): row for row in rows if row.startswith("| ")}


def _name(row: str, head: Sequence[str]) -> str:
    cells = [cell.strip() for cell in row.split("|")]
    return cells[1] if head is HEAD else f"{cells[1]} {cells[2]}"


def _row(figure: Figure) -> str:
    aim = "" if figure.bar is None else _aim(figure).replace("<=", "≤").replace(">=", "≥")
    ideal = "" if figure.ideal is None else f"{figure.ideal:g} {figure.unit}"
    value = f"{_number(figure.value)} {figure.unit}"
    return f"| {figure.name} | {aim} | {ideal} | {value if figure.good else f'**{value}** (missed)'} |"


def _stage_row(stage: Stage) -> str:
    wall = "" if stage.wall_ms is None else _number(stage.wall_ms)
    return f"| {stage.process} | {stage.name} | {_number(stage.cpu_ms)} | {wall} |"


def _aim(figure: Figure) -> str:
    return f"{'>=' if figure.more else '<='} {figure.bar:g} {figure.unit}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
