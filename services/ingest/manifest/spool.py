"""Entries with their vector ids, taken in any order and given back sorted: on disk, in flat memory."""

import contextlib
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from services.ingest.manifest import id_file, records, runs, sorting

_PLACE = [("at", "<u8"), ("size", "<u2")]


class Spool:
    """One such set.

    Args:
        folder: For temporary files; the caller removes it.
        name: Of the files there.
        dtype: Of the entries.
    """

    def __init__(self, folder: pathlib.Path, name: str, dtype: "np.dtype[np.void]" = records.ENTRY) -> None:
        self._dtype = dtype
        self._stored = np.dtype([*dtype.descr, *_PLACE])
        self._sorter = sorting.Sorter(folder, name, self._stored)
        self._path = folder / f"{name}-ids"
        self._at = 0

    def add(self, entries: records.Entries, ids: Sequence[bytes]) -> None:
        """Take some."""
        if not ids:
            return
        sizes = np.array([len(each) for each in ids], dtype=np.uint16)
        stored = np.zeros(len(entries), dtype=self._stored)
        for field in self._dtype.names or ():
            stored[field] = entries[field]
        stored["size"] = sizes
        stored["at"] = self._at + np.cumsum(sizes, dtype=np.uint64) - sizes
        with self._path.open("ab") as file:
            file.write(b"".join(ids))
        self._at += int(sizes.sum())
        self._sorter.add(stored)

    def sorted(self, single: Callable[[NDArray[np.void]], NDArray[np.void]] | None = None) -> Iterator[runs.Block]:
        """All of them by the ids' hashes; of an id that was taken twice the first, or what `single` makes of those."""
        if not self._at:
            return
        with contextlib.closing(id_file.Ids(self._path)) as ids:
            for found in self._sorter.sorted():
                yield from self._blocks((single or once)(found), ids)

    def _blocks(self, found: records.Entries, ids: id_file.Ids) -> Iterator[runs.Block]:
        for start in range(0, len(found), runs.BLOCK):
            part = found[start : start + runs.BLOCK]
            entries = np.zeros(len(part), dtype=self._dtype)
            for field in self._dtype.names or ():
                entries[field] = part[field]
            yield runs.Block(entries, ids.of(part))


def unknown(hashes: records.Hashes, ids: Sequence[bytes]) -> records.Entries:
    """Entries of some ids that may be in the index with whatever content."""
    found = np.zeros(len(ids), dtype=records.ENTRY)
    halves = np.frombuffer(b"".join([hashes.id(each) for each in ids]), dtype=[("high", "<u8"), ("low", "<u8")])
    found["high"], found["low"] = halves["high"], halves["low"]
    records.forget(found, np.ones(len(found), dtype=bool))
    return found


def once(found: NDArray[np.void]) -> NDArray[np.void]:
    """Sorted records without those whose id the one before has."""
    first = np.ones(len(found), dtype=bool)
    first[1:] = (found["high"][1:] != found["high"][:-1]) | (found["low"][1:] != found["low"][:-1])
    return found[first]
