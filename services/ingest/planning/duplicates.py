"""Rows whose id an earlier row has, found in flat memory: 128-bit hashes, partitioned on disk, sorted one by one.

The outcome is a sidecar file of pairs (row, first row of the same id), ascending by row: numpy uint64, little-endian,
16 bytes a pair. With 128 bits a false pair among a billion ids has a chance of about 10^-21.
"""

import hashlib
import itertools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

PAIR_BYTES = 16
_PARTITIONS = 64
# Ids held in memory before they go to disk: 24 bytes each.
_HELD_IDS = 1 << 18
# Rows whose pairs are sorted at a time.
_BUCKET_ROWS = 1 << 22
_PAIR = np.dtype([("row", "<u8"), ("first", "<u8")])
_RECORD = np.dtype([("high", "<u8"), ("low", "<u8"), ("row", "<u8")])

# Reads a slice of a sidecar: first byte, how many bytes.
Slices = Callable[[int, int], bytes]

Records = NDArray[np.void]
Pairs = NDArray[np.void]


class Finder:
    """Takes the ids in order of their rows, and finds the repeated ones at the end.

    Args:
        folder: An empty folder for the partitions; the caller removes it.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._held: list[Records] = []
        self._held_count = 0
        self._spilled = False

    def add(self, ids: Sequence[str], rows: Sequence[int] | range) -> None:
        """Take ids and the numbers of their rows; row numbers only grow."""
        blake2b = hashlib.blake2b
        digests = b"".join([blake2b(value.encode(), digest_size=16).digest() for value in ids])
        halves = np.frombuffer(digests, dtype="<u8").reshape(-1, 2)
        records = np.empty(len(ids), dtype=_RECORD)
        records["high"], records["low"], records["row"] = halves[:, 0], halves[:, 1], rows
        self._held.append(records)
        self._held_count += len(ids)
        if self._held_count >= _HELD_IDS:
            self._spill()

    def write(self, sidecar: pathlib.Path, rows_total: int) -> int:
        """Write the sidecar; returns how many pairs it has."""
        if not self._spilled:
            pairs = _repeats(np.concatenate(self._held)) if self._held else np.empty(0, dtype=_PAIR)
            sidecar.write_bytes(np.sort(pairs, order="row").tobytes())
            return len(pairs)
        self._spill()
        return self._write_sorted(self._partitions(), sidecar, rows_total)

    def _spill(self) -> None:
        self._spilled = True
        if not self._held:
            return
        records = np.concatenate(self._held)
        self._held, self._held_count = [], 0
        partition = (records["high"] % np.uint64(_PARTITIONS)).astype(np.int64)
        order = np.argsort(partition, kind="stable")
        limits = np.searchsorted(partition[order], np.arange(_PARTITIONS + 1))
        for number, (start, end) in enumerate(itertools.pairwise(limits)):
            if end > start:
                _append(self._folder / f"ids-{number}", records[order[start:end]])

    def _partitions(self) -> Iterator[Pairs]:
        for number in range(_PARTITIONS):
            path = self._folder / f"ids-{number}"
            if path.exists():
                yield _repeats(np.fromfile(path, dtype=_RECORD))
                path.unlink()

    def _write_sorted(self, parts: Iterable[Pairs], sidecar: pathlib.Path, rows_total: int) -> int:
        """Sort the pairs of all partitions by row, a bucket of rows at a time."""
        for pairs in parts:
            buckets = pairs["row"] // np.uint64(_BUCKET_ROWS)
            for bucket in np.unique(buckets):
                _append(self._folder / f"pairs-{bucket}", pairs[buckets == bucket])
        total = 0
        with sidecar.open("wb") as file:
            for bucket in range(rows_total // _BUCKET_ROWS + 1):
                path = self._folder / f"pairs-{bucket}"
                if path.exists():
                    pairs = np.sort(np.fromfile(path, dtype=_PAIR), order="row")
                    file.write(pairs.tobytes())
                    total += len(pairs)
                    path.unlink()
        return total


def read(data: bytes) -> dict[int, int]:
    """Return row → first row of the same id, of a slice of the sidecar."""
    pairs = np.frombuffer(data, dtype=_PAIR)
    return dict(zip(pairs["row"].tolist(), pairs["first"].tolist(), strict=True))


def slices(sidecar: pathlib.Path, first_rows: Sequence[int]) -> list[tuple[int, int]]:
    """Return for each shard, given by its first row, its first pair in the sidecar and how many pairs it has."""
    if not first_rows or not sidecar.stat().st_size:
        return [(0, 0)] * len(first_rows)
    rows = np.memmap(sidecar, dtype=_PAIR, mode="r")["row"]
    limits = [*np.searchsorted(rows, np.array(first_rows, dtype="<u8")).tolist(), len(rows)]
    return [(start, end - start) for start, end in itertools.pairwise(limits)]


def _repeats(records: Records) -> Pairs:
    # lexsort is stable, and rows come in ascending: the first of equals is the first row.
    ordered = records[np.lexsort((records["low"], records["high"]))]
    same = (ordered["high"][1:] == ordered["high"][:-1]) & (ordered["low"][1:] == ordered["low"][:-1])
    repeated = np.flatnonzero(same) + 1
    starts = np.maximum.accumulate(np.where(np.concatenate(([False], same)), 0, np.arange(len(ordered))))
    pairs = np.empty(len(repeated), dtype=_PAIR)
    pairs["row"], pairs["first"] = ordered["row"][repeated], ordered["row"][starts[repeated]]
    return pairs


def _append(path: pathlib.Path, records: NDArray[np.void]) -> None:
    with path.open("ab") as file:
        file.write(records.tobytes())
