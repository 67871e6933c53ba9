"""Every row of a source judged as the split judges it, and hashed for a comparison; nothing is kept of the rows."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

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

    def builder(number: int, _row: int, firsts: duplicates.Firsts, selected: Collection[int] | None) -> Tally:
        return Tally(number, judge, task, firsts, hashing, selected=selected, held=held)

    return split.chunks_of(split.Splitter(made, pairs, builder), source, pinned, task, only=only)


class Tally:
    """Counts and hashes the rows of one chunk.

    Args:
        number: Of the chunk.
        judge: Of the rows.
        task: Whose they are.
        firsts: Which of them have an id that an earlier row has.
        hashing: Hashes them.
        selected: The rows that a retry takes; None: all.
        held: The ids of rows that are not usable are told, too.
    """

    def __init__(
        self,
        number: int,
        judge: contract.Contract,
        task: context.Context,
        firsts: duplicates.Firsts,
        hashing: hashed.Hashing,
        *,
        selected: Collection[int] | None = None,
        held: bool,
    ) -> None:
        self.number = number
        self.firsts = firsts
        self.judge = judge
        self._common = judge.common(task, number)
        self._hashes, self._hashed = hashing.hashes, hashing.chunk()
        self._selected = selected
        self._position = 0
        self._rows = self._skipped = self._rejected = self._unreadable = 0
        self._held: list[bytes] | None = [] if held else None

    def add(self, block: blocks.Block, start: int, end: int) -> None:
        """See ``split.Builder``."""
        begun, self._position = self._position, self._position + end - start
        firsts = self.firsts.between(block.first_row + start, block.first_row + end)
        wanted: Sequence[int] = range(start, end)
        if self._selected is not None:
            wanted = [position for position in wanted if block.first_row + position in self._selected]
        self._rows += len(wanted)
        others = self._plain(block, wanted, firsts)
        usable, numbers = list[contract.Usable](), list[int]()
        for position in others:
            row, index = block.first_row + position, begun + position - start
            flaw = block.flaws.get(position, "")
            outcome = self.judge.judge(block.rows[position], flaw, firsts.get(row, 0), index, self._common)
            if type(outcome) is contract.Usable:
                usable.append(outcome)
                numbers.append(row)
                continue
            if isinstance(outcome, contract.Reject):
                self._rejected += 1
            else:
                self._skipped += 1
            if self._held is not None:
                self._hold(self._held, block.rows[position], flaw)
        self._hashed.add(numbers, usable)

    def _plain(self, block: blocks.Block, wanted: Sequence[int], firsts: Mapping[int, int]) -> Sequence[int]:
        """Take those of the wanted rows that can be judged together; the others."""
        first_row, width, flaws = block.first_row, self.judge.width, block.flaws
        rows = [block.rows[position] for position in wanted]
        even = wanted
        if flaws or firsts or set(map(len, rows)) != {width}:
            even = [
                position
                for position, row in zip(wanted, rows, strict=True)
                if len(row) == width and position not in flaws and first_row + position not in firsts
            ]
            rows = [block.rows[position] for position in even]
        if not rows:
            return wanted
        found = self.judge.plain(rows, self._position, self._common)
        if len(found.places) == len(wanted):
            self._hashed.add_plain([first_row + position for position in wanted], found)
            return ()
        taken = [even[place] for place in found.places]
        self._hashed.add_plain([first_row + position for position in taken], found)
        left = set(taken)
        return [position for position in wanted if position not in left]

    def _hold(self, held: list[bytes], cells: Sequence[str], flaw: str) -> None:
        """The id of a row that is not usable: the file holds it all the same."""
        vector_id = self.judge.vector_id(cells, flaw)
        if vector_id is None:
            self._unreadable += 1
        elif vector_id:
            held.append(self._hashes.id(vector_id.encode("utf-8", "surrogatepass")))

    def chunk(self) -> comparing.Surveyed:
        """See ``split.Builder``."""
        sent = self._hashed.sent()
        return comparing.Surveyed(
            self.number,
            self._rows,
            self._skipped,
            self._rejected,
            sent.row_numbers,
            list(map(len, sent.ids)),
            sent.entries,
            b"".join(sent.ids),
            b"".join(self._held or ()),
            self._unreadable,
        )
