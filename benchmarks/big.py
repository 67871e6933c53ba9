"""A 1 GB file from end to end: memory, the first chunk after the scan, how the line serves others meanwhile."""

import pathlib
import statistics
import time
from collections.abc import Iterator

from benchmarks import callers, files, line
from benchmarks.figures import Figure, Run

MIB = 1 << 20
SMALL_ROWS = 1_000
STATUS_A_SECOND, SUBMITS_A_SECOND = 50, 10


def big(run: Run) -> Iterator[Figure]:
    """All of it in one load. OpenAI answers at once, so that the line itself is what is waited for."""
    path = files.big(run.folder, run.big_rows)
    small = files.of(run.folder, SMALL_ROWS)
    with line.running(OPENAI_RATE_LIMIT="0", EMBEDDERS="1", SANDBOX_OPENAI_VECTORS="canned") as running:
        running.warm_up(small)
        before = _peaks(running)
        task_id = running.upload(path, namespace="big")
        first = _first_chunk_seconds(running, task_id)
        beside = _each(running, small, run.repeats)
        latency = {"status": _status(running, task_id), "submit": _submits(running)}
        if running.task(task_id)["status"] != "processing_chunks":
            raise line.BenchmarkFailed("The big task was over before the others were measured; choose more --big-rows.")
        running.finished(task_id, run.big_rows)
        peaks = _peaks(running)
        alone = _each(running, small, run.repeats)
    size = {"file_mb": round(path.stat().st_size / MIB), "rows": run.big_rows}
    for name, peak in sorted(peaks.items()):
        detail = size | {"before_mb": round(before[name])}
        yield Figure(f"peak memory of {name}", peak, "MB", 250, detail=detail)
    yield Figure("first chunk in the index after the scan", first, "s", 2, detail=size)
    ratio = statistics.median(beside) / statistics.median(alone)
    runs = {"beside_s": [round(each, 2) for each in beside], "alone_s": [round(each, 2) for each in alone]}
    yield Figure("a 1,000-row task beside a big one, over its time alone", ratio, "x", 3, 2, detail=runs)
    for name, took in latency.items():
        p95, p99 = callers.p95_p99(took)
        yield Figure(
            f"{name} through Envoy, p95", p95, "ms", 100, detail={"calls": len(took), "most_ms": round(max(took))}
        )
        yield Figure(f"{name} through Envoy, p99", p99, "ms", 250)


def shapes(run: Run) -> Iterator[Figure]:
    """A million rows that are unlike others: all with one id; with a thousand columns. Each on a line of its own."""
    for shape, make in (("one id", files.one_id), ("1,000 columns", files.wide)):
        path = make(run.folder, run.most_rows)
        with line.running(OPENAI_RATE_LIMIT="0", EMBEDDERS="1", SANDBOX_OPENAI_VECTORS="canned") as running:
            found = running.over(running.upload(path, namespace="shapes"))
            peaks = _peaks(running)
        counts = {name: found["progress"][name] for name in ("total_records", "processed_records", "skipped_records")}
        size = {"file_mb": round(path.stat().st_size / MIB), "status": found["status"]} | counts
        for name, peak in sorted(peaks.items()):
            yield Figure(f"{shape}: peak memory of {name}", peak, "MB", 250, detail=size)


def _peaks(running: line.Line) -> dict[str, float]:
    used = running.usage().items()
    return {name: each.peak_bytes / MIB for name, each in used if name not in {"valkey", "envoy"}}


def _first_chunk_seconds(running: line.Line, task_id: str) -> float:
    scanned = 0.0
    while True:
        found = running.task(task_id)
        if found["status"] == "processing_chunks" and not scanned:
            scanned = time.monotonic()
        if found["progress"]["chunks_completed"]:
            return time.monotonic() - scanned
        time.sleep(0.02)


def _each(running: line.Line, path: pathlib.Path, repeats: int) -> list[float]:
    """How long small tasks took, one after the other."""
    took = []
    for number in range(repeats):
        began = time.monotonic()
        running.finished(running.upload(path, namespace=f"small-{number}-{began}"), SMALL_ROWS)
        took.append(time.monotonic() - began)
    return took


def _status(running: line.Line, task_id: str) -> list[float]:
    """Milliseconds of 50 status calls a second for ten seconds."""
    return callers.milliseconds(lambda _: running.task(task_id), calls=10 * STATUS_A_SECOND, a_second=STATUS_A_SECOND)


def _submits(running: line.Line) -> list[float]:
    """Milliseconds of 10 submits a second for ten seconds, of a file that is missing."""

    def submit(number: int) -> None:
        body = {"data_source": "s3_csv", "s3_key": "none.csv", "question_id": 1, "namespace": f"none-{number}"}
        answer = running.rest.post("/api/v1/process", json=body)
        if answer.status_code != 202:
            raise line.BenchmarkFailed(answer.text)

    return callers.milliseconds(submit, calls=10 * SUBMITS_A_SECOND, a_second=SUBMITS_A_SECOND)
