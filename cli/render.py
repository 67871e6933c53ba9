"""Answers of the line as tables and cards for people."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from typing import Final

from rich import console, padding, table, text

from cli import bills, jobs, outcome, pace, screen, tables
from vectorline_client import messages

STYLES: Final = {
    "completed": "green",
    "partially_completed": "yellow",
    "blocked": "yellow",
    "failed": "red",
    "cancelled": "magenta",
    "healthy": "green",
    "degraded": "yellow",
    "unhealthy": "red",
}
MARKS: Final = {"completed": "✓", "partially_completed": "!", "blocked": "!", "failed": "✗", "cancelled": "■"}

# Metadata that says where a vector came from; a reader of search results wants the rest.
_ORIGIN_FIELDS: Final = frozenset(
    {"text", "source", "s3_key", "chunk_id", "record_index", "task_id", "question_id", "row_id", "processed_at"}
)
_ID_LENGTH: Final = 36  # characters of a UUID
_WIDE: Final = 120  # columns: from here on there is room for everything about a task
_SNIPPET_LENGTH: Final = 160  # characters
_FACTS_LENGTH: Final = 160  # characters


def status(word: str) -> text.Text:
    """A status in its colour."""
    return text.Text(word, STYLES.get(word, "cyan"))


def task_card(task: messages.Task) -> console.RenderableType:
    """Everything about a task, one line a fact."""
    grid = tables.card()
    facts = task.metadata
    grid.add_row("Task", text.Text(task.task_id, "bold"))
    grid.add_row("Status", _status_line(task))
    if task.error:
        grid.add_row("Error", text.Text(_error_line(task), "red"))
    grid.add_row("Source", screen.printable(" · ".join(filter(None, (facts.source or "", facts.task_type)))))
    grid.add_row("Namespace", screen.printable(facts.namespace))
    if facts.parent_task_id:
        grid.add_row("Retries", facts.parent_task_id)
    grid.add_row("Rows", _rows_line(task))
    if task.result is not None and task.result.failed_by_reason:
        grid.add_row("Failed", _reasons(task.result))
    if found := jobs.words(task.result):
        grid.add_row("Index", found)
    add_warnings(grid, "Warning", task.warnings)
    chunks = task.progress
    if chunks.chunks_total:
        in_work = f", {chunks.chunks_processing:,} in work" if chunks.chunks_processing else ""
        grid.add_row("Chunks", f"{chunks.chunks_completed:,} of {chunks.chunks_total:,} settled{in_work}")
    if task.bill is not None and (task.bill.tokens or task.bill.write_units):
        grid.add_row("Cost", bills.words(task.bill))
    grid.add_row("Created", _moment(facts.created_at))
    if task.completed_at is not None:
        took = f", after {_seconds(task.result.duration_seconds)}" if task.result is not None else ""
        grid.add_row("Finished", f"{_moment(task.completed_at)}{took}")
    elif facts.estimated_completion_time is not None:
        grid.add_row("Expected", _moment(facts.estimated_completion_time))
    return grid


def task_summary(task: messages.Task) -> console.RenderableType:
    """What a task came to, and what to do next."""
    style = STYLES.get(task.status, "cyan")
    title = text.Text.assemble(
        (f"{MARKS.get(task.status, '…')} {task.status}", f"bold {style}"),
        (f"  {screen.printable(task.metadata.source or '')}", "bold"),
        f" → {screen.printable(task.metadata.namespace)}",
        (f"  in {_seconds(task.result.duration_seconds)}" if task.result is not None else "", "dim"),
    )
    grid = tables.card()
    if task.error:
        grid.add_row("why", text.Text(_error_line(task), "red"))
    progress = task.progress
    grid.add_row("rows read", _count(progress.total_records))
    grid.add_row("indexed", _count(progress.processed_records, "green"))
    grid.add_row("skipped", _count(progress.skipped_records) + text.Text(_unchanged(progress), "dim"))
    grid.add_row("failed", _count(progress.failed_records, "red" if progress.failed_records else "") + _why(task))
    if found := jobs.words(task.result):
        grid.add_row("index", found)
    if progress.unread_records:
        grid.add_row("unread", _count(progress.unread_records, "yellow"))
    if progress.removed_records:
        grid.add_row("removed", _count(progress.removed_records))
    if progress.failed_records:
        grid.add_row("rejects", text.Text(f"vectorline rejects {task.task_id}", "cyan"))
    add_warnings(grid, "warning", task.warnings)
    if task.held is not None:
        grid.add_row("would remove", _count(task.held.gone, "yellow") + f"  of {task.held.entries:,} ids")
        grid.add_row("confirm", text.Text(f"vectorline confirm {task.task_id}", "cyan"))
    if task.status == "blocked":
        grid.add_row("watch", text.Text(f"vectorline watch {task.task_id}", "cyan"))
    return console.Group(title, padding.Padding(grid, (0, 0, 0, 2), expand=False))


def add_warnings(grid: table.Table, label: str, warnings: Iterable[messages.Warning]) -> None:
    """Add one yellow row for each warning: what may not be as the source's owner means it."""
    for warning in warnings:
        grid.add_row(label, text.Text(screen.printable(f"{warning.message} ({warning.code})"), "yellow"))


