"""Lines in, rows out: the CSV of a known dialect, a block at a time, with the exact source bytes of each row.

The csv module does the parsing (``strict``), so that quoting is exact; this file feeds it whole lines, keeps count of
bytes and lines, and contains what is broken: a row with broken bytes or quoting becomes a flawed row of its own, a
field without end never fills the memory.
"""

import bisect
import contextlib
import csv
import itertools
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from services.ingest import failures, sources
from services.ingest.reading import ballot, dialect, encoding, oversized, padding, quoting, records
from services.ingest.reading import block as row_blocks
from services.ingest.reading import lines as streams

BLOCK_BYTES = 1 << 20
# A record that is longer is not parsed but skipped over, and stands as one row with the flaw field_too_long.
RECORD_LIMIT_BYTES = 4 << 20
FIELD_LIMIT_BYTES = 1 << 20
COLUMN_LIMIT = 20_000

BAD_ENCODING = "bad_encoding"
BAD_QUOTING = records.BAD_QUOTING
FIELD_TOO_LONG = "field_too_long"

# RECORD_LIMIT_BYTES is our own bound; csv's (a global of the process) is moved out of the way.
csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
# What csv says at the end of the lines inside of a quoted field (Modules/_csv.c, Reader_iternext).
_UNFINISHED = "unexpected end of data"
# A character takes so many bytes in UTF-8, which limits are about, for each byte in the source at most (Thai, €).
_UTF8_GROWTH = 3
_MARK = "\ufeff".encode()
# As many are lost where one of them is no line of its own.
_ROWS_AT_ONCE = 256


