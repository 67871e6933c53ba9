"""What a second run costs: the same file again, and with one row in a hundred changed."""

import json
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks import files, line
from benchmarks.figures import Figure, Run

CHANGED_EACH = 100
# A turn passes on when the last write of its holder must be over.
TURN_SECONDS = 40.0
MERGE_ROWS = 10_000_000


def again(run: Run) -> Iterator[Figure]:
    """A first run, one of which nothing has changed, and one of which a hundredth has."""
    path = files.of(run.folder, run.rows)
    changed = _changed(path, run.folder / f"changed-{run.rows}.csv")
    with line.running(OPENAI_RATE_LIMIT="0", EMBEDDERS="1", SKIP_UNCHANGED="true") as running:
        running.warm_up(files.of(run.folder, 1_000))
        running.finished(running.upload(path, namespace="again"), run.rows)
        for name, file, bought in (
            ("nothing changed", path, 0),
            ("1 % changed", changed, -(-run.rows // CHANGED_EACH)),
        ):
            time.sleep(TURN_SECONDS)
            running.forget()
            began = time.monotonic()
            found = running.finished(running.upload(file, namespace="again"), bought)
            seconds = time.monotonic() - began
            same = found["progress"]["unchanged_records"]
            if same != run.rows - bought:
                raise line.BenchmarkFailed(f"{same} rows were unchanged: {found}")
            requests = (running.purchases() or {}).get("summary", {}).get("requests", 0)
            yield Figure(
                f"a second run of {run.rows:,} rows, {name}", seconds, "s", None, detail={"requests": requests}
            )
    yield from _merges()


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


def _changed(path: pathlib.Path, to: pathlib.Path) -> pathlib.Path:
    with path.open(encoding="utf-8") as before, to.open("w", encoding="utf-8") as after:
        after.write(next(before))
        for number, row in enumerate(before):
            after.write(row.replace("Article", "Item", 1) if number % CHANGED_EACH == 0 else row)
    return to