def tasks_table(tasks: Sequence[messages.Task], now: datetime.datetime, width: int) -> console.RenderableType:
    """One line a task, newest first. A narrow terminal loses the last columns, never a part of an id."""
    listing = table.Table(box=None, header_style="dim", padding=(0, 2 if width >= _WIDE else 1, 0, 0))
    listing.add_column("task", no_wrap=True, min_width=_ID_LENGTH)
    listing.add_column("status", no_wrap=True)
    listing.add_column("rows", no_wrap=True, justify="right")
    listing.add_column("failed", no_wrap=True, justify="right")
    if width >= _WIDE:
        listing.add_column("created", no_wrap=True)
        listing.add_column("namespace", no_wrap=True)
        listing.add_column("source", no_wrap=True, overflow="ellipsis", max_width=max(8, width - _WIDE + 12))
    for task in tasks:
        done, total = outcome.rows_with_outcome(task), task.progress.total_records
        failed = task.progress.failed_records
        cells: list[console.RenderableType] = [
            task.task_id,
            status(task.status),
            f"{total:,}" if done == total else f"{done:,}/{total:,}",
            text.Text(f"{failed:,}", "red" if failed else "dim"),
            _ago(task.metadata.created_at, now),
            screen.printable(task.metadata.namespace),
            screen.printable(task.metadata.source or ""),
        ]
        listing.add_row(*cells[: len(listing.columns)])
    return listing


def matches(found: Iterable[messages.Match]) -> console.RenderableType:
    """Matches, best first: score, id, text and the row's own metadata."""
    listing = table.Table.grid(padding=(0, 2, 0, 0))
    listing.add_column(justify="right", style="dim", no_wrap=True)
    listing.add_column(no_wrap=True, style="cyan")
    listing.add_column(overflow="fold")
    for rank, match in enumerate(found, start=1):
        metadata = match.metadata
        own = {name: metadata[name] for name in sorted(metadata.keys() - _ORIGIN_FIELDS)}
        lines = text.Text(screen.printable(match.id), "bold")
        if snippet := _shorten(str(metadata.get("text", "")), _SNIPPET_LENGTH):
            lines.append(f"\n{snippet}", "not bold")
        if facts := _shorten(" · ".join(f"{name} {_fact(value)}" for name, value in own.items()), _FACTS_LENGTH):
            lines.append(f"\n{facts}", "not bold dim")
        listing.add_row(str(rank), f"{match.score:.3f}", lines)
    return listing


def health(answer: messages.GetHealthResponse) -> console.RenderableType:
    """The line's health, one line a part."""
    grid = tables.card()
    grid.add_row("Line", status(answer.status))
    for name in sorted(answer.services):
        grid.add_row(screen.printable(name), status(screen.printable(answer.services[name])))
    workers = answer.workers
    grid.add_row(
        "Workers", f"{workers.active:,} active, {workers.available:,} free, {workers.queued_tasks:,} chunks queued"
    )
    grid.add_row("Version", screen.printable(" · ".join(filter(None, (answer.version, answer.environment)))))
    return grid


def _status_line(task: messages.Task) -> text.Text:
    line = status(task.status)
    if task.stalled_since is not None:
        why = f": {task.stalled_reason}" if task.stalled_reason else ""
        line.append(f"  no progress since {_moment(task.stalled_since)}{why}", "yellow")
    return line


def _rows_line(task: messages.Task) -> str:
    progress = task.progress
    if not progress.total_records and not outcome.is_over(task):
        return "not counted yet"
    counts = (
        f"{progress.processed_records:,} indexed, {progress.skipped_records:,} skipped{_unchanged(progress)}, "
        f"{progress.failed_records:,} failed"
    )
    unread = f", {progress.unread_records:,} unread" if progress.unread_records else ""
    removed = f"; {progress.removed_records:,} removed" if progress.removed_records else ""
    return f"{progress.total_records:,} read: {counts}{unread} ({progress.percentage:.0f} %){removed}"


def _unchanged(progress: messages.TaskProgress) -> str:
    return f" ({progress.unchanged_records:,} unchanged)" if progress.unchanged_records else ""


def _error_line(task: messages.Task) -> str:
    reason = f" ({task.error_reason})" if task.error_reason else ""
    return screen.printable(task.error or "") + reason


def _why(task: messages.Task) -> text.Text:
    reasons = _reasons(task.result) if task.result is not None else ""
    return text.Text(f"  {reasons}" if reasons else "", "dim")


def _reasons(result: messages.TaskResult) -> str:
    by_reason = sorted(result.failed_by_reason.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,} {reason}" for reason, count in by_reason)


def _count(rows: int, style: str = "") -> text.Text:
    return text.Text(f"{rows:>13,}", style)


def _moment(moment: datetime.datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment is not None else ""


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else pace.clock_time(seconds)


def _ago(moment: datetime.datetime | None, now: datetime.datetime) -> str:
    if moment is None:
        return ""
    seconds = max(0, int((now - moment).total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def _shorten(line: str, length: int) -> str:
    line = " ".join(screen.printable(line).split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def _fact(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
