"""Rows whose id an earlier row has, found in flat memory: 128 bits an id, partitioned on disk, sorted one by one.

A short id of ASCII is its own 128 bits, of others they are a hash.

Ids that repeat much fall into one partition, so that is taken in slices: memory holds its different ids and one slice.
The outcome is a sidecar file of pairs (row, first row of the same id), ascending by row: numpy uint64, little-endian,
16 bytes a pair. With 128 bits a false pair among a billion ids has a chance of about 10^-21.
"""

import bisect
import hashlib
import itertools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

PAIR_BYTES = 16
_PARTITIONS = 1 << 6
# Ids held in memory before they go to disk: 24 bytes each.
_HELD_IDS = 1 << 18
# Rows whose pairs are sorted at a time: at most 16 bytes each.
_BUCKET_ROWS = 1 << 19
# Records of a partition that are sorted at a time, at least: 24 bytes each.
_SLICE_RECORDS = 1 << 17
# Pairs of the sidecar that the split holds at a time.
_PIECE_PAIRS = 1 << 14
PAIR = np.dtype([("row", "<u8"), ("first", "<u8")])
# An id of so many bytes or fewer is not hashed; behind it stands how many they are.
_SHORT_BYTES = 15
# 2^64 over the golden ratio: the upper bits of what is multiplied by it depend on all bits (Knuth, TAOCP 6.4).
_SPREADING = np.uint64(0x9E3779B97F4A7C15)
_PARTITION_SHIFT = np.uint64(64 - 6)
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
        halves = _told_apart(ids).view("<u8").reshape(-1, 2)
        records = np.empty(len(ids), dtype=_RECORD)
        records["high"], records["low"], records["row"] = halves[:, 0], halves[:, 1], rows
        self._held.append(records)
        self._held_count += len(ids)
        if self._held_count >= _HELD_IDS:
            self._spill()

    def write(self, sidecar: pathlib.Path, rows_total: int) -> int:
        """Write the sidecar; returns how many pairs it has."""
        if not self._spilled:
            pairs = _repeats(np.concatenate(self._held))[0] if self._held else np.empty(0, dtype=PAIR)
            sidecar.write_bytes(_by_row(pairs).tobytes())
            return len(pairs)
        self._spill()
        return self._write_sorted(self._partitions(), sidecar, rows_total)

    def _spill(self) -> None:
        self._spilled = True
        if not self._held:
            return
        records = np.concatenate(self._held)
        self._held, self._held_count = [], 0
        partition = ((records["high"] ^ records["low"]) * _SPREADING >> _PARTITION_SHIFT).astype(np.int64)
        order = np.argsort(partition, kind="stable")
        limits = np.searchsorted(partition[order], np.arange(_PARTITIONS + 1))
        for number, (start, end) in enumerate(itertools.pairwise(limits)):
            if end > start:
                _append(self._folder / f"ids-{number}", records[order[start:end]])

    def _partitions(self) -> Iterator[Pairs]:
        for number in range(_PARTITIONS):
            path = self._folder / f"ids-{number}"
            if path.exists():
                yield from _repeats_of(path)
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
                    pairs = _by_row(np.fromfile(path, dtype=PAIR))
                    file.write(pairs.data)
                    total += len(pairs)
                    path.unlink()
        return total