class Reader:
    """Reads the rows of one stream.

    Args:
        stream: Unpacked bytes, standing at ``offset``.
        form: The file's dialect.
        offset: Byte offset of ``stream`` in the unpacked file: 0, or where a row begins.
        first_row: 1-based number of the first data row that follows; 1 at offset 0.
        first_line: 1-based number of the line at ``offset``.
        votes: Where the lines vote on the encoding, of a file whose encoding is a guess.
    """

    def __init__(
        self,
        stream: sources.ByteStream,
        form: dialect.Dialect,
        *,
        offset: int = 0,
        first_row: int = 1,
        first_line: int = 1,
        votes: ballot.Ballot | None = None,
    ) -> None:
        self._rules = form.rules
        self._row = first_row
        self._offset = offset
        self._line = first_line
        # What is recoded has voted as it was stored.
        self._voting = votes if form.bytewise else None
        # In a page that was guessed, a line of UTF-8 is one that another program wrote: it is not garbled but rejected.
        self._no_utf8 = form.encoding_guessed and encoding.tells_utf8(form.encoding)
        self._at_begin = offset == 0
        self._header_due = self._at_begin and not form.unnamed
        # Lines above the table that are still to come.
        self._above = form.preamble_lines if self._at_begin else 0
        self._lines = streams.Lines(stream, form, BLOCK_BYTES, lambda: self._row, votes=votes)
        self._codec = self._lines.codec
        self._size = self._lines.size
        self._quote = form.quote.encode()
        # Whole lines of a record that goes on.
        self._pending: list[bytes] = []
        # Source bytes of blank lines that wait for their row, and how many they are.
        self._blank_bytes = 0
        self._blank_lines = 0
        self.header = [f"column_{number}" for number in range(1, form.unnamed + 1)]
        # Looks at rows with quotes, and knows what it has met.
        self.records = records.Records(form.rules, writer_quotes=form.writer_quotes)

    def blocks(self) -> Iterator[row_blocks.Block]:
        """Yield the rows; ``header`` is set before the first block when reading began at offset 0.

        Raises:
            failures.FileFailure: NO_HEADER, UNBALANCED_QUOTE, BAD_ENCODING, GZIP_*.
            failures.SourceFailure: See sources.ByteStream.
            failures.SourceUnavailable: See sources.ByteStream.
        """
        if self._at_begin:
            self._offset = self._lines.skip_mark()
        at_end = False
        while not at_end:
            data = self._lines.data()
            at_end = not data
            lines = self._lines.whole(data)
            if self._above:
                lines = self._below_preamble(lines)
            if lines or (at_end and self._pending):
                block = self._parse(lines, at_end=at_end)
                if self._header_due and block.rows:
                    block = self._take_header(block)
                if block.rows:
                    yield block
            if len(self._lines.tail) + sum(map(len, self._pending)) > RECORD_LIMIT_BYTES:
                block = self._giant()
                if block.rows:
                    yield block
        if self._header_due:
            raise failures.FileFailure("EMPTY_FILE", "The file holds only blank lines; it must have a header line.")

    def _below_preamble(self, lines: list[bytes]) -> list[bytes]:
        """Leave out the lines that stand above the table."""
        above = lines[: self._above]
        self._above -= len(above)
        self._line += len(above)
        self._offset += sum(map(self._size, above))
        return lines[len(above) :]

    def _parse(self, lines: list[bytes], *, at_end: bool) -> row_blocks.Block:
        """Parse whole lines, those that are pending before them."""
        marks = self._marks()
        nothing = marks.nothing
        fresh, lines, self._pending = lines, self._pending + lines, []
        texts, bad_lines = self._decode(lines, fresh)
        parsed = records.Parsed(texts, [], [], [], {})
        readable = self._rules.readable(texts)
        taken = 0 if nothing else self._take_lines(readable, parsed)
        parser = self._rules.parser(readable[taken:])
        rows, ends, blanks = parsed.rows, parsed.ends, parsed.blanks
        while True:
            try:
                for row in parser:
                    line = taken + parser.line_num
                    if row and not (nothing and padding.is_blank(lines[line - 1])):
                        rows.append(row)
                        ends.append(line)
                    else:
                        blanks.append(line - 1)
                break
            except csv.Error as error:
                begun = ends[-1] if ends else 0
                while begun < len(lines) and padding.is_blank(lines[begun]):
                    begun += 1
                unfinished = str(error) == _UNFINISHED
                if unfinished and not at_end:
                    break
                if unfinished or taken + parser.line_num - begun > 1:
                    raise self._unbalanced(len(rows), begun, to_the_end=unfinished) from error
                self.records.broken(parsed, begun)
        if marks.order:
            self.records.without_marks(parsed)
        if marks.quotes:
            self.records.look_at(parsed)
        for line in bad_lines:
            position = bisect.bisect_right(ends, line)
            if position < len(rows):
                parsed.flaws[position] = BAD_ENCODING
        return self._block(lines, parsed)

    def _take_lines(self, lines: Sequence[str], parsed: records.Parsed) -> int:
        """Parse lines that are a row each, many at a time, up to where there are others; returns how many these are."""
        parser, taken = self._rules.parser(lines), 0
        with contextlib.suppress(csv.Error):
            while rows := list(itertools.islice(parser, _ROWS_AT_ONCE)):
                if parser.line_num != taken + len(rows) or not all(rows):
                    break
                parsed.rows.extend(rows)
                taken = parser.line_num
        parsed.ends.extend(range(1, taken + 1))
        return taken

    def _marks(self) -> "_Marks":
        """Tell which rare bytes the lines in hand hold: what is not there need not be looked for in each row."""
        seen, pending = self._lines.seen, b"".join(self._pending)
        return _Marks(
            quotes=self._rules.kind != quoting.NONE and (self._quote in seen or self._quote in pending),
            # Its first byte alone is looked for in a tenth of the time.
            order=any(_MARK[:1] in part and _MARK in part for part in (seen, pending)),
            nothing=any(mark in seen or mark in pending for mark in (b"\0", b"\x1a")),
        )

    def _block(self, lines: list[bytes], parsed: records.Parsed) -> row_blocks.Block:
        """Count bytes, find fields that are too long, keep the lines that no row used."""
        ends = parsed.ends
        used = ends[-1] if ends else 0
        sizes = list(map(self._size, lines[:used]))
        if used > len(ends):  # not each row is a line
            bytes_until = list(itertools.accumulate(sizes, initial=0))
            sizes = [bytes_until[end] - bytes_until[start] for start, end in itertools.pairwise((0, *ends))]
        if sizes:
            sizes[0] += self._blank_bytes
        lead = self._blank_lines
        block = row_blocks.Block(
            self._row,
            self._offset,
            parsed.rows,
            sizes,
            parsed.flaws,
            self._line,
            [end + lead for end in ends] if lead else ends,
            frozenset(line + lead for line in parsed.blanks if line < used),
            lead,
        )
        self._keep(lines, used)
        suspect = min(FIELD_LIMIT_BYTES, RECORD_LIMIT_BYTES) // _UTF8_GROWTH
        if sizes and max(sizes) > suspect:
            for position, (start, end) in enumerate(itertools.pairwise((0, *ends))):
                if sizes[position] > suspect:
                    self._measure(block, position, lines[start:end])
        self._row += len(parsed.rows)
        self._offset += sum(sizes)
        self._line += used + lead if used else 0
        return block

    def _measure(self, block: row_blocks.Block, position: int, lines: list[bytes]) -> None:
        """Mark a row with a field that is too long; a record over the limit looks as if it had been skipped over.

        Where a block happens to end must not show: chunks are the same wherever reading began.
        """
        begun = next((position for position, line in enumerate(lines) if not padding.is_blank(line)), 0)
        record = b"".join(lines[begun:])
        if len(record) > RECORD_LIMIT_BYTES:
            block.rows[position] = [oversized.beginning(record, self._codec)]
            block.flaws[position] = FIELD_TOO_LONG
        elif _has_long_field(block.rows[position]):
            block.flaws.setdefault(position, FIELD_TOO_LONG)

    def _keep(self, lines: list[bytes], used: int) -> None:
        """Keep what no row used for the next block; of blank lines only how long they were."""
        if used:
            self._blank_bytes = self._blank_lines = 0
        while used < len(lines) and padding.is_blank(lines[used]):
            self._blank_bytes += self._size(lines[used])
            self._blank_lines += 1
            used += 1
        self._pending = lines[used:]

    def _decode(self, lines: list[bytes], fresh: list[bytes]) -> tuple[list[str], list[int]]:
        """Return the lines as text, and which of them are not written in the encoding; the fresh ones vote on it."""
        codec = self._codec
        votes = self._voting
        try:
            # One call per line: about 60 ns, and a broken byte is pinned to its line.
            texts = [line.decode(codec) for line in lines]
        except UnicodeDecodeError:
            if votes is not None:
                votes.add(fresh)
            return self._decode_flawed(lines)
        if votes is not None and codec == encoding.UTF8:
            votes.add_good(texts[len(texts) - len(fresh) :])
        elif votes is not None:
            votes.add(fresh)
        if self._no_utf8 and ballot.holds_utf8(lines):
            return texts, [at for at, line in enumerate(lines) if not line.isascii() and ballot.is_utf8(line)]
        return texts, []

    def _decode_flawed(self, lines: list[bytes]) -> tuple[list[str], list[int]]:
        codec, texts, bad = self._codec, [], []
        for position, line in enumerate(lines):
            try:
                texts.append(line.decode(codec))
            except UnicodeDecodeError:
                # Shown as \xNN, never dropped: the row is rejected with its cells.
                texts.append(line.decode(codec, "backslashreplace"))
                bad.append(position)
                continue
            if self._no_utf8 and not line.isascii() and ballot.is_utf8(line):
                bad.append(position)
        return texts, bad

    def _unbalanced(self, position: int, line: int, *, to_the_end: bool) -> failures.FileFailure:
        """The header is row 0 until it is taken."""
        row = self._row + position - (1 if self._header_due else 0)
        return oversized.unbalanced(row, self._line + self._blank_lines + line, to_the_end=to_the_end)

    def _take_header(self, block: row_blocks.Block) -> row_blocks.Block:
        self._header_due = False
        flaw = block.flaws.get(0, "")
        if flaw:
            raise failures.FileFailure(
                "NO_HEADER", f"The header in line {block.line_of(0):,} cannot be read ({flaw}); repair it."
            )
        self.header = block.rows[0]
        if len(self.header) > COLUMN_LIMIT:
            raise failures.FileFailure(
                "TOO_MANY_COLUMNS", f"The header has {len(self.header):,} columns; {COLUMN_LIMIT:,} are the limit."
            )
        self._row -= 1
        rows = block.part(1, len(block.rows))
        rows.first_row -= 1
        return rows

    def _giant(self) -> row_blocks.Block:
        """Skip a record over the limit in flat memory; it is one row, with its beginning as its only cell."""
        if self._header_due or self._above:
            raise failures.FileFailure(
                "NO_HEADER", f"The first {RECORD_LIMIT_BYTES >> 20} MiB hold no whole header line; send a CSV."
            )
        pending = b"".join(self._pending)
        begun = pending + self._lines.tail
        more = oversized.More(self._lines.data)
        count = streams.Count(self._size)
        skip = oversized.Skip(more, self._rules, self._row, self._line + self._blank_lines)
        late = _LateVote(self._voting, len(pending))

        def took(piece: bytes) -> None:
            count.add(piece)
            late.add(piece)

        self._lines.tail = skip.over(begun, took)
        late.end()
        self._pending = []
        if more.padding_only and len(record := begun.rstrip(padding.BYTES)) <= RECORD_LIMIT_BYTES:
            # The file ended, and all that made the record so long was the NULs behind it.
            self._pending = record.splitlines(keepends=True)
            return self._parse([], at_end=True)
        size = count.bytes + self._blank_bytes
        row = [oversized.beginning(begun, self._codec)]
        flaw = {0: FIELD_TOO_LONG}
        ends = [self._blank_lines + count.lines]
        block = row_blocks.Block(self._row, self._offset, [row], [size], flaw, self._line, ends, lead=self._blank_lines)
        self._row += 1
        self._offset += size
        self._line = block.line_at(1)
        self._blank_bytes = self._blank_lines = 0
        return block


class _LateVote:
    """Lets the lines of a record vote that is skipped over: what votes must not depend on where a block ends.

    Args:
        votes: None: nobody votes.
        voted: Bytes at the record's beginning whose lines have voted already.
    """

    def __init__(self, votes: ballot.Ballot | None, voted: int) -> None:
        self._votes = votes
        self._voted = voted

    def add(self, piece: bytes) -> None:
        """Take the next bytes of the record."""
        if self._votes is not None and len(piece) > self._voted:
            self._votes.feed(piece[self._voted :])
        self._voted = max(0, self._voted - len(piece))

    def end(self) -> None:
        """The record is over."""
        if self._votes is not None:
            self._votes.feed(b"")


class _Marks(NamedTuple):
    """Rare bytes."""

    quotes: bool
    # Of a byte order mark.
    order: bool
    # NUL, or the end mark of DOS.
    nothing: bool


def _has_long_field(row: list[str]) -> bool:
    return any(len(cell) * 4 > FIELD_LIMIT_BYTES and len(cell.encode()) > FIELD_LIMIT_BYTES for cell in row)
