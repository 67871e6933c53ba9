"""Searches while a bulk task uses the whole quota: how long they wait for permits, and twice as many as it allows."""

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
# Searches at twice the quota: for so long, after so long in which their line fills.
CROWD_SECONDS, CROWD_FIRST_SECONDS = 20.0, 5.0
CROWD_THREADS = 200
SUM, COUNT = ("vectorline_permit_seconds_sum", "search"), ("vectorline_permit_seconds_count", "search")
BULK = ("vectorline_permit_seconds_count", "bulk")


def search(run: Run) -> Iterator[Figure]:
    """One at a time, and five at once; by the embedders' own metrics, and as the caller sees them."""
    path = files.of(run.folder, max(run.rows, BULK_ROWS))
    with line.running(**quota.limits(RATE), **quota.CHEAP, EMBEDDERS=str(EMBEDDERS)) as running:
        running.warm_up(files.of(run.folder, 1_000))
        task_id = running.upload(path, namespace="bulk", mode="force")
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


def crowd(run: Run) -> Iterator[Figure]:
    """At twice the quota: what the quota allows is answered, the rest refused when it comes, and bulk goes on."""
    rate = quota.DEFAULT_RATE
    path = files.of(run.folder, 2 * max(run.rows, BULK_ROWS))
    with line.running(**quota.limits(rate), **quota.CHEAP, EMBEDDERS="2") as running:
        running.warm_up(files.of(run.folder, 1_000))
        alone = _crowd(running, 2 * rate)
        task_id = running.upload(path, namespace="bulk", mode="force")
        _begun(running)
        bulk_before = _bulk(running)
        began = time.monotonic()
        beside = _crowd(running, 2 * rate)
        bulk = (_bulk(running) - bulk_before) / (time.monotonic() - began)
        if running.task(task_id)["status"] != "processing_chunks":
            raise line.BenchmarkFailed("The bulk task was over before the searches were.")
        running.rest.delete(f"/api/v1/task/{task_id}")
    name = "searches at twice the quota"
    yield Figure(f"{name}: answered, of what it allows", alone["answered"] / rate, "x", 0.95, more=True, detail=alone)
    # Each has half of it.
    share = rate / 2
    told = f"{name} beside bulk"
    yield Figure(f"{told}: answered, of their half", beside["answered"] / share, "x", 0.95, more=True, detail=beside)
    yield Figure(f"{told}: bulk's requests, of its half", bulk / share, "x", 0.5, more=True)


def _crowd(running: line.Line, per_second: float) -> dict[str, float]:
    """Search so often: answers and refusals a second, and how long the slowest answer took."""
    answers: list[tuple[float, int, float]] = []
    began = time.monotonic()

    def ask() -> None:
        asked = time.monotonic()
        answer = running.rest.post(
            "/api/v1/search", json={"text": f"a kettle {asked}", "namespace": "warm", "top_k": 3}
        )
        answers.append((time.monotonic() - began, answer.status_code, time.monotonic() - asked))

    with concurrent.futures.ThreadPoolExecutor(CROWD_THREADS) as threads:
        for number in range(round(per_second * (CROWD_FIRST_SECONDS + CROWD_SECONDS))):
            time.sleep(max(0.0, began + number / per_second - time.monotonic()))
            threads.submit(ask)
    measured = [each for each in answers if CROWD_FIRST_SECONDS <= each[0] < CROWD_FIRST_SECONDS + CROWD_SECONDS]
    if odd := {status for _, status, _ in measured} - {200, 429}:
        raise line.BenchmarkFailed(f"Searches were answered with {odd}.")
    good = [seconds for _, status, seconds in measured if status == 200]
    return {
        "answered": len(good) / CROWD_SECONDS,
        "refused": (len(measured) - len(good)) / CROWD_SECONDS,
        "slowest_s": round(max(good, default=0.0), 2),
    }


def _bulk(running: line.Line) -> float:
    return sum(samples.get(BULK, 0.0) for samples in running.metrics("embedder").values())


def _begun(running: line.Line) -> None:
    before = _bulk(running)
    while _bulk(running) < before + EMBEDDERS:
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
