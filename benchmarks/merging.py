"""Comparison and merge of a manifest alone, in this process: `python -m benchmarks.merging ROWS` prints JSON.

Rows are made up one chunk at a time; what would be in the bucket lies in a folder. First all rows are new, then one in
a hundred has changed.
"""

import contextlib
import json
import pathlib
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import IO, Literal

import numpy as np

from services.ingest.manifest import comparing, header, merging, records, store

CHUNK_ROWS = 1_000
CHANGED_EACH = 100


class Folder(store.Store):
    """A bucket on disk."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder

    def put(self, name: str, data: bytes) -> None:
        """Store an object."""
        with self._open(name, "wb") as file:
            file.write(data)

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes]]:
        """Read an object."""
        with self._open(name, "rb") as file:
            yield file

    def _open(self, name: str, mode: Literal["rb", "wb"]) -> IO[bytes]:
        # By a plain name: Python keeps every part of a Path for good, which would be in the peak.
        return open(f"{self._folder}/{name.replace('/', '_')}", mode)


def main(rows: int) -> None:
    """Print CPU seconds of the first run and of the second, and the peak of memory in MB."""
    with tempfile.TemporaryDirectory(prefix="vectorline-bench-merge-") as name:
        folder = pathlib.Path(name)
        objects = Folder(folder)
        seconds = []
        old: header.Header | None = None
        for run in range(2):
            began = time.process_time()
            old = _run(objects, folder / f"scratch-{run}", rows, run, old)
            seconds.append(time.process_time() - began)
        assert old is not None
        assert (old.known, old.unknown) == (rows, 0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": rows, "first": seconds[0], "second": seconds[1], "peak_mb": peak}))


def _run(objects: Folder, scratch: pathlib.Path, rows: int, run: int, old: header.Header | None) -> header.Header:
    scratch.mkdir()
    chunks = -(-rows // CHUNK_ROWS)
    found = comparing.Rows(scratch, rows, chunks)
    for number in range(chunks):
        found.add(_chunk(number, rows, run))
    named = comparing.Run("task", run + 1, run, "rules", f"of-{run}/")
    entries = old.entries(objects) if old is not None else ()
    made, sampled = comparing.compare(found, entries, None, objects, named, force=False)
    expected = rows - -(-rows // CHANGED_EACH) if run else 0
    assert made.counts.unchanged == expected
    assert len(sampled) == min(expected, comparing.SAMPLE_ROWS)
    settled = merging.Outcome(np.full(chunks, merging.SETTLED, dtype=np.uint8), np.empty(0, np.uint64))
    return merging.merge(objects, old, made, settled, merging.Named(run + 1, f"{run + 1}/", "model", 1536, "host"))


def _chunk(number: int, rows: int, run: int) -> comparing.Surveyed:
    hashes = records.Hashes(b"k" * records.KEY_BYTES)
    numbers = range(number * CHUNK_ROWS + 1, min((number + 1) * CHUNK_ROWS, rows) + 1)
    ids = [b"232.%d" % row for row in numbers]
    entries = [
        hashes.entry(each, b"%d %d" % (row, run if (row - 1) % CHANGED_EACH == 0 else 0), b"metadata")
        for row, each in zip(numbers, ids, strict=True)
    ]
    return comparing.Surveyed(
        number, len(numbers), 0, 0, numbers, list(map(len, ids)), b"".join(entries), b"".join(ids)
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