class Firsts:
    """The pairs of a shard, asked for in the order of its rows; holds a piece of the sidecar at a time.

    Args:
        pairs: Reads the sidecar.
        first_pair: Of the shard.
        count: Pairs of the shard.
    """

    def __init__(self, pairs: Slices, first_pair: int = 0, count: int = 0) -> None:
        self._pairs = pairs
        self._first_pair = first_pair
        self._pieces = -(-count // _PIECE_PAIRS)
        self._count = count
        self._number = -1
        self._piece: Pairs = np.empty(0, dtype=PAIR)

    def between(self, first_row: int, end_row: int) -> dict[int, int]:
        """Return row → first row of the same id, for the repeated ones of a range of rows (the end excluded)."""
        found: dict[int, int] = {}
        while self._reaches(first_row):
            rows = self._piece["row"]
            start, end = np.searchsorted(rows, np.array([first_row, end_row], dtype="<u8")).tolist()
            found.update(read(self._piece[start:end].data))
            if end < len(rows):
                break
            first_row = int(rows[-1]) + 1
        return found

    def _reaches(self, row: int) -> bool:
        """Move on to the piece that holds the first pair from a row on; False: there is none."""
        if len(self._piece) and row <= self._piece["row"][-1]:
            return True
        if self._number + 1 < self._pieces:
            self._load(self._number + 1)
        if len(self._piece) and row > self._piece["row"][-1]:  # far ahead: not all between is read
            following = range(self._number + 1, self._pieces)
            number = self._number + 1 + bisect.bisect_left(following, row, key=self._last_row)
            if number == self._pieces:
                return False
            self._load(number)
        return bool(len(self._piece))

    def _load(self, number: int) -> None:
        start = number * _PIECE_PAIRS
        self._number, self._piece = number, self._read(start, min(_PIECE_PAIRS, self._count - start))

    def _last_row(self, number: int) -> int:
        return int(self._read(min((number + 1) * _PIECE_PAIRS, self._count) - 1, 1)["row"][0])

    def _read(self, start: int, count: int) -> Pairs:
        data = self._pairs((self._first_pair + start) * PAIR_BYTES, count * PAIR_BYTES)
        return np.frombuffer(data, dtype=PAIR)


def read(data: bytes | memoryview) -> dict[int, int]:
    """Return row → first row of the same id, of a small part of the sidecar."""
    pairs = np.frombuffer(data, dtype=PAIR)
    return dict(zip(pairs["row"].tolist(), pairs["first"].tolist(), strict=True))


def slices(sidecar: pathlib.Path, first_rows: Sequence[int]) -> list[tuple[int, int]]:
    """Return for each shard, given by its first row, its first pair in the sidecar and how many pairs it has."""
    if not first_rows or not sidecar.stat().st_size:
        return [(0, 0)] * len(first_rows)
    rows = np.memmap(sidecar, dtype=PAIR, mode="r")["row"]
    limits = [*np.searchsorted(rows, np.array(first_rows, dtype="<u8")).tolist(), len(rows)]
    return [(start, end - start) for start, end in itertools.pairwise(limits)]


def _told_apart(ids: Sequence[str]) -> NDArray[np.bytes_]:
    """Sixteen bytes of each id that no other id has."""
    if "".join(ids).isascii() and max(map(len, ids)) <= _SHORT_BYTES:
        found = np.array(ids, dtype=f"S{_SHORT_BYTES + 1}")
        found.view(np.uint8).reshape(-1, _SHORT_BYTES + 1)[:, _SHORT_BYTES] = list(map(len, ids))
        return found
    return np.frombuffer(b"".join(map(_told_apart_alone, ids)), dtype=f"S{_SHORT_BYTES + 1}")


def _told_apart_alone(row_id: str) -> bytes:
    data = row_id.encode()
    if row_id.isascii() and len(data) <= _SHORT_BYTES:
        return data.ljust(_SHORT_BYTES, b"\0") + bytes([len(data)])
    return hashlib.blake2b(data, digest_size=_SHORT_BYTES + 1).digest()


def _repeats_of(path: pathlib.Path) -> Iterator[Pairs]:
    """Take a partition in slices, each as long as what must be kept of those before it."""
    known = np.empty(0, dtype=_RECORD)
    with path.open("rb") as file:
        while len(piece := np.fromfile(file, dtype=_RECORD, count=max(_SLICE_RECORDS, len(known)))):
            # What is known comes first, and its rows did: of equals it is the first row.
            pairs, known = _repeats(np.concatenate((known, piece)))
            yield pairs


def _repeats(records: Records) -> tuple[Pairs, Records]:
    """The pairs among some records, and the first record of each id."""
    # lexsort is stable, and rows come in ascending: the first of equals is the first row.
    ordered = records[np.lexsort((records["low"], records["high"]))]
    same = (ordered["high"][1:] == ordered["high"][:-1]) & (ordered["low"][1:] == ordered["low"][:-1])
    begins = np.ones(len(ordered), dtype=bool)
    begins[1:] = ~same
    firsts = ordered[begins]
    repeated = np.flatnonzero(same) + 1
    pairs = np.empty(len(repeated), dtype=PAIR)
    pairs["row"] = ordered["row"][repeated]
    pairs["first"] = firsts["row"][np.cumsum(begins)[repeated] - 1]
    return pairs, firsts


def _by_row(pairs: Pairs) -> Pairs:
    return pairs[np.argsort(pairs["row"])]


def _append(path: pathlib.Path, records: NDArray[np.void]) -> None:
    with path.open("ab") as file:
        file.write(records.tobytes())
