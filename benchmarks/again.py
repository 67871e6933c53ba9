"""What a second run costs: the same file again, and with one row in a hundred changed."""

import json
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks import files, line, peers
from benchmarks.figures import Figure, Run

MERGE_ROWS = 10_000_000
SAME_SECONDS, CHANGED_SECONDS, LARGE_SECONDS, PEAK_MB = 4.0, 8.0, 30.0, 250


def again(run: Run) -> Iterator[Figure]:
    """A first run, one of which nothing has changed, and one of which a hundredth has; then a large file."""
    path = files.of(run.folder, run.rows)
    later = peers.changed(path, run.folder / f"changed-{run.rows}.csv")
    with line.running(OPENAI_RATE_LIMIT="0", EMBEDDERS="1") as running:
        running.warm_up(files.of(run.folder, 1_000))
        began = time.monotonic()
        running.finished(running.upload(path, namespace="again"), run.rows)
        yield Figure(f"a first run of {run.rows:,} rows", time.monotonic() - began, "s", None)
        yield _second(running, path, "again", run.rows, bought=0, bar=SAME_SECONDS)
        bought = -(-run.rows // peers.CHANGED_EACH)
        yield _second(running, later, "again", run.rows, bought=bought, bar=CHANGED_SECONDS)
        if run.most_rows > run.rows:
            large = files.of(run.folder, run.most_rows)
            running.finished(running.upload(large, namespace="large"), run.most_rows)
            yield _second(running, large, "large", run.most_rows, bought=0, bar=LARGE_SECONDS)
        peaks = {name: round(used.peak_bytes / 2**20) for name, used in running.usage().items()}
        services = {name: peak for name, peak in peaks.items() if name.startswith(("ingest", "embedder", "indexer"))}
        yield Figure("peak memory of a service in second runs", max(services.values()), "MB", PEAK_MB, detail=services)
    yield from _merges()


def _second(running: line.Line, path: pathlib.Path, namespace: str, rows: int, *, bought: int, bar: float) -> Figure:
    """Load a file once more; all but so many of its rows are in the index just so."""
    time.sleep(line.TURN_SECONDS)
    running.forget()
    upserts, before, began = running.upserts(namespace), running.usage(), time.monotonic()
    found = running.finished(running.upload(path, namespace=namespace), bought)
    seconds, after = time.monotonic() - began, running.usage()
    same = found["progress"]["unchanged_records"]
    if same != rows - bought:
        raise line.BenchmarkFailed(f"{same} rows were unchanged: {found}")
    requests = (running.purchases() or {}).get("summary", {}).get("requests", 0)
    written = running.upserts(namespace) - upserts
    if not bought and (requests or written):
        raise line.BenchmarkFailed(f"Nothing had changed, and there were {requests} purchases and {written} upserts.")
    cpu = {name: round(used.cpu_seconds - before[name].cpu_seconds, 1) for name, used in after.items()}
    detail = {"requests": requests, "upserts": written, "cpu": cpu}
    told = "nothing changed" if not bought else "1 % changed"
    return Figure(f"a second run of {rows:,} rows, {told}", seconds, "s", bar, detail=detail)


def _merges() -> Iterator[Figure]:
    """A manifest by itself: ten times the rows take ten times as long, and no more memory."""
    small, large = (_measured(rows) for rows in (MERGE_ROWS // 10, MERGE_ROWS))
    for name in ("first", "second"):
        ratio = large[name] / small[name] / 10
        detail = {"seconds": large[name], "rows": large["rows"]}
        yield Figure(
            f"CPU a row of the {name} merge at 10 million rows, over that at 1 million", ratio, "x", 1.5, detail=detail
        )
    yield Figure("peak memory of merging 10 million rows", large["peak_mb"], "MB", 250)


def _measured(rows: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.merging", str(rows)], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found
