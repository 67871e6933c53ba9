"""What is known of ids before a file is compared: a manifest's entries, what the index lists, what else the file holds.

One run of them all, each with where it was found; the ids beside the entries only where they are wanted.
"""

import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.ingest.manifest import records, runs, sorting, spool

# `listed`: the index lists the id, or was not asked. `strange`: it does, and the manifest had it not. `held`: a row of
# the file has the id, though none with it is loaded.
OLD: Final = np.dtype([*records.ENTRY.descr, ("listed", "u1"), ("strange", "u1"), ("held", "u1")])
ID: Final = np.dtype([("high", "<u8"), ("low", "<u8")])


class Listed:
    """The ids that the index lists under the question's prefix, on disk.

    Args:
        folder: For temporary files; the caller removes it.
        hashes: The manifest's.
    """

    def __init__(self, folder: pathlib.Path, hashes: records.Hashes) -> None:
        self._hashes = hashes
        self._spool = spool.Spool(folder, "listed", ID)

    def add(self, ids: Iterable[str]) -> None:
        """Take some."""
        found = [each.encode() for each in ids]
        self._spool.add(np.frombuffer(b"".join(map(self._hashes.id, found)), dtype=ID), found)

    def sorted(self) -> Iterator[runs.Block]:
        """All of them, each once, with the ids beside."""
        return self._spool.sorted()


class Held:
    """Ids of rows that are not loaded, by their hashes, on disk."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._sorter = sorting.Sorter(folder, "held", ID)

    def add(self, hashes: bytes) -> None:
        """Take some, 16 bytes each."""
        self._sorter.add(np.frombuffer(hashes, dtype=ID))

    def sorted(self) -> Iterator[runs.Block]:
        """All of them, each once."""
        for found in self._sorter.sorted():
            yield from blocks(spool.once(found))


def blocks(found: NDArray[np.void]) -> Iterator[runs.Block]:
    """Sorted records in blocks."""
    for start in range(0, len(found), runs.BLOCK):
        yield runs.Block(found[start : start + runs.BLOCK])


def of(
    manifest: Iterable[runs.Block], listed: Listed | None, held: Held | None, *, strangers: bool
) -> Iterator[runs.Block]:
    """What is known of ids, as OLD.

    Args:
        manifest: Its entries, with ids where those are wanted.
        listed: What the index lists, if it was asked.
        held: Ids of the file besides those of loaded rows, if that is asked for.
        strangers: Ids that the index lists and the manifest has not are told, too.
    """
    found = _with_listed(manifest, listed, strangers=strangers)
    if held is None:
        yield from found
        return
    for old, others in runs.side_by_side(found, held.sorted()):
        if old is None or not len(old):
            continue
        if others is not None and len(others):
            old.entries["held"][records.places(old.entries, others.entries)[0]] = 1
        yield old


def _with_listed(manifest: Iterable[runs.Block], listed: Listed | None, *, strangers: bool) -> Iterator[runs.Block]:
    if listed is None:
        for block in manifest:
            yield runs.Block(_old(block.entries, listed=1), block.ids)
        return
    nothing = runs.Block(np.empty(0, dtype=records.ENTRY))
    for old, found in runs.side_by_side(manifest, listed.sorted()):
        mine = old if old is not None else nothing
        marked = _old(mine.entries, listed=0)
        if found is None or not len(found):
            yield runs.Block(marked, mine.ids)
            continue
        there, theirs = records.places(mine.entries, found.entries)
        marked["listed"][there] = 1
        if not strangers:
            yield runs.Block(marked, mine.ids)
            continue
        unknown = np.ones(len(found), dtype=bool)
        unknown[theirs] = False
        yield _joined(runs.Block(marked, mine.ids), found.only(np.flatnonzero(unknown)))


def _joined(mine: runs.Block, strange: runs.Block) -> runs.Block:
    entries = np.zeros(len(strange), dtype=OLD)
    for name in ("high", "low"):
        entries[name] = strange.entries[name]
    entries["listed"] = entries["strange"] = 1
    ids: Sequence[bytes] = [*mine.ids, *strange.ids]
    return runs.Block(np.concatenate((mine.entries, entries)), ids).only(records.order(mine.entries, entries))


def _old(entries: records.Entries, *, listed: int) -> NDArray[np.void]:
    found = records.copied(entries, OLD)
    found["listed"] = listed
    return found
