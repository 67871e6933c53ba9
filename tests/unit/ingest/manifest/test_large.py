"""A manifest is never held whole: four times the rows take no more memory. `make bench BENCH=again` has 10 million."""

import json
import subprocess
import sys

ROWS = 5_000


def growth(held: int) -> float:
    """How many times the memory four times the rows take, if so many are sorted in memory at a time."""
    command = [sys.executable, "-m", "tests.unit.ingest.manifest.peaks", *map(str, (held, ROWS, 4 * ROWS))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    few, many = json.loads(done.stdout)
    return float(many / few)


def test_memory_does_not_grow_with_the_rows() -> None:
    """By a third at most: of each part that was written something is known, and parts are tiny here."""
    assert growth(1 << 9) < 1.33


def test_rows_that_are_held_would_be_noticed() -> None:
    assert growth(1 << 30) > 2
