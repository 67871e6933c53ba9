"""A row that is not loaded is nobody's first: the next row of its id takes its place.

A step over the sidecar of duplicates, after the pass: only rows whose id stands elsewhere again are judged, so that a
file without any costs nothing. The source is read once more from the first to the last of them, in order; by then all
earlier rows of an id have been judged, so one time is enough. What is remembered lies in files, 9 bytes a row at most.
"""

import bisect
import pathlib
from collections.abc import Callable, Iterator

import numpy as np

from services.ingest import sources
from services.ingest.contract import context, contract, metadata
from services.ingest.planning import cursor, cutter, duplicates, plan
from services.ingest.reading import block as blocks
from services.ingest.request import options

# Pairs that are looked at together.
_SLICE = 1 << 18
# Of a first row: it is loaded; or it is not, and no later row of its id has been found that is.
_LOADED, _OPEN = 0, -1


def settle(
    source: sources.Source,
    pinned: sources.Pinned,
    made: plan.Plan,
    chosen: options.Options,
    sidecar: pathlib.Path,
    *,
    folder: pathlib.Path,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Rewrite a sidecar of duplicates so that each first row is one that is loaded.

    Args:
        source: Where the bytes are.
        pinned: Which bytes.
        made: The plan, but for its pairs.
        chosen: The request.
        sidecar: See duplicates.
        folder: An empty folder for what is remembered; the caller removes it.
        progress: See scan.scan.

    Returns:
        How many pairs the sidecar has.

    Raises:
        failures.SourceFailure: The bytes cannot be had.
        failures.SourceUnavailable: The bytes cannot be had now.
    """
    if not sidecar.stat().st_size:
        return 0
    pairs: duplicates.Pairs = np.memmap(sidecar, dtype=duplicates.PAIR, mode="r")
    firsts = _Firsts(pairs, made.rows_total, folder)
    judge = _Judge(made, chosen, context.of_any_task(chosen, pinned))
    reading = cursor.Cursor(source, pinned, made, chosen)
    try:
        for index in range(len(made.shards)):
            end = made.shard_end(index)[1]
            if firsts.are_left(made.shards[index].first_row, end):
                for block in judge.shard(index, reading.shard(index)):
                    firsts.judge(block, judge)
                    if progress is not None:
                        progress(made.rows_total)
                    if not firsts.are_left(block.first_row + len(block.rows), end):
                        break
    finally:
        reading.close()
    return firsts.write(sidecar)


class _Judge:
    """Says of the rows of a block whether they would be loaded, exactly as the split would."""

    def __init__(self, made: plan.Plan, chosen: options.Options, task: context.Context) -> None:
        self._plan = made
        self._contract = made.row_contract(chosen)
        self._context = task
        self._block = blocks.Block(0, 0, [], [], {}, 1, [])
        # Positions in the block at which its chunks begin; the first may lie before it.
        self._starts: list[int] = []
        self._first_chunk = 0
        self._common: tuple[int, metadata.Common] | None = None

    def shard(self, index: int, blocks: Iterator[blocks.Block]) -> Iterator[blocks.Block]:
        """Yield the blocks of a shard; between two of them, `loaded` answers for the last one."""
        cutting = cutter.Cutter(self._plan.chunk_size)
        self._starts, self._first_chunk = [0], self._plan.shards[index].first_chunk
        for block in blocks:
            self._block = block
            self._starts += cutting.cut(block.sizes)
            yield block
            self._first_chunk += len(self._starts) - 1
            self._starts = [self._starts[-1] - len(block.rows)]

    def loaded(self, row: int) -> bool:
        """Tell whether a row of the present block would be loaded, were it the first of its id."""
        position = row - self._block.first_row
        place = bisect.bisect_right(self._starts, position) - 1
        outcome = self._contract.judge(
            self._block.rows[position],
            self._block.flaws.get(position, ""),
            0,
            position - self._starts[place],
            self._common_of(self._first_chunk + place),
        )
        return isinstance(outcome, contract.Usable)

    def _common_of(self, chunk: int) -> metadata.Common:
        if self._common is None or self._common[0] != chunk:
            self._common = chunk, self._contract.common(self._context, chunk)
        return self._common[1]


class _Firsts:
    """What is known of the first rows of ids that stand more than once."""

    def __init__(self, pairs: duplicates.Pairs, rows_total: int, folder: pathlib.Path) -> None:
        self._pairs = pairs
        # By row number: it is the first of several.
        self._is_first = np.memmap(folder / "is_first", dtype=np.bool_, mode="w+", shape=(rows_total + 1,))
        # By first row: _LOADED, _OPEN, or the row that takes its place.
        self._instead = np.memmap(folder / "instead", dtype=np.int64, mode="w+", shape=(rows_total + 1,))
        self._open = 0
        self._changed = False
        for part in self._slices(0, len(pairs)):
            self._is_first[part["first"]] = True

    def are_left(self, start: int, end: int) -> bool:
        """Tell whether a row from ``start`` to ``end`` (exclusive) is to be judged."""
        if self._is_first[start:end].any():
            return True
        return self._open > 0 and any(
            (self._instead[part["first"]] == _OPEN).any() for part in self._slices(*self._pairs_of(start, end))
        )

    def judge(self, block: blocks.Block, judge: _Judge) -> None:
        """Judge what is to be judged in a block."""
        start, end = block.first_row, block.first_row + len(block.rows)
        for row in (np.flatnonzero(self._is_first[start:end]) + start).tolist():
            if not judge.loaded(row):
                self._instead[row] = _OPEN
                self._open += 1
                self._changed = True
        if not self._open:
            return
        for part in self._slices(*self._pairs_of(start, end)):
            for row, first in part[self._instead[part["first"]] == _OPEN].tolist():
                if self._instead[first] == _OPEN and judge.loaded(row):
                    self._instead[first] = row
                    self._open -= 1

    def write(self, sidecar: pathlib.Path) -> int:
        """Write the sidecar anew, if anything changed; returns how many pairs it has."""
        if not self._changed:
            return len(self._pairs)
        total, anew = 0, sidecar.with_suffix(".new")
        with anew.open("wb") as file:
            for part in self._slices(0, len(self._pairs)):
                instead = self._instead[part["first"]]
                # A row before the one that counts, and any row where none does, is rejected for a reason of its own.
                kept = np.array(part[(instead == _LOADED) | ((instead > 0) & (part["row"] > instead.astype("<u8")))])
                instead = self._instead[kept["first"]]
                kept["first"] = np.where(instead > 0, instead, kept["first"])
                file.write(kept.tobytes())
                total += len(kept)
        anew.replace(sidecar)
        return total

    def _pairs_of(self, start: int, end: int) -> tuple[int, int]:
        first, last = np.searchsorted(self._pairs["row"], np.array([start, end], dtype="<u8")).tolist()
        return first, last

    def _slices(self, first: int, last: int) -> Iterator[duplicates.Pairs]:
        for start in range(first, last, _SLICE):
            yield self._pairs[start : min(start + _SLICE, last)]
