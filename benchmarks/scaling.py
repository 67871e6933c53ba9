"""Doubling the embedders where OpenAI takes 200 ms, and one chunk is in work each: latency bounds, not the cores."""

import os
import time
from collections.abc import Iterator

from benchmarks import files, line, purchases
from benchmarks.figures import Figure, Run

# Small chunks: an embedder then spends most of its time waiting for OpenAI, and two of them leave the cores idle.
CHUNK_ROWS = 200
CHUNKS = 100


def scaling(run: Run) -> Iterator[Figure]:
    """The speed of two embedders over that of one, and how many cores were busy meanwhile."""
    rows = min(run.rows, CHUNK_ROWS * CHUNKS)
    path = files.of(run.folder, rows)
    speed, busy = {}, {}
    for embedders in ("1", "2"):
        settings = {"OPENAI_RATE_LIMIT": "0", "SANDBOX_OPENAI_LATENCY_MS": "200", "MAX_WORKERS": "1"}
        with line.running(**settings, EMBEDDERS=embedders) as running:
            running.warm_up(files.of(run.folder, 1_000))
            watch, began, before = purchases.Watch(running), time.monotonic(), _busy_seconds()
            watch.begin()
            running.finished(running.upload(path, namespace="scale", chunk_size=CHUNK_ROWS, mode="force"), rows)
            busy[embedders] = (_busy_seconds() - before) / (time.monotonic() - began)
            # Between the first request and the last: the scan before them is the same for any number of embedders.
            seen = watch.end()
            speed[embedders] = rows / len(seen.starts) * (len(seen.starts) - 1) / seen.span_seconds
    detail = {
        "rows_per_second": {name: round(value) for name, value in speed.items()},
        "cores_busy": {name: round(value, 2) for name, value in busy.items()},
        "cores": os.cpu_count(),
        "rows_a_chunk": CHUNK_ROWS,
    }
    yield Figure("doubling embedders, 200 ms latency", speed["2"] / speed["1"], "x", 1.8, more=True, detail=detail)


def _busy_seconds() -> float:
    """CPU seconds of everything on this machine so far: user, nice, system, irq, softirq."""
    with open("/proc/stat") as file:
        fields = file.readline().split()[1:]
    ticks = [int(fields[each]) for each in (0, 1, 2, 5, 6)]
    return sum(ticks) / os.sysconf("SC_CLK_TCK")
