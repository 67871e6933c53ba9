"""Rows of a source read again, for the export of rejects: cells as read, and what the contract says of each."""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from services.ingest import sources
from services.ingest.contract import context, contract, metadata
from services.ingest.planning import cursor, duplicates, plan
from services.ingest.reading import block as blocks
from services.ingest.splitting import split

UNCHANGED = "unchanged"
_UNCHANGED = "Its vector is in the index, with just this text and metadata; nothing was bought or written for it."


class Rebuilt(NamedTuple):
    """A row read again: its number and that of the line where it begins (1-based), cells, why it was not used."""

    row_number: int
    line: int
    cells: list[str]
    # Empty: it was used.
    reason: str
    message: str
    skipped: bool


class Reread:
    """Reads rows again, in one pass over the source where they are asked for in ascending order. Blocking.

    It stays where it is between two calls and moves on from there; shards without a wanted row are not read (but for
    gz, which is read from its beginning). Asked for an earlier row, it begins that row's shard anew.

    Args:
        source: Where the bytes are.
        pinned: Which bytes.
        made: The scan's plan.
        task: As the rows were split.
        pairs: Reads the duplicates sidecar.
        unchanged: Says which rows did not travel; None: all did.
    """

    def __init__(
        self,
        source: sources.Source,
        pinned: sources.Pinned,
        made: plan.Plan,
        task: context.Context,
        pairs: duplicates.Slices,
        *,
        unchanged: split.Unchanged | None = None,
    ) -> None:
        self._plan = made
        self._unchanged = unchanged
        self._pairs = pairs
        self._contract = made.row_contract(task.options)
        self._cursor = cursor.Cursor(source, pinned, made, task.options)
        self._shard = -1
        self._blocks: Iterator[blocks.Block] = iter(())
        # What of the last block may still be asked for.
        self._held: blocks.Block | None = None
        self._firsts = duplicates.Firsts(pairs)
        self._repeated: dict[int, int] = {}
        # The first row that can be had without going back.
        self._row = 0

    def rows(self, wanted: Collection[int]) -> Iterator[Rebuilt]:
        """Yield some rows in ascending order, given by their numbers in any order: a range, or a few.

        Raises:
            failures.FileFailure: The rows read are not those of the plan's scan.
            failures.SourceFailure: The bytes cannot be had.
            failures.SourceUnavailable: The bytes cannot be had now.
        """
        ordered = wanted if isinstance(wanted, range) else sorted(set(wanted))
        for number in ordered:
            if not 1 <= number <= self._plan.rows_total:
                continue
            block = self._block_of(number)
            yield self._rebuilt(block, number)

    def close(self) -> None:
        """Close the stream."""
        self._cursor.close()

    def _block_of(self, row: int) -> blocks.Block:
        index = self._plan.shard_of_row(row)
        if index != self._shard or row < self._row:
            self._shard, self._held = index, None
            self._blocks = self._cursor.shard(index)
            self._firsts = split.firsts_of(self._plan.shards[index], self._pairs)
        block = self._held
        while block is None or row >= block.first_row + len(block.rows):
            block = next(self._blocks)
        if block is not self._held:
            self._held, self._row = block, block.first_row
            self._repeated = self._firsts.between(block.first_row, block.first_row + len(block.rows))
        return block

    def _rebuilt(self, block: blocks.Block, row: int) -> Rebuilt:
        position = row - block.first_row
        cells, line = block.rows[position], block.line_of(position)
        flaw, first = block.flaws.get(position, ""), self._repeated.get(row, 0)
        outcome = self._contract.judge(cells, flaw, first, 0, metadata.Common({}, b""))
        if isinstance(outcome, contract.Usable):
            if self._unchanged is not None and self._unchanged(row, row + 1)[0] == split.UNCHANGED:
                return Rebuilt(row, line, cells, UNCHANGED, _UNCHANGED, skipped=True)
            return Rebuilt(row, line, cells, "", "", skipped=False)
        return Rebuilt(row, line, cells, outcome.reason, outcome.message, isinstance(outcome, contract.Skip))
