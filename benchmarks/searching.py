"""Searches while a bulk task uses the whole quota with four embedders: how long they wait for their permits."""

import concurrent.futures
import time
from collections.abc import Iterator

from benchmarks import files, line, quota
from benchmarks.figures import Figure, Run

RATE = quota.SLOW_RATE
EMBEDDERS = 4
# As long as the searches take, and longer.
BULK_ROWS = 100_000
ALONE, TOGETHER, ROUNDS = 8, 5, 3
SUM, COUNT = ("vectorline_permit_seconds_sum", "search"), ("vectorline_permit_seconds_count", "search")
BULK = ("vectorline_permit_seconds_count", "bulk")


def search(run: Run) -> Iterator[Figure]:
    """One at a time, and five at once; by the embedders' own metrics, and as the caller sees them."""
    path = files.of(run.folder, max(run.rows, BULK_ROWS))
    with line.running(**quota.limits(RATE), **quota.CHEAP, EMBEDDERS=str(EMBEDDERS)) as running:
        running.warm_up(files.of(run.folder, 1_000))
        task_id = running.upload(path, namespace="bulk")
        _begun(running)
        alone = [_waited(running, 1) for _ in range(ALONE)]
        together = [_waited(running, TOGETHER) for _ in range(ROUNDS)]
        if running.task(task_id)["status"] != "processing_chunks":
            raise line.BenchmarkFailed("The bulk task was over before the searches were.")
        running.rest.delete(f"/api/v1/task/{task_id}")
    bar = 2 + 1 / RATE
    yield Figure(
        "one search beside bulk: wait for its permit", max(each[0] for each in alone), "s", bar, detail=_told(alone)
    )
    mean = max(each[0] for each in together)
    yield Figure("five searches at once beside bulk: mean wait", mean, "s", 3, detail=_told(together))


def _begun(running: line.Line) -> None:
    before = sum(samples.get(BULK, 0.0) for samples in running.metrics("embedder").values())
    while sum(samples.get(BULK, 0.0) for samples in running.metrics("embedder").values()) < before + EMBEDDERS:
        time.sleep(0.05)


def _waited(running: line.Line, searches: int) -> tuple[float, float]:
    """The mean wait for a permit of so many at once, and how long the slowest took in all."""
    before = running.metrics("embedder")
    with concurrent.futures.ThreadPoolExecutor(searches) as threads:
        slowest = max(threads.map(lambda _: _search(running), range(searches)))
    after = running.metrics("embedder")
    waited, count = (
        sum(after[name].get(what, 0.0) - before[name].get(what, 0.0) for name in after) for what in (SUM, COUNT)
    )
    return waited / count, slowest


def _search(running: line.Line) -> float:
    began = time.monotonic()
    answer = running.rest.post("/api/v1/search", json={"text": "a copper kettle", "namespace": "warm", "top_k": 3})
    if answer.status_code != 200:
        raise line.BenchmarkFailed(answer.text)
    return time.monotonic() - began


def _told(waits: list[tuple[float, float]]) -> dict[str, list[float]]:
    return {
        "permit_s": [round(permit, 2) for permit, _ in waits],
        "whole_call_s": [round(whole, 2) for _, whole in waits],
    }
