"""Sorted entries in blocks, merged as streams: memory holds a block or two of each, however long they are."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from services.ingest.manifest import records

# Entries of a block, at most.
BLOCK = 1 << 16


@dataclasses.dataclass(frozen=True)
class Block:
    """Entries that ascend by their ids' hashes, and their vector ids where those are wanted."""

    entries: records.Entries
    ids: Sequence[bytes] = ()

    def __len__(self) -> int:
        return len(self.entries)

    def part(self, start: int, end: int) -> "Block":
        """Some of it."""
        return Block(self.entries[start:end], self.ids[start:end])

    def only(self, places: NDArray[np.intp]) -> "Block":
        """The entries of some places, in that order."""
        ids = self.ids
        return Block(self.entries[places], [ids[place] for place in places.tolist()] if ids else ())


Run = Iterator[Block]


class _Reader:
    """One run, of which all up to an id can be taken."""

    def __init__(self, run: Iterable[Block]) -> None:
        self._run = iter(run)
        self.held: Block | None = None
        self.advance()

    def advance(self) -> None:
        """Hold the next block that has any entry."""
        if self.held is None or not len(self.held):
            self.held = next((block for block in self._run if len(block)), None)

    def take(self, last: np.void) -> Block:
        """Take what of the held block comes up to an id."""
        assert self.held is not None
        end = records.up_to(self.held.entries, last)
        taken, self.held = self.held.part(0, end), self.held.part(end, len(self.held))
        self.advance()
        return taken


def side_by_side(left: Iterable[Block], right: Iterable[Block]) -> Iterator[tuple[Block | None, Block | None]]:
    """Yield of both runs what lies in the same range of ids, so that no id of one comes with a later block."""
    readers = (_Reader(left), _Reader(right))
    while any(reader.held is not None for reader in readers):
        ends = [reader.held.entries[-1] for reader in readers if reader.held is not None]
        last = min(ends, key=lambda entry: (int(entry["high"]), int(entry["low"])))
        first, second = (reader.take(last) if reader.held is not None else None for reader in readers)
        yield first, second


def newest(older: Iterable[Block], newer: Iterable[Block]) -> Run:
    """Both runs as one; of two entries with the same id the newer counts."""
    for first, second in side_by_side(older, newer):
        if first is None or second is None or not len(first) or not len(second):
            only = second if second is not None and len(second) else first
            if only is not None and len(only):
                yield only
            continue
        replaced, _ = records.places(first.entries, second.entries)
        kept = np.ones(len(first), dtype=bool)
        kept[replaced] = False
        left = first.only(np.flatnonzero(kept))
        entries = np.concatenate((left.entries, second.entries))
        ids = [*left.ids, *second.ids] if len(second.ids) == len(second) and len(left.ids) == len(left) else ()
        yield Block(entries, ids).only(records.order(entries))


def all_of(runs: Sequence[Iterable[Block]]) -> Iterable[Block]:
    """Several runs as one, the oldest first."""
    found: Iterable[Block] = ()
    for run in runs:
        found = newest(found, run)
    return found


def present(run: Iterable[Block]) -> Run:
    """A whole manifest's entries, without those that a younger part took away."""
    for block in run:
        there = records.standing(block.entries) != records.ABSENT
        yield block if there.all() else block.only(np.flatnonzero(there))
