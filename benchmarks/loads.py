"""Loads without any limit: what a row costs, stage by stage, and how that grows with the number of rows."""

import time
from collections.abc import Iterator

from benchmarks import figures, files, line, metrics, stages
from benchmarks.figures import Figure, Run

MIB = 1 << 20
GROWTH = (10_000, 30_000, 100_000, 300_000, 1_000_000)


def scan(run: Run) -> Iterator[Figure]:
    """The scan on one core, in this process."""
    path = files.of(run.folder, run.rows)
    found = [stages.scan_and_split(path) for _ in range(run.repeats)]
    speed = [path.stat().st_size / MIB / seconds for seconds, _ in found]
    yield figures.median("scan", speed, "MB/s a core", 30, ideal=100, more=True)
    yield figures.median("split per 1,000 rows", [split_ms for _, split_ms in found], "ms", None)


def cost(run: Run) -> Iterator[Figure]:
    """CPU a row and rows a second, then the same for more and fewer rows."""
    with line.running(OPENAI_RATE_LIMIT="0", EMBEDDERS="1") as running:
        running.warm_up(files.of(run.folder, 1_000))
        before, began = running.metrics(), running.usage()
        loads = [load(running, run, run.rows, f"cost-{number}") for number in range(run.repeats)]
        used = {name: after.cpu_seconds - began[name].cpu_seconds for name, after in running.usage().items()}
        rows = run.rows * run.repeats
        run.stages += metrics.stages(before, running.metrics(), used, rows)
        shares = {name: round(value * 1e6 / rows, 1) for name, value in used.items()}
        yield figures.median(
            "CPU of all our processes per 1,000 rows",
            [each.cpu_ms for each in loads],
            "ms",
            200,
            ideal=110,
            detail={"by_process_ms": shares},
        )
        speed = [each.rows_per_second for each in loads]
        yield figures.median("rows/s end to end, no limit", speed, "rows/s", 4_700, ideal=8_000, more=True)
        yield from _growth(running, run)


def _growth(running: line.Line, run: Run) -> Iterator[Figure]:
    """From few rows to many, in one line, so that the peaks of memory are those of all sizes so far."""
    for rows in (each for each in GROWTH if each <= run.most_rows):
        run.growth.append(load(running, run, rows, f"growth-{rows}"))
    if len(run.growth) > 1:
        least, most = run.growth[0], run.growth[-1]
        detail = {f"{each.rows:,}": round(each.cpu_ms, 1) for each in run.growth}
        name = f"CPU a row at {most.rows:,} rows, over that at {least.rows:,}"
        yield Figure(name, most.cpu_ms / least.cpu_ms, "x", None, detail=detail)


def load(running: line.Line, run: Run, rows: int, namespace: str) -> figures.Size:
    """A load of so many rows: what our processes used for it, and how fast it was."""
    path = files.of(run.folder, rows)
    before, began = running.usage(), time.monotonic()
    running.finished(running.upload(path, namespace=namespace), rows)
    seconds, after = time.monotonic() - began, running.usage()
    cpu = sum(used.cpu_seconds - before[name].cpu_seconds for name, used in after.items())
    return figures.Size(
        rows=rows,
        cpu_ms=cpu * 1e6 / rows,
        rows_per_second=rows / seconds,
        peak_mb={name: round(used.peak_bytes / MIB) for name, used in after.items()},
    )
