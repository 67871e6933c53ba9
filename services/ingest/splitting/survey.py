"""Every row of a source judged as the split judges it, and hashed for a comparison; nothing is kept of the rows."""

from collections.abc import Callable, Collection, Iterator, Sequence

from services.ingest import sources
from services.ingest.contract import context, contract
from services.ingest.manifest import comparing, records
from services.ingest.planning import duplicates, plan
from services.ingest.reading import block as blocks
from services.ingest.splitting import hashed, split


def survey(
    source: sources.Source,
    pinned: sources.Pinned,
    made: plan.Plan,
    task: context.Context,
    pairs: duplicates.Slices,
    *,
    hashes: records.Hashes,
    held: bool = False,
    only: Callable[[int], bool] | None = None,
) -> Iterator[comparing.Surveyed]:
    """Yield the chunks in order; arguments and errors are those of ``split.split``.

    With `held` the ids of rows that are not usable are told, too.
    """
    judge = made.row_contract(task.options)
    hashing = hashed.Hashing(hashes, judge, task)

    def builder(number: int, _row: int, firsts: duplicates.Firsts, selected: Collection[int] | None) -> "_Tally":
        return _Tally(number, judge, task, firsts, hashing, selected=selected, held=held)

    return split.chunks_of(split.Splitter(made, pairs, builder), source, pinned, task, only=only)


class _Tally:
    """Counts and hashes the rows of one chunk."""

    def __init__(
        self,
        number: int,
        judge: contract.Contract,
        task: context.Context,
        firsts: duplicates.Firsts,
        hashing: hashed.Hashing,
        *,
        selected: Collection[int] | None,
        held: bool,
    ) -> None:
        self.number = number
        self.firsts = firsts
        self._contract = judge
        self._common = judge.common(task, number)
        self._hashes, self._hashed = hashing.hashes, hashing.chunk()
        self._selected = selected
        self._position = 0
        self._rows = self._skipped = self._rejected = self._unreadable = 0
        self._held: list[bytes] | None = [] if held else None

    def add(self, block: blocks.Block, start: int, end: int) -> None:
        """See ``split.Builder``."""
        judge, common = self._contract.judge, self._common
        first_of = self.firsts.between(block.first_row + start, block.first_row + end).get
        flaw_of, selected = block.flaws.get, self._selected
        usable, numbers = list[contract.Usable](), list[int]()
        for position in range(start, end):
            row = block.first_row + position
            self._position += 1
            if selected is not None and row not in selected:
                continue
            outcome = judge(block.rows[position], flaw_of(position, ""), first_of(row, 0), self._position - 1, common)
            self._rows += 1
            if type(outcome) is contract.Usable:
                usable.append(outcome)
                numbers.append(row)
                continue
            if isinstance(outcome, contract.Reject):
                self._rejected += 1
            else:
                self._skipped += 1
            if self._held is not None:
                self._hold(self._held, block.rows[position], flaw_of(position, ""))
        self._hashed.add(numbers, usable)

    def _hold(self, held: list[bytes], cells: Sequence[str], flaw: str) -> None:
        """The id of a row that is not usable: the file holds it all the same."""
        vector_id = self._contract.vector_id(cells, flaw)
        if vector_id is None:
            self._unreadable += 1
        elif vector_id:
            held.append(self._hashes.id(vector_id.encode("utf-8", "surrogatepass")))

    def chunk(self) -> comparing.Surveyed:
        """See ``split.Builder``."""
        return comparing.Surveyed(
            self.number,
            self._rows,
            self._skipped,
            self._rejected,
            *self._hashed.sent(),
            b"".join(self._held or ()),
            self._unreadable,
        )
