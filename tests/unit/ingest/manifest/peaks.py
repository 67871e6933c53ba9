"""What comparing and merging a manifest takes of memory at most, in a process where nothing else allocates.

`python -m tests.unit.ingest.manifest.peaks HELD ROWS ...` prints the bytes for each number of rows as JSON. Blocks and
parts are small, and HELD records are sorted in memory at a time, so that thousands of rows are what millions are else.
"""

import json
import pathlib
import sys
import tempfile
import tracemalloc

from benchmarks import merging
from services.ingest.manifest import parts, runs, sorting


def main(held: int, *every: int) -> None:
    """Of a first run, of a second of which one row in a hundred has changed, and of their merges."""
    runs.BLOCK, parts.PART_BYTES, sorting._HELD = 1 << 9, 1 << 15, held
    found = []
    with tempfile.TemporaryDirectory() as name:
        # Once for all that is made once in a process.
        for number, rows in enumerate((every[0], *every)):
            folder = pathlib.Path(name) / str(number)
            folder.mkdir()
            found.append(_peak(folder, rows))
    print(json.dumps(found[1:]))  # noqa: T201 (a command)


def _peak(folder: pathlib.Path, rows: int) -> int:
    objects, old = merging.Folder(folder), None
    tracemalloc.start()
    try:
        for run in range(2):
            old = merging._run(objects, folder / f"scratch-{run}", rows, run, old)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
