"""A snapshot on a terminal of any size from 80 columns and 24 lines on: what does not fit is counted, not wrapped."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import Final

from rich import text

from cli import pace, screen
from cli.top import snapshot
from vectorline_client import messages

BAR: Final = 20
# Lines of sections that may be cut, at least and at most.
WORKERS: Final = 3
LEAST_TASKS: Final = 3
STATUS_STYLES: Final = {"healthy": "bold green", "degraded": "bold yellow", "unhealthy": "bold red"}
MIB: Final = 2**20
ABSENT: Final = "does not answer"


def frame(taken: snapshot.Snapshot | None, trouble: str, *, columns: int, lines: int) -> text.Text:
    """The whole view: no more lines than there are, none longer than the screen is wide.

    Args:
        taken: The last snapshot; None: there was none yet.
        trouble: Why there is no newer one; empty: it is the newest.
        columns: How wide.
        lines: How high.
    """
    found = [_title(taken, trouble)]
    if taken is not None:
        found += [_services(taken.health)]
        found += [_rule("queue", columns), *_queue(taken.health.queues)]
        found += [_rule("limiter", columns), *_limiter(taken.health.limiter)]
        found += [_rule("workers", columns), *_workers(taken.health.workers)]
        found += [_rule("tasks", columns), *_rates(taken.dashboard)]
        warnings = taken.warnings
        # What is left is shared: warnings keep a third, tasks get what those do not use.
        left = max(0, lines - len(found) - 2)
        for_warnings = min(max(1, len(warnings)), max(1, left // 3), max(0, left - LEAST_TASKS))
        found += _cut(list(_tasks(taken.dashboard)), left - for_warnings, "tasks")
        found += [_rule("warnings", columns), *_cut(list(_warnings(warnings)), for_warnings, "warnings")]
    shown = found[:lines]
    for line in shown:
        line.truncate(columns, overflow="ellipsis")
    return text.Text("\n").join(shown)


def _title(taken: snapshot.Snapshot | None, trouble: str) -> text.Text:
    line = text.Text("vectorline top  ", "bold")
    if trouble:
        line.append(f"no answer: {screen.printable(trouble)}  ", "bold red")
    if taken is not None:
        health = taken.health
        line.append(f"{health.status}  ", STATUS_STYLES.get(health.status, ""))
        line.append(screen.printable(f"{health.environment} {health.version}  "))
        if health.timestamp:
            line.append(f"{health.timestamp.astimezone(datetime.UTC):%H:%M:%S} UTC  ")
    line.append("q quits", "dim")
    return line


def _rule(name: str, columns: int) -> text.Text:
    return text.Text(f"── {name} ".ljust(columns, "─"), "dim cyan")


def _services(health: messages.DetailedHealth) -> text.Text:
    line = text.Text()
    for name, state in sorted(health.services.items(), key=lambda service: (service[1] == "healthy", service[0])):
        good = state == "healthy"
        line.append(f"{'✓' if good else '✗'} {screen.printable(name)}  ", "green" if good else "bold red")
    return line


def _queue(queues: messages.QueuesView | None) -> Iterator[text.Text]:
    if queues is None:
        yield text.Text(ABSENT, "red")
        return
    full = queues.most_bytes and queues.bytes >= 0.9 * queues.most_bytes
    yield text.Text.assemble(
        f"{queues.waiting:,} chunks waiting, {queues.pending:,} in work, ",
        (f"{queues.bytes / MIB:,.1f} of {queues.most_bytes / MIB:,.0f} MiB", "yellow" if full else ""),
        f", oldest {pace.clock_time(queues.oldest_seconds)}",
    )
    lanes = "   ".join(f"{each.name} {each.waiting:,}+{each.pending:,}" for each in queues.queues)
    yield text.Text(screen.printable(lanes), "dim")


def _limiter(limiter: messages.LimiterView | None) -> Iterator[text.Text]:
    if limiter is None:
        yield text.Text(ABSENT, "red")
        return
    requests = _of(limiter.requests_per_second, limiter.configured_requests_per_second, "requests/s")
    tokens = _of(limiter.tokens_per_minute, limiter.configured_tokens_per_minute, "tokens/min")
    style = "yellow" if limiter.factor < 1 else ""
    yield text.Text.assemble(f"{requests}, {tokens}, ", (f"factor {limiter.factor:.2f}", style))
    if limiter.blocked:
        yield text.Text(f"blocked: {screen.printable(limiter.blocked_reason or '')}", "bold red")
    elif limiter.pause_seconds:
        yield text.Text(f"paused for {limiter.pause_seconds:.1f} s by a 429", "yellow")
    else:
        yield text.Text(f"the next request may start in {limiter.next_start_seconds:.1f} s", "dim")


def _of(now: float, configured: float, unit: str) -> str:
    if not now and not configured:
        return f"{unit}: no limit"
    if not configured:
        return f"{now:,.5g} {unit} (learned)"
    return f"{now:,.5g} of {configured:,.5g} {unit}" if now < 1e5 else f"{now:,.0f} of {configured:,.0f} {unit}"


def _workers(workers: messages.WorkersView | None) -> Iterator[text.Text]:
    if workers is None:
        yield text.Text(ABSENT, "red")
        return
    yield text.Text(f"{workers.active} chunks in work, {workers.available} slots free")
    yield from _cut(list(map(_worker, workers.workers)), WORKERS, "workers")


def _worker(worker: messages.Worker) -> text.Text:
    slots = worker.active + worker.available
    filled = round(BAR * worker.active / slots) if slots else 0
    return text.Text.assemble(
        (f"{'█' * filled}{'░' * (BAR - filled)} ", "cyan"),
        f"{worker.active} of {slots}  {screen.printable(worker.name)}",
    )


def _rates(dashboard: messages.Dashboard) -> Iterator[text.Text]:
    done = dashboard.statistics
    yield text.Text.assemble(
        f"last {done.hours} h: {done.tasks:,} tasks, {done.rows_indexed:,.0f} rows indexed, ",
        (f"{100 * done.failure_rate:.2f} % failed", "yellow" if done.failure_rate >= 0.01 else ""),
        f", {done.rows_per_second:,.0f} rows/s while busy",
    )
    counts = [f"{count:,} {status}" for status, count in sorted(dashboard.open_by_status.items()) if count]
    yield text.Text(screen.printable(", ".join(counts) or "no open tasks"))


def _tasks(dashboard: messages.Dashboard) -> Iterator[text.Text]:
    now = dashboard.timestamp
    for task in dashboard.active:
        progress = task.progress or messages.TaskProgress()
        done = progress.processed_records + progress.skipped_records + progress.failed_records
        left, style = "", ""
        if task.stalled_since:
            left, style = f"stalled since {task.stalled_since.astimezone(datetime.UTC):%H:%M}", "bold yellow"
        elif task.estimated_completion_time and now:
            left = f"{pace.clock_time(max(0.0, (task.estimated_completion_time - now).total_seconds()))} left"
        line = text.Text(f"{screen.printable(task.task_id)[:8]:<9}{task.status:<18}{progress.percentage:5.1f} % ")
        line.append(f"{task.rows_per_second:>7,.0f} rows/s ")
        line.append(f"{left} ".ljust(14), style)
        line.append(f"{done:,}/{progress.total_records:,}", "dim")
        yield line


def _warnings(warnings: Sequence[tuple[str, str]]) -> Iterator[text.Text]:
    for severity, sentence in warnings:
        critical = severity == "critical"
        style = "bold red" if critical else "yellow"
        yield text.Text.assemble(("! " if critical else "· ", style), screen.printable(sentence))
    if not warnings:
        yield text.Text("none", "dim")


def _cut(lines: list[text.Text], most: int, what: str) -> list[text.Text]:
    """The first ones, and how many more there are."""
    if len(lines) <= most:
        return lines
    kept = max(0, most - 1)
    return [*lines[:kept], text.Text(f"… {len(lines) - kept} more {what}", "dim")][:most]
