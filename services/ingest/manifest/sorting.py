"""Records in any order, sorted by the hashes of ids in flat memory: in parts on disk by the first bits of the hash."""

import itertools
import pathlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from services.ingest.manifest import records

_PARTS_BITS = 8
# Records held in memory before they go to disk, of some dozens of bytes each.
_HELD = 1 << 16


class Sorter:
    """Takes records, and gives them back sorted.

    Args:
        folder: Where parts may lie; the caller removes it.
        name: Of its files there.
        dtype: Of the records; it has the fields `high` and `low`.
    """

    def __init__(self, folder: pathlib.Path, name: str, dtype: "np.dtype[np.void]") -> None:
        # Made once: Python keeps each part of a new Path in a table of its own, which grows.
        self._paths = [folder / f"{name}-{number}" for number in range(1 << _PARTS_BITS)]
        self._dtype = dtype
        self._held: list[NDArray[np.void]] = []
        self._count = 0
        self._spilled = False

    def add(self, found: NDArray[np.void]) -> None:
        """Take some records."""
        self._held.append(found)
        self._count += len(found)
        if self._count >= _HELD:
            self._spill()

    def sorted(self) -> Iterator[NDArray[np.void]]:
        """Yield all records, sorted; some may be empty. Equal ids stand in one piece, in the order they came."""
        if not self._spilled:
            held = np.concatenate(self._held) if self._held else np.empty(0, dtype=self._dtype)
            yield held[records.order(held)]
            return
        self._spill()
        for path in self._paths:
            if path.exists():
                part = np.fromfile(path, dtype=self._dtype)
                path.unlink()
                yield part[records.order(part)]

    def _spill(self) -> None:
        self._spilled = True
        if not self._held:
            return
        found = np.concatenate(self._held)
        self._held, self._count = [], 0
        part = (found["high"].astype(np.uint64) >> np.uint64(64 - _PARTS_BITS)).astype(np.int64)
        order = np.argsort(part, kind="stable")
        limits = np.searchsorted(part[order], np.arange((1 << _PARTS_BITS) + 1))
        for path, (start, end) in zip(self._paths, itertools.pairwise(limits), strict=True):
            if end > start:
                with path.open("ab") as file:
                    file.write(found[order[start:end]].tobytes())
