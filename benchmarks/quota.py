"""How near the line comes to its quota: from the first request that the provider sees to the last, over the ideal.

The ideal is what the limits allow at the best packing: every request but the last one full. OpenAI's stand-in is told
to compute nothing (`canned`) where it would otherwise take the cores that the line needs to reach the limit at all.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

from benchmarks import figures, files, line, purchases
from benchmarks.figures import Figure, Run

REQUEST_INPUTS = 2_048
# OPENAI_RATE_LIMIT's default, and a rate that leaves the cores idle enough to start processes anew meanwhile.
DEFAULT_RATE, SLOW_RATE = 5, 2
# About 5,000 rows/s of these texts.
TOKENS_PER_MINUTE = 18_000_000
KILL_AFTER_SECONDS = 5.0
# What a dead embedder held is free after its lease; the default of 30 s is longer than the whole load.
LEASES = {"LEASE_SECONDS": "3", "HEARTBEAT_SECONDS": "1", "RECLAIM_SECONDS": "1", "RESUBMIT_SECONDS": "2"}
# What OpenAI takes; and a chunk_size of a tenth of the default, and half of it.
SLOW_ANSWERS = {"SANDBOX_OPENAI_LATENCY_MS": "120"}
SMALL_CHUNKS = (100, 500)
CHEAP = {"SANDBOX_OPENAI_VECTORS": "canned"}


def limits(rate: float, tokens_per_minute: int = 0) -> dict[str, str]:
    """For the line and, so that it answers 429 to whoever passes them, for the stand-in."""
    told = {"OPENAI_RATE_LIMIT": str(rate), "SANDBOX_OPENAI_REQUESTS_PER_SECOND": str(rate)}
    if tokens_per_minute:
        told |= {"OPENAI_TOKENS_PER_MINUTE": str(tokens_per_minute)}
        told |= {"SANDBOX_OPENAI_TOKENS_PER_MINUTE": str(tokens_per_minute)}
    return told


def quota(run: Run) -> Iterator[Figure]:
    """With a limit on requests: a slow one with one embedder, the default one with two."""
    for rate, embedders in ((SLOW_RATE, 1), (DEFAULT_RATE, 2)):
        with line.running(**limits(rate), **CHEAP, EMBEDDERS=str(embedders)) as running:
            name = f"use of the quota, {rate} requests/s, {embedders} embedder(s)"
            yield from _measured(running, run, name, 1.05, rate=rate, ideal=1.01)


def small(run: Run) -> Iterator[Figure]:
    """With small chunks: what embedders have in hand is counted in rows, so that requests are as full."""
    with line.running(**limits(DEFAULT_RATE), **CHEAP, **SLOW_ANSWERS, EMBEDDERS="2") as running:
        for chunk_size in SMALL_CHUNKS:
            name = f"use of the quota, {DEFAULT_RATE} requests/s, 2 embedders, chunk_size {chunk_size}"
            yield from _measured(running, run, name, 1.05, rate=DEFAULT_RATE, ideal=1.01, chunk_size=chunk_size)


def tokens(run: Run) -> Iterator[Figure]:
    """With the default limit on requests and one on tokens, which is the one that bounds."""
    with line.running(**limits(DEFAULT_RATE, TOKENS_PER_MINUTE), **CHEAP, EMBEDDERS="2") as running:
        name = f"use of the quota, {DEFAULT_RATE} requests/s and {TOKENS_PER_MINUTE:,} tokens/min, 2 embedders"
        yield from _measured(running, run, name, 1.05, rate=DEFAULT_RATE, per_minute=TOKENS_PER_MINUTE, ideal=1.01)


def changes(run: Run) -> Iterator[Figure]:
    """With three embedders, of which one is killed in mid task; another comes in its place."""
    with line.running(**limits(SLOW_RATE), **CHEAP, **LEASES, EMBEDDERS="3") as running:

        def disturb() -> None:
            time.sleep(KILL_AFTER_SECONDS)  # in mid task
            os.kill(running.pids()["embedder-2"], signal.SIGKILL)

        name = f"use of the quota, {SLOW_RATE} requests/s, 3 embedders, one killed and one added"
        yield from _measured(running, run, name, 1.08, rate=SLOW_RATE, disturb=disturb)


def _measured(
    running: line.Line,
    run: Run,
    name: str,
    bar: float,
    *,
    rate: float,
    per_minute: int = 0,
    ideal: float | None = None,
    chunk_size: int | None = None,
    disturb: Callable[[], None] = lambda: None,
) -> Iterator[Figure]:
    path = files.of(run.folder, run.rows)
    running.warm_up(files.of(run.folder, 1_000))
    ratios, details, too_many = [], [], []
    for number in range(run.repeats):
        watch = purchases.Watch(running)
        bought = running.counted("embedder", "vectorline_openai_tokens_total")
        watch.begin()
        began = time.monotonic()
        options = {"chunk_size": chunk_size} if chunk_size else {}
        task_id = running.upload(path, namespace=f"quota-{chunk_size}-{number}", **options)
        disturbing = threading.Thread(target=disturb)
        disturbing.start()
        running.finished(task_id, run.rows)
        seconds = time.monotonic() - began
        disturbing.join()
        seen = watch.end()
        too_many.append(seen.too_many)
        cost = sum(seen.tokens) or running.counted("embedder", "vectorline_openai_tokens_total") - bought
        last = seen.tokens[-1] if seen.tokens else cost / len(seen.starts)
        requests = -(-run.rows // REQUEST_INPUTS)
        best = max((requests - 1) / rate, (cost - last) * 60 / per_minute if per_minute else 0.0)
        ratios.append(seen.span_seconds / best)
        whole = max(requests / rate, cost * 60 / per_minute if per_minute else 0.0)
        details.append(seen.detail | {"best": requests, "first_s": round(min(seen.starts) - began, 2)})
        details[-1]["upload_to_completed_over_ideal"] = round(seconds / whole, 2)
    yield figures.median(name, ratios, "x", bar, ideal=ideal, detail={"loads": details})
    refusals = name.replace("use of the quota", "answers of 429")
    yield Figure(refusals, sum(too_many), "", 0, detail={"runs": too_many})
