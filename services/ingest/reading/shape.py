"""A block's rows against the table: as wide as the header, without those that hold nothing or are the header again."""

from collections.abc import Sequence

from services.ingest import failures
from services.ingest.reading import block, dialect, exported, header, names, records, sample
from services.ingest.request import options

# Flaws of rows that are no records: they are skipped.
BLANK_ROW = "blank_row"
REPEATED_HEADER = "repeated_header"


class Shape:
    """Fits rows to the columns.

    Args:
        columns: The table's.
        form: The file's dialect.
        chosen: The request, its columns spelled as the file does.
    """

    def __init__(self, columns: Sequence[str], form: dialect.Dialect, chosen: options.Options) -> None:
        self._columns = [names.folded(column) for column in columns]
        self._width = len(columns)
        self._surplus = form.surplus
        self._numbers, self._delimiter = form.numbers, form.delimiter
        # So wide a row is at least, and is filled up.
        self._least = 1 if chosen.on_ragged == "pad" else self._width - form.nameless
        self._key = columns.index(chosen.id_column)
        wanted = [] if form.unnamed else header.wanted(chosen)
        self._wanted = {names.folded(name) for name in wanted}
        # What stands in the column of ids where the header is repeated, in whichever order.
        self._heads = frozenset(wanted)
        # Our own file of rejects: cells are as its reader finds them once the escapes are gone.
        self._exported = exported.is_of_ours(columns)
        # The row before is too short: what follows may be the rest of it.
        self.after_short = False

    def fit(self, rows: block.Block) -> bool:
        """Fit a block's rows, in place; tells whether all of them are records as wide as the header.

        Surplus cells that are empty are dropped, missing ones added where that was asked for. Rows that are none get
        a flaw. Others stay as wide as they are.

        Raises:
            failures.FileFailure: OTHER_HEADER: another table begins.
        """
        if self._exported:
            rows.rows[:] = [exported.plain(row) for row in rows.rows]
        cells, width, key = rows.rows, self._width, self._key
        rows.after_short = self.after_short
        even = set(map(len, cells)) == {width}
        if not even:
            fitting = [len(row) == width or self._fit_row(rows, position) for position, row in enumerate(cells)]
            even = all(fitting)
        if even:
            ids = [row[key].strip() for row in cells]
        else:
            ids = [row[key].strip() if len(row) > key else "" for row in cells]
        if not all(ids) or not self._heads.isdisjoint(ids):
            for position, value in enumerate(ids):
                if (not value or value in self._heads) and position not in rows.flaws:
                    self._judge(rows, position)
        if self.after_short or not even:
            self._judge_rests(rows)
        return even and not rows.flaws

    def _judge_rests(self, rows: block.Block) -> None:
        """Mark rows that are the rest of the row before, which a line end cut that nobody quoted.

        Such a rest is as wide as the header by chance only, where its text was cut at a delimiter too: at a comma
        within a sentence, behind which there is a blank.
        """
        for position, row in enumerate(rows.rows):
            fits = len(row) == self._width and position not in rows.flaws
            if self.after_short and fits and any(cell.startswith(" ") for cell in row):
                rows.flaws[position] = records.BAD_QUOTING
            self.after_short = len(row) < self._width and position not in rows.flaws

    def short_before(self, rows: block.Block, position: int) -> bool:
        """Tell whether the row before one of a fitted block is too short."""
        if not position:
            return rows.after_short
        return len(rows.rows[position - 1]) < self._width and position - 1 not in rows.flaws

    def _fit_row(self, rows: block.Block, position: int) -> bool:
        row = rows.rows[position]
        if position in rows.flaws:
            return False
        if len(row) > self._width:
            fits = not sample.has_content(row[self._width :]) and (
                len(row) - self._width <= self._surplus
                or sample.can_only_be(row, self._width, self._delimiter, self._numbers)
            )
            if fits:
                del row[self._width :]
            return fits
        if len(row) < self._least:
            return False
        row += [""] * (self._width - len(row))
        return True

    def _judge(self, rows: block.Block, position: int) -> None:
        """Mark a row without an id that holds nothing at all, and one that is the header."""
        row = rows.rows[position]
        if not sample.has_content(row):
            rows.flaws[position] = BLANK_ROW
            return
        folded = [names.folded(cell) for cell in row]
        if not self._wanted or not self._wanted.issubset(folded):
            return
        if self._same(row):
            rows.flaws[position] = REPEATED_HEADER
        elif len(self._wanted) > 1:
            raise failures.FileFailure(
                "OTHER_HEADER",
                f"Line {rows.line_of(position):,} is a header of other columns, or in another order, than the first: "
                "another table begins there; send each table as a file of its own.",
            )

    def _same(self, row: Sequence[str]) -> bool:
        try:
            return [names.folded(name) for name in header.names(row)] == self._columns
        except failures.FileFailure:
            return False
