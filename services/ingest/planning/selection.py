"""The rows that a retry takes from its parent's source: some chunks of the plan, and of each some rows.

A retry numbers its own chunks from 0, in the order of the source's: the ledger needs no gaps. Row numbers stay.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping

# First row and how many.
Ranges = tuple[tuple[int, int], ...]


@dataclasses.dataclass(frozen=True)
class Selection:
    """Chunks of the source's plan, ascending, each with its selected rows as ranges, ascending."""

    chunks: tuple[tuple[int, Ranges], ...]

    @classmethod
    def of(cls, rows: Mapping[int, Iterable[int]]) -> "Selection":
        """From row numbers by source chunk."""
        return cls(tuple((chunk, _ranges(rows[chunk])) for chunk in sorted(rows)))

    @property
    def rows(self) -> int:
        """How many rows are selected."""
        return sum(count for _, ranges in self.chunks for _, count in ranges)

    def source_chunk(self, number: int) -> int:
        """The source's number of a chunk of the retry."""
        return self.chunks[number][0]

    def rows_of(self, number: int) -> Iterator[int]:
        """The rows of a chunk of the retry, ascending."""
        return itertools.chain.from_iterable(range(first, first + count) for first, count in self.chunks[number][1])

    def by_source_chunk(self) -> dict[int, int]:
        """The retry's chunk numbers by the source's."""
        return {chunk: number for number, (chunk, _) in enumerate(self.chunks)}


def _ranges(rows: Iterable[int]) -> Ranges:
    ordered = sorted(set(rows))
    runs = itertools.groupby(enumerate(ordered), key=lambda pair: pair[1] - pair[0])
    found = []
    for _, run in runs:
        members = [row for _, row in run]
        found.append((members[0], len(members)))
    return tuple(found)
