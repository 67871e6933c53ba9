"""The rows that a retry takes from its parent's source: some chunks of the plan, and of each some rows.

A retry numbers its own chunks from 0, in the order of the source's: the ledger needs no gaps. Row numbers stay. Rows
are kept as text, as one writes pages to print ("3-4,21,30"): a million scattered ones are 8 MB, where pairs of numbers
would be 150; a chunk's rows are made of it when its turn comes.
"""

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple


class Chosen(NamedTuple):
    """A chunk of the source, and its selected rows."""

    chunk: int
    # How many.
    rows: int
    # First and last row of each run, ascending: "3-4,21,30".
    ranges: str


class Selection:
    """Chunks of the source's plan, ascending."""

    def __init__(self, chunks: tuple[Chosen, ...]) -> None:
        self.chunks = chunks

    @classmethod
    def of(cls, rows: Mapping[int, Iterable[int]]) -> "Selection":
        """From row numbers by source chunk."""
        return cls(tuple(chosen(chunk, rows[chunk]) for chunk in sorted(rows)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Selection) and self.chunks == other.chunks

    def __hash__(self) -> int:
        return hash(self.chunks)

    @functools.cached_property
    def rows(self) -> int:
        """How many rows are selected."""
        return sum(each.rows for each in self.chunks)

    def source_chunk(self, number: int) -> int:
        """The source's number of a chunk of the retry."""
        return self.chunks[number].chunk

    def rows_of(self, number: int) -> Iterator[int]:
        """The rows of a chunk of the retry, ascending."""
        return itertools.chain.from_iterable(map(_range, self.chunks[number].ranges.split(",")))

    @functools.cached_property
    def by_source_chunk(self) -> dict[int, int]:
        """The retry's chunk numbers by the source's."""
        return {each.chunk: number for number, each in enumerate(self.chunks)}


def chosen(chunk: int, rows: Iterable[int]) -> Chosen:
    """Some rows of a chunk, at least one, in any order."""
    ordered = sorted(set(rows))
    runs = []
    for _, run in itertools.groupby(enumerate(ordered), key=lambda pair: pair[1] - pair[0]):
        members = [row for _, row in run]
        first, last = members[0], members[-1]
        runs.append(str(first) if first == last else f"{first}-{last}")
    return Chosen(chunk, len(ordered), ",".join(runs))


def _range(run: str) -> range:
    first, _, last = run.partition("-")
    return range(int(first), int(last or first) + 1)
