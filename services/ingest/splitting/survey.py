"""Every row of a source judged as the split judges it, and hashed for a comparison; nothing is kept of the rows."""

from collections.abc import Callable, Collection, Iterator

from services.ingest import sources
from services.ingest.contract import context, contract, metadata
from services.ingest.manifest import comparing, records
from services.ingest.planning import duplicates, plan
from services.ingest.reading import block as blocks
from services.ingest.splitting import split


def survey(
    source: sources.Source,
    pinned: sources.Pinned,
    made: plan.Plan,
    task: context.Context,
    pairs: duplicates.Slices,
    *,
    hashes: records.Hashes,
    only: Callable[[int], bool] | None = None,
) -> Iterator[comparing.Surveyed]:
    """Yield the chunks in order; arguments and errors are those of ``split.split``."""
    judge = made.row_contract(task.options)

    def builder(number: int, _row: int, firsts: duplicates.Firsts, selected: Collection[int] | None) -> "_Tally":
        return _Tally(number, judge, task, firsts, hashes, selected=selected)

    return split.chunks_of(split.Splitter(made, pairs, builder), source, pinned, task, only=only)


class _Tally:
    """Counts and hashes the rows of one chunk."""

    def __init__(
        self,
        number: int,
        judge: contract.Contract,
        task: context.Context,
        firsts: duplicates.Firsts,
        hashes: records.Hashes,
        *,
        selected: Collection[int] | None,
    ) -> None:
        self.number = number
        self.firsts = firsts
        self._contract = judge
        self._common = judge.common(task, number)
        self._shared = judge.encoder.lasting_common(self._common)
        self._hashes = hashes
        self._selected = selected
        self._position = 0
        self._rows = self._skipped = self._rejected = 0
        self._row_numbers: list[int] = []
        self._ids: list[bytes] = []
        self._entries: list[bytes] = []

    def add(self, block: blocks.Block, start: int, end: int) -> None:
        """See ``split.Builder``."""
        judge, common, shared, entry = self._contract.judge, self._common, self._shared, self._hashes.entry
        first_of = self.firsts.between(block.first_row + start, block.first_row + end).get
        flaw_of, selected, lasting = block.flaws.get, self._selected, metadata.lasting
        for position in range(start, end):
            row = block.first_row + position
            self._position += 1
            if selected is not None and row not in selected:
                continue
            outcome = judge(block.rows[position], flaw_of(position, ""), first_of(row, 0), self._position - 1, common)
            self._rows += 1
            if type(outcome) is contract.Usable:
                vector_id = outcome.vector_id.encode()
                self._row_numbers.append(row)
                self._ids.append(vector_id)
                self._entries.append(entry(vector_id, outcome.text.encode(), shared + lasting(outcome.metadata)))
            elif isinstance(outcome, contract.Reject):
                self._rejected += 1
            else:
                self._skipped += 1

    def chunk(self) -> comparing.Surveyed:
        """See ``split.Builder``."""
        return comparing.Surveyed(
            self.number,
            self._rows,
            self._skipped,
            self._rejected,
            self._row_numbers,
            self._ids,
            b"".join(self._entries),
        )
