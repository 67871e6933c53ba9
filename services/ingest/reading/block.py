"""Rows that follow each other, as they were read."""

import dataclasses
from collections.abc import Set


@dataclasses.dataclass(slots=True)
class Block:
    """Rows that follow each other.

    ``sizes`` are their source bytes (unpacked), line ends and blank lines before them included, so that row i + 1
    begins at the byte where row i ends.
    """

    first_row: int
    # Of the first row's first byte, in the unpacked file.
    offset: int
    rows: list[list[str]]
    sizes: list[int]
    # Position in ``rows`` → what is wrong with the row.
    flaws: dict[int, str]
    # 1-based number of the line at ``offset``.
    first_line: int
    # Lines up to and with row i, counted from ``first_line``.
    ends: list[int]
    # Which of these lines are blank; of those before the first row none, ``lead`` tells how many they are.
    blanks: Set[int] = frozenset()
    lead: int = 0
    # The row before the first one is too short (see shape.Shape).
    after_short: bool = False

    def line_of(self, position: int) -> int:
        """Return the number of the line in which a row begins."""
        line = self.ends[position - 1] if position else self.lead
        while line in self.blanks:
            line += 1
        return self.first_line + line

    def line_at(self, position: int) -> int:
        """Return the number of the line at which reading must begin to read a row first: blank ones before it count."""
        return self.first_line + (self.ends[position - 1] if position else 0)

    def part(self, start: int, end: int) -> "Block":
        """Return the rows ``start`` to ``end`` (exclusive)."""
        if start == 0 and end == len(self.rows):
            return self
        before = self.ends[start - 1] if start else 0
        return Block(
            first_row=self.first_row + start,
            offset=self.offset + sum(self.sizes[:start]),
            rows=self.rows[start:end],
            sizes=self.sizes[start:end],
            flaws={position - start: what for position, what in self.flaws.items() if start <= position < end},
            first_line=self.first_line + before,
            ends=[line - before for line in self.ends[start:end]],
            blanks=frozenset(line - before for line in self.blanks if line >= before),
            lead=0 if start else self.lead,
        )
