"""A manifest is never held whole: four times the rows take no more memory. `make bench BENCH=again` has 10 million."""

import pathlib
import tracemalloc

import pytest

from benchmarks import merging
from services.ingest.manifest import parts, runs, sorting

ROWS = 5_000


def peak(folder: pathlib.Path, rows: int) -> int:
    """Bytes at most of a first run, of a second of which one row in a hundred has changed, and of their merges."""
    objects, old = merging.Folder(folder), None
    tracemalloc.start()
    try:
        for run in range(2):
            old = merging._run(objects, folder / f"scratch-{run}", rows, run, old)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_rows(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, name, size in ((runs, "BLOCK", 1 << 9), (sorting, "_HELD", 1 << 9), (parts, "PART_BYTES", 1 << 15)):
        monkeypatch.setattr(owner, name, size)
    found = {}
    for rows in (ROWS, 4 * ROWS):
        folder = tmp_path / str(rows)
        folder.mkdir()
        found[rows] = peak(folder, rows)
    assert found[4 * ROWS] < 1.5 * found[ROWS], found
